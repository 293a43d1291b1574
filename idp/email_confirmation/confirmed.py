"""The page after the confirmation of an address."""

from flask import Response, make_response, render_template

from idp.accounts.models import Account
from idp.clients import registry
from idp.interaction import store


def page(
    name: str,
    account: Account | None,
    ent: registry.Registration | None,
    *,
    is_signed_in: bool = False,
    changes: bool = False,
    shared: bool = False,
) -> Response:
    """Return the page `name`, which leads to `ent`, or to the sign-in page without one.

    Args:
        name: the template.
        account: the account whose address was confirmed.
        ent: the ENT.
        is_signed_in: whether the person is signed in, so that the ENT asks for no password.
        changes: whether the address replaced a confirmed one.
        shared: whether the mailbox serves another account too.
    """
    html = render_template(
        f"email_confirmation/{name}",
        dest=ent,
        others=_other_ents(account, ent, named=is_signed_in) if account and ent else [],
        is_signed_in=is_signed_in,
        changes=changes,
        shared=shared,
        sign_in_url=store.resume_url(None) if is_signed_in else store.page_url("login.sign_in", None),
    )
    return make_response(html)


def _other_ents(
    account: Account, ent: registry.Registration, *, named: bool
) -> list[tuple[registry.Registration, str]]:
    """Return the other ENTs of the children, each with their given names if they may be `named`.

    A person who has only the link reads no name (security row V-11).
    """
    others: dict[str, tuple[registry.Registration, list[str]]] = {}
    for child in account.children:
        for other in registry.all_serving([child.school.uai]):
            if other.key != ent.key and other.home:
                names = others.setdefault(other.client_id, (other, []))[1]
                names += [child.given_name] if named and child.given_name not in names else []
    return [(other, ", ".join(names)) for other, names in others.values()]
