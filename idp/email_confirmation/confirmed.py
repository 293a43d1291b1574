"""The page after the confirmation of an address."""

from flask import Response, make_response, render_template

from idp.clients import registry
from idp.interaction import store


def page(
    name: str,
    ent: registry.Registration | None,
    *,
    is_signed_in: bool = False,
    changes: bool = False,
    shared: bool = False,
) -> Response:
    """Return the page `name`, which leads to `ent`, or to the sign-in page without one.

    Args:
        name: the template.
        ent: the ENT.
        is_signed_in: whether the person is signed in, so that the ENT asks for no password.
        changes: whether the address replaced a confirmed one.
        shared: whether the mailbox serves another account too.
    """
    html = render_template(
        f"email_confirmation/{name}",
        dest=ent,
        is_signed_in=is_signed_in,
        changes=changes,
        shared=shared,
        sign_in_url=store.resume_url(None) if is_signed_in else store.page_url("login.sign_in", None),
    )
    return make_response(html)
