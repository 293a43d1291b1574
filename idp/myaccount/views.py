"""`/mon-compte`."""

from flask import Blueprint, Response, make_response, render_template, url_for

from idp.accounts.models import Account
from idp.interaction import store
from idp.sessions import manager
from idp.web.redirects import see_other

blueprint = Blueprint("myaccount", __name__)


@blueprint.get("/mon-compte")
def show() -> Response:
    """Show the account of the session; without one, the sign-in page first."""
    found = manager.current()
    if found is None:
        return see_other(store.page_url("login.sign_in", None))
    _, account = found
    if account.email is None and account.pending_email is not None:
        return see_other(store.page_url("email_confirmation.waiting", None))
    return make_response(
        render_template(
            "myaccount/mon_compte.html",
            dest=None,
            person=account.display_name,
            username=account.username,
            email=account.email or "",
            email_confirmed_at=account.email_confirmed_at,
            children=_children(account),
            sign_out_url=url_for("oidc.logout"),
        )
    )


def _children(account: Account) -> list[tuple[str, str]]:
    return [
        (f"{child.given_name} {child.family_name}", ", ".join(p for p in (child.class_name, child.school.name) if p))
        for child in account.children
    ]
