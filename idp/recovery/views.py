"""`/identifiant-oublie`, `/mot-de-passe-oublie` and `/mot-de-passe/lien/<token>`, with the pages that follow each."""

from typing import Any

from flask import Blueprint, Response, make_response, render_template, request, url_for
from flask_babel import gettext, lazy_gettext as _l

from idp.accounts import emails
from idp.accounts.models import Account
from idp.accounts.one_time_links import LinkState
from idp.accounts.passwords.hasher import fold_username
from idp.accounts.passwords.policy import second_faults
from idp.clients import registry
from idp.interaction import store
from idp.mail.emails import InvalidEmailError
from idp.passkeys import keys
from idp.passkeys.ceremony import RemovalField
from idp.recovery import service
from idp.services import services
from idp.sessions import devices, guard, manager
from idp.web import browser
from idp.web.errors import InteractionLostError, TooManyRequestsError
from idp.web.forms import Form, PlainField, SecretField
from idp.web.redirects import see_other
from idp.web.request_context import remote_ip


class UsernameForm(Form):
    """The mailbox that gets the identifiers."""

    email = PlainField(_l("Adresse mail"), name="mail", longest=400)


class PasswordForm(Form):
    """The identifier whose password is forgotten."""

    username = PlainField(_l("Identifiant"), name="identifiant")


class NewPasswordForm(Form):
    """A new password, typed twice without a script; the link names the account."""

    password = SecretField(_l("Nouveau mot de passe"), name="nouveau")
    confirmation = SecretField(_l("Confirmez le mot de passe"), name="confirmation")
    without_passkeys = RemovalField(name="retirer-cles")


blueprint = Blueprint("recovery", __name__)


@blueprint.route("/identifiant-oublie", methods=["GET", "POST"])
def username() -> Response:
    """« Identifiant oublié »: on a POST enqueue the mail; the answer never tells whether there are accounts."""
    interaction, form = _interaction(), UsernameForm()
    if request.method == "POST":
        try:
            wait = service.request_usernames(form.email.data or "", remote_ip())
        except InvalidEmailError as fault:
            form.email.errors = [emails.explain(fault)]
        else:
            return _asked("recovery.username_sent", interaction, wait)
    return _page("identifiant_oublie.html", interaction, form=form)


@blueprint.get("/identifiant-oublie/envoye")
def username_sent() -> Response:
    """« Regardez votre messagerie »: the same page for everybody."""
    return _page("identifiant_envoye.html", _interaction())


@blueprint.route("/mot-de-passe-oublie", methods=["GET", "POST"])
def password() -> Response:
    """« Mot de passe oublié »: on a POST enqueue the request; the answer never tells whether there is an account."""
    interaction, form = _interaction(), PasswordForm()
    if request.method == "POST":
        typed = form.username.data or ""
        if typed:
            device = devices.known(fold_username(typed) or "")
            return _asked("recovery.password_sent", interaction, service.request_link(typed, remote_ip(), device))
        form.username.errors = [gettext("Tapez votre identifiant. Il est écrit sur le courrier de l’établissement.")]
    return _page("mot_de_passe_oublie.html", interaction, form=form)


@blueprint.get("/mot-de-passe-oublie/envoye")
def password_sent() -> Response:
    """« Regardez votre messagerie »: the same page for everybody."""
    return _page("mot_de_passe_envoye.html", _interaction())


@blueprint.route("/mot-de-passe/lien/<token>", methods=["GET", "POST"])
def link(token: str) -> Response:
    """Show the form on GET and change nothing; use the link on POST.

    Two parents may share the mailbox, so the page says whose password it is. The identifier is in a hidden
    field, by which a password manager files the new password; the mail of « Identifiant oublié » has it too.
    """
    asking = gettext("Recevoir un nouveau lien"), url_for("recovery.password")
    guard.refuse_incomplete_link(token, onward=asking)
    if request.method != "POST":
        reset_link = service.look_up(token)
        account = reset_link.account
        return _form(NewPasswordForm(), account) if account else _closed(token, reset_link.state)
    with services().hasher.queue_slot("activation"):
        return _choose(token)


@blueprint.get("/mot-de-passe/change")
def changed() -> Response:
    """« Votre mot de passe est changé »; nobody was signed in. The URL names the ENT to continue to, and no person."""
    return _page("nouveau_mot_de_passe_fait.html", _interaction(), dest=registry.find(request.args.get("ent", "")))


def _choose(token: str) -> Response:
    """Change the password: first check whether the link is alive, then the password (G-06, G-11)."""
    reset_link = service.look_up(token)
    if reset_link.account is None:
        return _closed(token, reset_link.state)
    form, settings, hasher = NewPasswordForm(), services().settings, services().hasher
    chosen = form.password.data or ""
    form.password.errors = list(service.faults(settings, hasher, services().breached, reset_link.account, chosen))
    if not form.password.errors:
        form.confirmation.errors = second_faults(chosen, form.confirmation.raw_data)
    if form.errors:
        return _form(form, reset_link.account)
    done = service.choose(
        token,
        hasher.hash(chosen, "activation"),
        former=manager.cookie_value(),
        without_passkeys=form.without_passkeys.data,
    )
    if done is None:
        return _closed(token, service.look_up(token).state)
    ent = service.ent_of(token)
    response = see_other(
        url_for("recovery.changed", ent=ent.client_id) if ent else store.page_url("recovery.changed", _interaction())
    )
    manager.clear_cookie(response)
    # make this browser a device of the account, so that its sign-in does not wait because of guesses elsewhere
    devices.remember(response, done.username)
    browser.note_used_link(str(done.link_id))
    return response


def _form(form: NewPasswordForm, account: Account) -> Response:
    known = keys.of_account(account.id)
    return _page(
        "nouveau_mot_de_passe.html",
        _interaction(),
        form=form,
        min_length=services().settings.password_min_length,
        name=account.short_name,
        username=account.username,
        keys=known,
    )


def _closed(token: str, state: LinkState) -> Response:
    """Show that a link was used, also for a second click, or is invalid; count invalid links."""
    interaction = _interaction()
    if state is LinkState.USED:
        return _page("lien_servi.html", interaction, dest=service.ent_of(token))
    guard.count_bad_link()
    return _page("lien_expire.html", interaction, status=410)


def _asked(endpoint: str, interaction: store.Interaction | None, wait: int) -> Response:
    if wait:
        raise TooManyRequestsError(
            wait,
            sentence=gettext(
                "Une demande vient d’être faite. Regardez votre messagerie, ou attendez avant la suivante."
            ),
            back=(store.page_url("login.sign_in", interaction), gettext("Revenir à la connexion")),
        )
    return see_other(store.page_url(endpoint, interaction))


def _interaction() -> store.Interaction | None:
    try:
        return store.current()
    except InteractionLostError:
        return None


def _page(template: str, interaction: store.Interaction | None, *, status: int = 200, **context: Any) -> Response:
    html = render_template(
        f"recovery/{template}",
        sign_in_url=store.page_url("login.sign_in", interaction),
        forgotten_username_url=store.page_url("recovery.username", interaction),
        forgotten_password_url=store.page_url("recovery.password", interaction),
        **context,
    )
    return make_response(html, status)
