"""The page after the confirmation of an address."""

from flask import Response, make_response, render_template

from idp.accounts import directory
from idp.accounts.models import Account
from idp.clients import audience, registry
from idp.email_confirmation.service import Question
from idp.interaction import store


def page(
    name: str,
    account: Account | None,
    ent: registry.Registration | None,
    question: Question,
    *,
    is_signed_in: bool = False,
    is_recent: bool = False,
    onward: store.Interaction | None = None,
) -> Response:
    """Return the page `name`, which leads to `ent`, or to the sign-in page without one.

    Args:
        name: the template.
        account: the account whose address was confirmed.
        ent: the ENT.
        question: the values of the link that was used.
        is_signed_in: whether the person is signed in, so that the ENT asks for no password.
        is_recent: whether this request confirmed the address, so that the link worked until now.
        onward: the request of the ENT, for a person who is signed in and an ENT whose home is unknown.
    """
    html = render_template(
        f"email_confirmation/{name}",
        dest=ent,
        ents=_ents(account, ent, named=is_signed_in, placed=is_recent) if account and ent else [],
        is_signed_in=is_signed_in,
        waits_elsewhere=question.waits_elsewhere,
        changes=question.changes,
        shared=question.shared,
        sign_in_url=store.resume_url(onward) if is_signed_in else store.page_url("login.sign_in", None),
    )
    return make_response(html)


def _ents(
    account: Account, first: registry.Registration, *, named: bool, placed: bool
) -> list[tuple[registry.Registration, list[str]]]:
    """Return the ENTs of a family that has several, each with what says whose it is.

    A person who has only the link reads no name (security row V-11): a used link in an old mail does not tell where the
    children go to school today.

    Args:
        account: the account.
        first: the ENT that comes first.
        named: whether to show the children.
        placed: whether to show the schools.
    """
    ents = audience.ents_of_children(account, first)
    if len(ents) == 1:
        return []
    if named:
        return [(ent, [directory.child_sentence(child) for child in children]) for ent, children in ents]
    return [(ent, list(dict.fromkeys(child.school.name for child in children if placed))) for ent, children in ents]
