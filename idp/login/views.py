"""`/connexion`."""

from contextlib import suppress
from http import HTTPStatus

from flask import Blueprint, Response, make_response, request
from flask_babel import gettext
from sqlalchemy.exc import SQLAlchemyError

from idp.accounts import directory
from idp.accounts.authentication import Refused, Throttled
from idp.accounts.models import Account
from idp.accounts.passwords.hasher import HasherBusyError, fold_username
from idp.clients import audience
from idp.clock import now
from idp.interaction import store
from idp.login import known_accounts, passkey, plain, service
from idp.login.plain import Offers, SignInForm
from idp.metrics.catalogue import SIGN_INS
from idp.passkeys import keys
from idp.passkeys.ceremony import PasskeyForm
from idp.services import services
from idp.sessions import after_activation, cookies, devices, liveness, manager, staying
from idp.web import languages
from idp.web.browser import forget_used_link, renew_form_token
from idp.web.declarations import Trait, declares
from idp.web.errors import (
    FormTokenError,
    InteractionLostError,
    TooManyRequestsError,
    form_token_refused,
    with_retry_after,
)
from idp.web.http import current_request
from idp.web.redirects import render_page, see_other
from idp.web.request_context import remote_ip, user_agent

blueprint = Blueprint("login", __name__)


@blueprint.route("/connexion", methods=["GET", "POST"])
@declares(Trait.LEADS_TO_ENT)
def sign_in() -> Response:
    """Show the form; on a POST open a session or an activation, or show the one text for all failures."""
    interaction = store.current()
    form = SignInForm(plain.offers(interaction))
    if request.method == "GET":
        return _show(interaction, form)
    if answer := PasskeyForm().answer:
        return _answer_to_key(interaction, form, answer)
    if _has_empty_field(form):
        return _page(interaction, form, 200)
    return _answer(interaction, form, _decide(form))


def _decide(form: SignInForm) -> service.Outcome:
    attempt = devices.attempt(form.identifier, form.password.data or "", door="sign_in")
    known, former = services(), manager.cookie_value()
    try:
        return service.sign_in(known.settings, known.hasher, known.breached, attempt, former, stays=form.is_to_stay)
    except HasherBusyError:
        SIGN_INS.count("password", "busy")
        raise


def _answer(interaction: store.Interaction | None, form: SignInForm, outcome: service.Outcome) -> Response:
    match outcome:
        case service.SignedIn():
            return _opened(interaction, outcome, form)
        case service.MayActivate(account_id, generation):
            renew_form_token()
            started = (interaction or store.Interaction()).with_person(account_id, generation)
            response = see_other(store.resume_url(started))
            manager.clear_cookie(response)
            return response
        case service.MustRenew() | service.Closed():
            return _refusal_page(interaction, outcome)
        case Throttled(seconds):
            return with_retry_after(_page(interaction, form, 429, wait=seconds), seconds)
        case Refused():
            return _page(interaction, form, 200, failed=plain.By.PASSWORD)


def _opened(
    interaction: store.Interaction | None, outcome: service.SignedIn, form: SignInForm | None = None
) -> Response:
    """Redirect a browser that has a new session.

    After a sign-in by the `form`, the first one in a browser that can make passkeys leads to their offer.
    """
    renew_form_token()
    if (language := languages.kept()) and devices.is_settled(devices.known(outcome.username)):
        directory.keep_language(outcome.username, language)
    forget_used_link()
    onward = interaction and interaction.without_person()
    is_offered = form is not None and bool(form.has_passkeys.data) and keys.record_offer(outcome.account_id)
    response = see_other(store.page_url("passkey_sign_in.offer", onward) if is_offered else store.resume_url(onward))
    manager.set_cookie(response, outcome.cookie)
    if outcome.device_cookie:
        cookies.put_device(response, outcome.device_cookie)
    elif cookies.is_device_sent():
        staying.leave_to(response, outcome.account_id)
    devices.remember(response, outcome.username)
    return response


def _answer_to_key(interaction: store.Interaction | None, form: SignInForm, answer: str) -> Response:
    browser = manager.Browser(remote_ip(), user_agent())
    outcome = passkey.sign_in(
        services().settings, answer, browser, former=manager.cookie_value(), stays=form.is_to_stay
    )
    match outcome:
        case service.SignedIn():
            return _opened(interaction, outcome)
        case Refused():
            if isinstance(outcome, passkey.UnknownKey):
                form.unknown_key = keys.signal_unknown(services().settings, answer)
            return _page(interaction, form, 200, failed=plain.By.PASSKEY)
        case Throttled(seconds):
            sentence = gettext(
                "Il y a eu trop d’essais avec une clé d’accès. Vous pouvez taper votre mot de passe tout de suite."
            )
            back = store.page_url("login.sign_in", interaction), gettext("Se connecter avec le mot de passe")
            raise TooManyRequestsError(seconds, sentence=sentence, back=back)
        case _:
            return _answer(interaction, form, outcome)


def _has_empty_field(form: SignInForm) -> bool:
    """Return whether a field is empty, and put an error beside it: nothing is counted, and no account is read."""
    if not form.identifier:
        form.username.errors = [gettext("Tapez votre identifiant.")]
    if not form.password.data:
        form.password.errors = [gettext("Tapez votre mot de passe.")]
    return bool(form.errors)


def _asked_account(form: SignInForm) -> str:
    return form.known_account.data or request.args.get(known_accounts.PARAMETER, "")


def _show(interaction: store.Interaction | None, form: SignInForm) -> Response:
    if not _asked_account(form) and _session_answers(interaction):
        return see_other(store.resume_url(interaction and interaction.without_person()))
    return _page(interaction, form, 200)


@blueprint.errorhandler(FormTokenError)
def form_is_old(error: FormTokenError) -> Response:
    """Handle a sign-in form whose form token is refused. If another tab signed in, this one continues its own request.

    The typed password is not used, since nothing proves that the form is ours (security row I-13): only the session
    decides. If the typed identifier is another person's, a page asks which of the two people continues.
    """
    with suppress(InteractionLostError, SQLAlchemyError):  # an error handler must not fail itself
        interaction, current = store.current(), manager.current()
        form = SignInForm(Offers(stay=False, passkey=True))
        typed = form.identifier
        if current and typed and fold_username(typed) != current[1].username:
            return _another_person(interaction, form, current[1])
        if current and typed and _session_answers(interaction, typed=True):
            return see_other(store.resume_url(interaction and interaction.without_person()))
    return form_token_refused(error)


def _session_answers(interaction: store.Interaction | None, *, typed: bool = False) -> bool:
    """Return whether the session answers the request (after Back or in a second tab), so that nobody signs in again.

    A request for one person shows the form, since another person may be here, unless the session's identifier was
    `typed`. So does a page without a request, after another person chose a password in this browser.
    """
    current = manager.current()
    if current is None:
        return False
    authorization = interaction.request if interaction else None
    if interaction is None or authorization is None:
        return typed or not after_activation.expected_username()
    if authorization.subject is not None and not typed and not store.has_answer(interaction):
        return False
    return liveness.is_fresh_enough(
        current[0],
        prompts=frozenset(authorization.prompt.split()),
        max_age=authorization.max_age,
        acr=authorization.acr,
        started_at=interaction.started_at,
        now=now(),
    )


def _another_person(interaction: store.Interaction | None, form: SignInForm, account: Account) -> Response:
    return render_page(
        "login/autre_personne.html",
        HTTPStatus.BAD_REQUEST,
        dest=store.client_of(interaction),
        form=form,
        person=account.short_name,
        continue_url=store.resume_url(interaction and interaction.without_person()),
    )


def _refusal_page(interaction: store.Interaction | None, outcome: service.MustRenew | service.Closed) -> Response:
    where = {"dest": store.client_of(interaction), "sign_in_url": store.page_url("login.sign_in", interaction)}
    if isinstance(outcome, service.Closed):
        schools = directory.tellable(outcome.schools)
        return render_page("login/compte_ferme.html", outcome=outcome, schools=schools, **where)
    forgotten = store.page_url("recovery.password", interaction)
    return render_page("login/a_renouveler.html", outcome=outcome, forgotten_password_url=forgotten, **where)


def _page(
    interaction: store.Interaction | None,
    form: SignInForm,
    status: int,
    *,
    failed: plain.By | None = None,
    wait: int = 0,
) -> Response:
    client, asked = store.client_of(interaction), _asked_account(form)
    current = manager.current() if request.method == "GET" and (client or asked) else None
    form.choice = known_accounts.choice(interaction, current[1] if current else None, asked)
    is_unknown = client is not None and current is not None and not audience.may_know(client.key, current[1].id)
    expected = after_activation.expected_username()
    prefilled = plain.prefilled(interaction.request if interaction else None) or expected
    if request.method == "GET" and prefilled and not is_unknown and not form.username.data:
        form.username.data = prefilled
    if form.choice.other_url or form.username.data:
        current_request().names_people = True
    html = plain.render(
        client,
        form,
        plain.links(lambda endpoint: store.page_url(endpoint, interaction), store.decline_url(interaction)),
        connected=current[1].short_name if current and client and not asked else "",
        is_unknown=is_unknown,
        failed=failed,
        wait=wait,
        hint=_hint(form.identifier, expected),
    )
    return make_response(html, status)


def _hint(username: str, expected: str) -> plain.Hint:
    if expected and username == expected:
        return plain.Hint.CHOSEN
    may_be_first = known_accounts.may_be_first(username) and not manager.current()
    return plain.Hint.LETTER if may_be_first else plain.Hint.NONE
