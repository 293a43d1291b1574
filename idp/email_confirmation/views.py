"""`/adresse/confirmation` and `/adresse/modifier`: the browser that waits until the address is confirmed."""

from contextlib import suppress
from datetime import timedelta
from http import HTTPStatus

from flask import Blueprint, Response, make_response, request
from flask_babel import gettext, ngettext
from sqlalchemy.exc import SQLAlchemyError

from idp import opaque
from idp.accounts import emails, mailboxes
from idp.accounts.authentication import Refused, Throttled
from idp.accounts.models import Account
from idp.accounts.one_time_links import LinkState
from idp.clients import audience
from idp.clock import ACTIVATION_LIFETIME, now
from idp.db import db
from idp.email_confirmation import link_views, service
from idp.email_confirmation.link_views import AddressForm, CodeForm
from idp.interaction import store
from idp.services import services
from idp.sessions import devices, manager
from idp.sessions.after_activation import Here, Opened
from idp.throttle import guard, limits
from idp.web.declarations import Trait, declares
from idp.web.errors import FormTokenError, InteractionLostError, form_token_refused, with_retry_after
from idp.web.http import current_request
from idp.web.i18n import in_words
from idp.web.redirects import render_page, see_other
from idp.web.request_context import remote_ip

blueprint = Blueprint("email_confirmation", __name__)

_CODE = "code"
# How long an ENT keeps the state of its request at least: some keep it no longer.
_ENT_STATE_LIFETIME = timedelta(minutes=15)


@blueprint.route("/adresse/confirmation", methods=["GET", "POST"])
@declares(Trait.LEADS_TO_ENT)
def waiting() -> Response:
    """« Consultez votre messagerie »: show the address; on a POST take the code, or send the message again.

    If the link was opened elsewhere meanwhile, also a GET redirects: the URL works in this browser alone.
    """
    interaction, account = _account_to_confirm()
    if account.email is not None:
        return _after_confirmation(interaction, account)
    if account.pending_email is None:
        if services().settings.mail_required:
            return see_other(store.page_url("email_confirmation.correct", interaction))
        return _after_confirmation(interaction, account)
    if request.method == "GET":
        return _waiting_page(interaction, account, CodeForm())
    if _CODE in current_request().fields:
        return _take_code(interaction, account)
    return _after_sending(interaction, account, _resend(interaction, account))


@blueprint.get("/adresse/confirmation/etat")
def state() -> Response:
    """Tell the script of the waiting page whether the person continues here or elsewhere; change nothing."""
    try:
        _, account = _account_to_confirm()
    except _ReplacedError:
        return make_response({"state": "replaced"})
    is_confirmed = account.email is not None or account.pending_email is None
    return make_response({"state": "confirmed" if is_confirmed else "waiting"})


class _ReplacedError(Exception):
    """The person of this browser's activation signed in in another browser, which waits for the confirmation now."""

    def __init__(self, interaction: store.Interaction) -> None:
        super().__init__()
        self.interaction = interaction


@blueprint.errorhandler(_ReplacedError)
def is_replaced(error: _ReplacedError) -> Response:
    """Show that the person continued elsewhere, also in place of an answer to a code; the page contains no name."""
    return render_page(
        "email_confirmation/autre_appareil.html",
        dest=store.client_of(error.interaction),
        sign_in_url=store.page_url("login.sign_in", error.interaction.without_person()),
    )


@blueprint.errorhandler(FormTokenError)
def form_is_old(error: FormTokenError) -> Response:
    """Lead on the second of two clicks on « Continuer »: the first one signed in, and renewed the form token."""
    with suppress(InteractionLostError, _ReplacedError, SQLAlchemyError):  # an error handler must not fail itself
        interaction, account = _account_to_confirm()
        if interaction is not None and account.email is not None:
            return _after_confirmation(interaction, account)
    return form_token_refused(error)


def _take_code(interaction: store.Interaction | None, account: Account) -> Response:
    form = CodeForm()
    digits = service.digits_of(form.code.data or "")
    if not digits:
        form.code.errors = [gettext("Tapez les six chiffres du code écrit dans le message.")]
        return _waiting_page(interaction, account, form)
    accepted = None
    outcome = service.use_code(services().settings, account.id, digits, remote_ip(), Here.of_request())
    match outcome:
        case service.Used(_, opened):
            return _activated(interaction, account, opened)
        case service.MailboxTaken():
            return render_page(
                "email_confirmation/lien_refuse.html",
                dest=store.client_of(interaction),
                changes=False,
                change_url=store.page_url("email_confirmation.correct", interaction),
            )
        case service.WrongCode(left):
            form.code.errors = [_wrong_sentence(left)]
            accepted = service.Accepted.CODE_AND_LINK
        case service.TooManyCodes(seconds):
            wait = in_words(seconds)
            sentence = gettext("Trop de codes faux. Vous pourrez en taper un autre dans %(wait)s.", wait=wait)
            form.code.errors = [sentence]
            return with_retry_after(_waiting_page(interaction, account, form, status=429), seconds)
        case service.SpentCode():
            present = db.session.get(Account, account.id, populate_existing=True)
            if present is not None and present.email is not None:  # another tab, or the link, was faster
                return _after_confirmation(interaction, present)
            form.code.errors = [_wrong_sentence(service.TRIES)]  # another mail replaced that of the code just now
    return _waiting_page(interaction, account, form, accepted=accepted)


def _wrong_sentence(left: int) -> str:
    return str(
        ngettext(
            "Ce n’est pas le code du dernier message. Il reste %(num)s essai.",
            "Ce n’est pas le code du dernier message. Il reste %(num)s essais.",
            left,
        )
    )


@blueprint.route("/adresse/modifier", methods=["GET", "POST"])
def correct() -> Response:
    """Correct a mistyped address that is not confirmed yet; the password is required each time."""
    interaction, account = _account_to_confirm()
    if account.email is not None:
        return _after_confirmation(interaction, account)
    form = AddressForm()
    to = _check(form) if request.method == "POST" else None
    if to is None or form.errors:
        return _correction_page(interaction, account, form, 200)
    client, attempt = store.client_of(interaction), devices.attempt(account.username, form.password.data or "")
    hasher = services().hasher
    outcome = service.correct(services().settings, hasher, attempt, to, client.key if client else None)
    match outcome:
        case Throttled(seconds):
            return with_retry_after(_correction_page(interaction, account, form, 429, wait=seconds), seconds)
        case Refused():
            form.password.errors = [gettext("Ce n’est pas votre mot de passe. Retapez-le lettre par lettre.")]
            return _correction_page(interaction, account, form, 200)
        case emails.TooSoon(seconds):
            return _too_soon_to_correct(interaction, account, form, seconds)
        case _:
            return _after_sending(interaction, account, outcome)


def _check(form: AddressForm) -> str | None:
    if not form.password.data:
        form.password.errors = [gettext("Tapez le mot de passe que vous avez choisi.")]
    return emails.typed_in(form.email)


def _account_to_confirm() -> tuple[store.Interaction | None, Account]:
    """Return the account whose address it is: the session's, or an account that this browser has just activated.

    Two people may share a browser: an activation gives access to its own account only, and no longer after somebody
    else signed in. An activation in the browser's history gives no access after the account's password was used
    anywhere, after another credential replaced it, or after `ACTIVATION_LIFETIME`. A confirmed account gets the page
    that says so, which contains no name.

    Raises:
        _ReplacedError: the person signed in elsewhere a short time after the activation of this browser.
        InteractionLostError: this browser has no access for another reason.
    """
    interaction = store.current()
    person = interaction.person if interaction else None
    current = manager.current()
    if current and (person is None or current[1].id == person.account_id):
        return interaction, current[1]
    account = db.session.get(Account, person.account_id) if person and not current else None
    if interaction is None or person is None or account is None or not account.is_enabled_at(now()):
        raise InteractionLostError(store.client_of(interaction))
    if not account.changed_once_since(person.generation) or not _is_activating(interaction, account):
        raise InteractionLostError(store.client_of(interaction))
    return interaction, account


def _is_activating(interaction: store.Interaction, account: Account) -> bool:
    """Return whether this interaction activated the account a short time ago, and nothing has happened since.

    Raises:
        _ReplacedError: the account signed in since, in another browser.
    """
    if account.email is not None:
        return True
    started = account.activated_at
    if started is None or now() - started > ACTIVATION_LIFETIME:
        return False
    if account.activated_in is None and account.last_sign_in_at is not None and account.last_sign_in_at >= started:
        device = devices.known(account.username)
        if device is None or device.since < started:  # otherwise this browser signed in itself, and has signed out
            raise _ReplacedError(interaction)
    return account.activated_in == opaque.digest(interaction.id)


def _resend(interaction: store.Interaction | None, account: Account) -> emails.Resent:
    """Send the message again, and read the account again: another request may have changed or removed it."""
    client = store.client_of(interaction)
    outcome = emails.resend(services().settings, account.id, ip=remote_ip(), client_id=client.key if client else None)
    if db.session.get(Account, account.id, populate_existing=True) is None:
        raise InteractionLostError(client)
    return outcome


def _after_sending(interaction: store.Interaction | None, account: Account, outcome: emails.Resent) -> Response:
    match outcome:
        case emails.Sent():
            return see_other(store.page_url("email_confirmation.waiting", interaction))
        case emails.TooSoon(seconds):
            page = _waiting_page(interaction, account, CodeForm(), wait=seconds, capped=outcome.capped, too_soon=True)
            return with_retry_after(page, seconds)
        case emails.NothingToConfirm():
            return _after_confirmation(interaction, account)


def _too_soon_to_correct(
    interaction: store.Interaction | None, account: Account, form: AddressForm, seconds: int
) -> Response:
    form.email.errors = [
        gettext(
            "Un message vient de partir. Vous pourrez valider cette nouvelle adresse dans %(wait)s.",
            wait=in_words(seconds),
        )
    ]
    return with_retry_after(_correction_page(interaction, account, form, 429), seconds)


def _correction_page(
    interaction: store.Interaction | None, account: Account, form: AddressForm, status: int, *, wait: int = 0
) -> Response:
    return render_page(
        "email_confirmation/adresse.html",
        status,
        dest=store.client_of(interaction),
        form=form,
        wait=wait,
        email=account.pending_email,
        back_url=store.page_url("email_confirmation.waiting", interaction),
    )


def _waiting_page(
    interaction: store.Interaction | None,
    account: Account,
    form: CodeForm,
    *,
    wait: int | None = None,
    capped: bool = False,
    too_soon: bool = False,
    status: int = 200,
    accepted: service.Accepted | None = None,
) -> Response:
    wait = guard.remaining_wait(limits.RESEND_LINK_ACCOUNT, str(account.id)) if wait is None else wait
    accepted, is_refused = accepted or service.accepted(account.id), bool(form.code.errors)
    if accepted is not service.Accepted.CODE_AND_LINK:
        form.code.errors = []  # there is no field, and the page says why
    return render_page(
        "email_confirmation/mail_envoye.html",
        HTTPStatus.TOO_MANY_REQUESTS if too_soon else status,
        dest=store.client_of(interaction),
        form=form,
        accepted=accepted,
        is_refused=is_refused,
        email=account.pending_email,
        wait=wait,
        resent_at=service.resent_at(account.id),
        change_url=store.page_url("email_confirmation.correct", interaction),
        state_url=store.page_url("email_confirmation.state", interaction),
        link_hours=services().settings.email_link_lifetime // 3600,
        capped=capped,
        too_soon=too_soon,
    )


def _after_confirmation(interaction: store.Interaction | None, account: Account) -> Response:
    """Return what follows once the address is confirmed, perhaps on another device, or if none is required.

    The browser that activated the account a short time ago gets its session now.
    """
    person, opened = interaction.person if interaction else None, None
    if person is not None and manager.current() is None and request.method != "HEAD":
        opened = service.sign_in(account.id, person.generation, Here.of_request())
    return _activated(interaction, account, opened)


def _activated(interaction: store.Interaction | None, account: Account, opened: Opened | None) -> Response:
    """Show « C’est activé » after a form; lead a page that only waited into the ENT that asked, or the letter's school.

    A person whose mailbox serves another account too reads that first. `opened` is the session that the browser gets.
    """
    client, current = store.client_of(interaction), manager.current()
    ent = audience.first_ent(account, client.key if client else None)
    is_signed_in = opened is not None or (current is not None and current[1].id == account.id)
    shared = is_signed_in and account.email is not None and mailboxes.serves_another(account, account.email)
    is_answered = interaction is not None and is_signed_in and _answers(interaction, account)
    onward = interaction.without_person() if interaction and is_answered else None
    if request.method == "GET" and (onward or opened) and not shared:
        home = ent.entrance(services().settings.issuer) if ent and not onward else ""
        response = see_other(home or store.resume_url(onward))
    else:
        question = service.Question(LinkState.USED, shared=shared)
        response = link_views.confirmed_page(
            "confirme.html", account, ent, question, is_signed_in=is_signed_in, onward=onward
        )
    if opened:
        opened.give_to(response)
    return response


def _answers(interaction: store.Interaction, account: Account) -> bool:
    """Return whether the ENT that asked gets its answer: it may know the person, and has not forgotten its request."""
    client = store.client_of(interaction)
    is_fresh = now() - interaction.started_at <= _ENT_STATE_LIFETIME
    return client is not None and is_fresh and audience.may_know(client.key, account.id)
