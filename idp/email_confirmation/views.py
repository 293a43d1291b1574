"""`/adresse/confirmation`, `/adresse/modifier` and `/adresse/lien/<token>`."""

from datetime import timedelta
from http import HTTPStatus

from flask import Blueprint, Response, make_response, render_template, request
from flask_babel import gettext

from idp import opaque
from idp.accounts import emails
from idp.accounts.authentication import Refused, Throttled
from idp.accounts.models import Account
from idp.accounts.one_time_links import LinkState
from idp.accounts.passwords.hasher import HasherBusyError
from idp.clients import audience, registry
from idp.clock import now
from idp.db import db
from idp.email_confirmation import service
from idp.email_confirmation.forms import AddressForm
from idp.interaction import store
from idp.mail.emails import InvalidEmailError, parse_email
from idp.services import services
from idp.sessions import attempts, manager
from idp.throttle import guard, limits
from idp.web import browser
from idp.web.declarations import leads_to_ent
from idp.web.durations import in_words
from idp.web.errors import InteractionLostError, ServiceBusyError, TooManyRequestsError
from idp.web.redirects import see_other
from idp.web.request_context import remote_ip

blueprint = Blueprint("email_confirmation", __name__)

_ENT_REMEMBERS = timedelta(seconds=900)


@blueprint.route("/adresse/confirmation", methods=["GET", "POST"])
@leads_to_ent
def waiting() -> Response:
    """« Consultez votre messagerie »: show the address; on a POST send the message again."""
    interaction, account = _account_to_confirm()
    if account.email is not None:
        return _confirmed_elsewhere(interaction, account)
    if account.pending_email is None:
        if services().settings.mail_required:
            return see_other(store.page_url("email_confirmation.correct", interaction))
        return _confirmed_elsewhere(interaction, account)
    if request.method == "GET":
        return _waiting_page(interaction, account)
    return _after_sending(interaction, account, _resend(interaction, account))


@blueprint.route("/adresse/modifier", methods=["GET", "POST"])
def correct() -> Response:
    """Correct a mistyped address that is not confirmed yet; the password is required each time."""
    interaction, account = _account_to_confirm()
    if account.email is not None:
        return _confirmed_elsewhere(interaction, account)
    form = AddressForm()
    if request.method == "GET":
        return _correction_page(interaction, account, form, 200)
    try:
        return _correct(interaction, account, form)
    except HasherBusyError as busy:
        raise ServiceBusyError(busy.retry_after) from None


def _correct(interaction: store.Interaction | None, account: Account, form: AddressForm) -> Response:
    to = _check(form)
    if to is None or form.errors:
        return _correction_page(interaction, account, form, 200)
    client, attempt = _client(interaction), attempts.of_request(account.username, form.password.data or "")
    hasher = services().hasher
    outcome = service.correct(services().settings, hasher, attempt, to, client.key if client else None)
    match outcome:
        case Throttled(seconds):
            return _held(_correction_page(interaction, account, form, 429, wait=seconds), seconds)
        case Refused():
            form.password.errors = [gettext("Ce n’est pas votre mot de passe. Retapez-le lettre par lettre.")]
            return _correction_page(interaction, account, form, 200)
        case emails.TooSoon(seconds):
            return _too_soon_to_correct(interaction, account, form, seconds)
        case _:
            return _after_sending(interaction, account, outcome)


def _check(form: AddressForm) -> str | None:
    """Validate the form, put the errors beside their fields, and return the address in its normal form."""
    if not form.password.data:
        form.password.errors = [gettext("Tapez le mot de passe que vous avez choisi.")]
    try:
        return parse_email(form.email.data or "")
    except InvalidEmailError as fault:
        form.email.errors = [emails.explain(fault)]
        return None


@blueprint.route("/adresse/lien/<token>", methods=["GET", "POST"])
def link(token: str) -> Response:
    """Show a button and change nothing on GET; confirm the address on POST. The page signs nobody in."""
    if request.method == "POST" and "renvoyer" in request.form:
        if not service.resend_for_link(services().settings, token, remote_ip()):
            count_bad_link()
        return _invalid_link_page(sent=True)
    acts = request.method == "POST"
    question = service.confirm(services().settings, token) if acts else service.look(services().settings, token)
    if question.state is LinkState.USED:
        return _confirmed_page("confirme.html" if acts else "confirme_deja.html", service.ent_of(token), question)
    if question.state is LinkState.DEAD or (acts and not question.refused):
        count_bad_link()
        return _invalid_link_page(sent=False)
    return _question_page(question)


def _question_page(question: service.Question) -> Response:
    here = manager.cookie_value() is not None or browser.is_known()  # before the form makes this browser known
    html = render_template(
        f"email_confirmation/{'lien_refuse' if question.refused else 'lien'}.html",
        dest=None,
        other_device=not here,
        changes=question.changes,
        schools=question.schools,
        shared=question.shared,
        sign_in_url=store.page_url("login.sign_in", None),
    )
    return make_response(html)


def _account_to_confirm() -> tuple[store.Interaction | None, Account]:
    """Return the account whose address it is: the session's, or an account that this browser has just activated.

    Two people may share a browser: an activation gives access to its own account only, and no longer after somebody
    else signed in. An activation in the browser's history gives no access after the account's password was used
    anywhere, after another credential replaced it, or after `activation_lifetime`. A confirmed account gets the page
    that says so, which contains no name.
    """
    interaction = store.current()
    person = interaction.person if interaction else None
    current = manager.current()
    if current and (person is None or current[1].id == person.account_id):
        return interaction, current[1]
    account = db.session.get(Account, person.account_id) if person and not current else None
    if interaction is None or person is None or account is None or not account.is_enabled_at(now()):
        raise InteractionLostError(_client(interaction))
    if not account.changed_once_since(person.generation) or not _is_activating(interaction, account):
        raise InteractionLostError(_client(interaction))
    return interaction, account


def _is_activating(interaction: store.Interaction, account: Account) -> bool:
    """Return whether this interaction activated the account a short time ago, and nothing has happened since."""
    if account.email is not None:
        return True
    started = account.activated_at
    recent = started is not None and now() - started <= services().settings.lifetime("activation_lifetime")
    return recent and account.activated_in == opaque.digest(interaction.id)


def _resend(interaction: store.Interaction | None, account: Account) -> emails.Resent:
    """Send the message again, and read the account again: another request may have changed or removed it."""
    client = _client(interaction)
    outcome = emails.resend(services().settings, account.id, ip=remote_ip(), client_id=client.key if client else None)
    if db.session.get(Account, account.id, populate_existing=True) is None:
        raise InteractionLostError(client)
    return outcome


def _after_sending(interaction: store.Interaction | None, account: Account, outcome: emails.Resent) -> Response:
    match outcome:
        case emails.Sent():
            return see_other(store.page_url("email_confirmation.waiting", interaction))
        case emails.TooSoon(seconds):
            page = _waiting_page(interaction, account, wait=seconds, capped=outcome.capped, status=429)
            return _held(page, seconds)
        case emails.NothingToConfirm():
            return _confirmed_elsewhere(interaction, account)


def _too_soon_to_correct(
    interaction: store.Interaction | None, account: Account, form: AddressForm, seconds: int
) -> Response:
    """Show when the corrected address may be sent; the field keeps it meanwhile."""
    form.email.errors = [
        gettext(
            "Un message vient de partir. Vous pourrez valider cette nouvelle adresse dans %(wait)s.",
            wait=in_words(seconds),
        )
    ]
    return _held(_correction_page(interaction, account, form, 429), seconds)


def _held(response: Response, seconds: int) -> Response:
    response.headers["Retry-After"] = str(seconds)
    return response


def _correction_page(
    interaction: store.Interaction | None, account: Account, form: AddressForm, status: int, *, wait: int = 0
) -> Response:
    html = render_template(
        "email_confirmation/adresse.html",
        dest=_client(interaction),
        form=form,
        wait=wait,
        email=account.pending_email,
        back_url=store.page_url("email_confirmation.waiting", interaction),
    )
    return make_response(html, status)


def _waiting_page(
    interaction: store.Interaction | None,
    account: Account,
    *,
    wait: int | None = None,
    capped: bool = False,
    status: int = 200,
) -> Response:
    held = guard.remaining_wait(limits.RESEND_LINK_ACCOUNT, str(account.id)) if wait is None else wait
    html = render_template(
        "email_confirmation/mail_envoye.html",
        dest=_client(interaction),
        email=account.pending_email,
        wait=held,
        resent_at=service.resent_at(account.id),
        change_url=store.page_url("email_confirmation.correct", interaction),
        link_hours=services().settings.email_link_lifetime // 3600,
        capped=capped,
        too_soon=status == HTTPStatus.TOO_MANY_REQUESTS,
    )
    return make_response(html, status)


def _confirmed_elsewhere(interaction: store.Interaction | None, account: Account) -> Response:
    """Lead on if the link was used on another device meanwhile, or if no address is required."""
    current = manager.current()
    if interaction and interaction.request and current and current[1].id == account.id and not _is_stale(interaction):
        return see_other(store.resume_url(interaction.without_person()))
    client = _client(interaction)
    return _confirmed_page("confirme.html", audience.first_ent(account, client.key if client else None))


def _is_stale(interaction: store.Interaction) -> bool:
    """Return whether the ENT may have forgotten its own request: some store their state for 15 minutes only."""
    return now() - interaction.started_at > _ENT_REMEMBERS


def _confirmed_page(name: str, ent: registry.Registration | None, question: service.Question | None = None) -> Response:
    html = render_template(
        f"email_confirmation/{name}",
        dest=ent,
        changes=question is not None and question.changes,
        shared=question is not None and question.shared,
        sign_in_url=store.page_url("login.sign_in", None),
    )
    return make_response(html)


def _invalid_link_page(*, sent: bool) -> Response:
    html = render_template(
        "email_confirmation/lien_expire.html",
        dest=None,
        link_hours=services().settings.email_link_lifetime // 3600,
        sent=sent,
        sign_in_url=store.page_url("login.sign_in", None),
    )
    return make_response(html, 200 if sent else 410)


def count_bad_link() -> None:
    """Count an invalid link for the network address, and raise `TooManyRequestsError` after too many."""
    verdict = guard.take(limits.BAD_LINK_IP, remote_ip())
    if isinstance(verdict, guard.Wait):
        raise TooManyRequestsError(verdict.seconds)


def _client(interaction: store.Interaction | None) -> registry.Registration | None:
    return registry.find(interaction.request.client_id) if interaction and interaction.request else None
