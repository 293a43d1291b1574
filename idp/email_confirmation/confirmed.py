"""The page after the confirmation of an address."""

from flask import Response, make_response, render_template

from idp.accounts.models import Account
from idp.clients import audience, registry
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
        ents=_ents(account, ent, named=is_signed_in) if account and ent else [],
        is_signed_in=is_signed_in,
        changes=changes,
        shared=shared,
        sign_in_url=store.resume_url(None) if is_signed_in else store.page_url("login.sign_in", None),
    )
    return make_response(html)


def _ents(account: Account, first: registry.Registration, *, named: bool) -> list[tuple[registry.Registration, str]]:
    """Return the ENTs of a family that has several, each with the children's given names if they may be `named`.

    A person who has only the link reads no name (security row V-11).
    """
    ents = audience.ents_of_children(account, first)
    if len(ents) == 1:
        return []
    return [(ent, ", ".join(dict.fromkeys(child.given_name for child in children if named))) for ent, children in ents]
