"""`/identifiant-oublie` and `/mot-de-passe-oublie`."""

from flask import Blueprint, render_template

from idp.interaction import store

blueprint = Blueprint("recovery", __name__)


@blueprint.get("/identifiant-oublie")
def username() -> str:
    """Say where an identifier is found."""
    return _page("recovery/identifiant_oublie.html")


@blueprint.get("/mot-de-passe-oublie")
def password() -> str:
    """Say how a new password is had."""
    return _page("recovery/mot_de_passe_oublie.html")


def _page(template: str) -> str:
    return render_template(template, sign_in_url=store.page_url("login.sign_in", store.current()))
