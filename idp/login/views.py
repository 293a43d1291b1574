"""`/connexion`."""

from contextlib import suppress

from flask import Blueprint, Response, current_app, make_response, render_template, request, url_for
from flask_wtf.csrf import CSRFError
from sqlalchemy.exc import SQLAlchemyError

from idp.accounts import directory
from idp.accounts.authentication import Attempt, Refused, Throttled
from idp.accounts.passwords import Busy as HasherBusy
from idp.accounts.passwords import fold_username
from idp.clients import registry
from idp.clock import now
from idp.interaction import store
from idp.login import service
from idp.login.forms import SignInForm
from idp.sessions import devices, freshness, manager
from idp.web.browser import renew_form_token
from idp.web.errors import Busy, InteractionLost, form_token_refused
from idp.web.redirects import see_other
from idp.web.request_context import remote_address, user_agent

blueprint = Blueprint("login", __name__)


@blueprint.route("/connexion", methods=["GET", "POST"])
def sign_in() -> Response:
    """Show the form; on a POST open a session or an activation, or say the one text that fits every failure."""
    interaction = store.current()
    form = SignInForm()
    if request.method == "GET":
        return _already_in(interaction) or _page(interaction, form, 200)
    outcome = _try(form)
    match outcome:
        case service.SignedIn(cookie, username):
            renew_form_token()
            response = see_other(store.resume_url(interaction and interaction.without_person()))
            manager.set_cookie(response, cookie)
            devices.remember(response, username)
            return response
        case service.MayActivate(account_id, generation):
            renew_form_token()
            started = (interaction or store.Interaction()).with_person(account_id, generation)
            response = see_other(store.page_url("activation.activate", started))
            manager.clear_cookie(response)
            return response
        case service.MustRenew() | service.Closed():
            return _shut_out(interaction, outcome)
        case Throttled(seconds):
            response = _page(interaction, form, 429, wait=seconds)
            response.headers["Retry-After"] = str(seconds)
            return response
        case Refused():
            return _page(interaction, form, 200, failed=True)


@blueprint.errorhandler(CSRFError)
def form_is_old(error: CSRFError) -> Response:
    """Say what is so where another tab signed in: that ended this form, and neither time nor a refused cookie did."""
    with suppress(InteractionLost, SQLAlchemyError):  # a fault here would be one in the page for a fault
        interaction = store.current()
        if _already_in(interaction):
            return see_other(store.page_url("login.sign_in", interaction))
    return form_token_refused(error)


def _already_in(interaction: store.Interaction | None) -> Response | None:
    """Lead on who is signed in already, and came by Back or in a second tab; None for whoever may have to sign in.

    The ENT is entered afresh: it may have had the answer to this request, and would refuse another.
    """
    client, wanted, found = _client(interaction), interaction and interaction.request, manager.current()
    if interaction is None or client is None or not wanted or wanted.subject is not None or found is None:
        return None
    session, account = found
    if account.email is None:  # to correct an address asks for the password, on this page
        return None
    if not freshness.is_enough(
        session,
        prompts=frozenset(wanted.prompt.split()),
        max_age=wanted.max_age,
        acr=wanted.acr,
        started_at=interaction.started_at,
        now=now(),
    ):
        return None
    html = render_template(
        "login/deja_connecte.html",
        dest=client,
        account_url=url_for("myaccount.show"),
        sign_out_url=url_for("oidc.logout"),
    )
    return make_response(html)


def _shut_out(interaction: store.Interaction | None, outcome: service.MustRenew | service.Closed) -> Response:
    """Say why the right password opens nothing, and what to do."""
    where = {"dest": _client(interaction), "sign_in_url": store.page_url("login.sign_in", interaction)}
    if isinstance(outcome, service.Closed):
        schools = directory.tellable(outcome.schools)
        html = render_template("login/compte_ferme.html", contested=outcome.contested, schools=schools, **where)
        return make_response(html)
    minutes = current_app.extensions["idp.settings"].reset_link_lifetime // 60
    html = render_template("login/a_renouveler.html", has_address=outcome.has_address, minutes=minutes, **where)
    return make_response(html)


def _try(form: SignInForm) -> service.Outcome:
    extensions = current_app.extensions
    username = form.username.data or ""
    attempt = Attempt(
        username=username,
        password=form.password.data or "",
        address=remote_address(),
        user_agent=user_agent(),
        device=devices.known(fold_username(username) or ""),
    )
    try:
        return service.sign_in(
            extensions["idp.settings"], extensions["idp.hasher"], attempt, former=manager.cookie_value()
        )
    except HasherBusy as busy:
        raise Busy(busy.retry_after) from None


def _page(
    interaction: store.Interaction | None, form: SignInForm, status: int, *, failed: bool = False, wait: int = 0
) -> Response:
    hint = interaction.request.login_hint if interaction and interaction.request else ""
    if request.method == "GET" and hint and ":" not in hint:
        form.username.data = hint[:100]
    html = render_template(
        "login/connexion.html",
        dest=_client(interaction),
        live=request.method == "GET" and manager.current() is not None,
        form=form,
        failed=failed,
        wait=wait,
        profile_title="Parent",
        change_profile_url=store.page_url("profile_choice.choose", interaction),
        forgotten_username_url=store.page_url("recovery.username", interaction),
        forgotten_password_url=store.page_url("recovery.password", interaction),
        back_url=store.back_url(interaction),
        letter_days=current_app.extensions["idp.settings"].provisional_days,
    )
    return make_response(html, status)


def _client(interaction: store.Interaction | None) -> registry.Registration | None:
    return registry.find(interaction.request.client_id) if interaction and interaction.request else None
