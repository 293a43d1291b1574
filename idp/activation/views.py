"""`/activation` and `/activation/non-representant`."""

from collections.abc import Sequence
from http import HTTPStatus

from flask import Blueprint, Response, request
from flask_babel import gettext, lazy_gettext as _l
from wtforms import Field

from idp.accounts import directory, emails
from idp.accounts.models import Account, School
from idp.accounts.passwords.policy import check_password, identity, second_faults
from idp.activation import service
from idp.clients import registry
from idp.clock import ACTIVATION_LIFETIME, now
from idp.interaction import store
from idp.services import services
from idp.sessions import manager
from idp.throttle import guard, limits
from idp.web import browser, i18n
from idp.web.errors import InteractionLostError, TooManyRequestsError
from idp.web.forms import Form, PlainField, SecretField
from idp.web.http import current_request
from idp.web.redirects import render_page, see_other
from idp.web.request_context import remote_ip

_MOST_CHILDREN = 100
_KEY_LENGTH = 32


class ActivationForm(Form):
    """The new password and a mail address. Only a browser without a script has the second field."""

    password = SecretField(_l("Nouveau mot de passe"), name="nouveau")
    confirmation = SecretField(_l("Confirmez le mot de passe"), name="confirmation")
    email = PlainField(_l("Adresse mail"), name="mail", longest=400)

    @property
    def has_password(self) -> bool:
        """Whether a password was typed in any of the fields."""
        return bool(self.password.data or self.confirmation.data)

    @property
    def is_password_wrong(self) -> bool:
        """Whether a field of the password has an error."""
        return bool(self.password.errors or self.confirmation.errors)


class ChildrenField(Field):  # type: ignore[misc]
    """The keys of the ticked children. The values are limited in number and length, but not yet checked."""

    data: list[str]

    def process_formdata(self, valuelist: list[str]) -> None:
        """Keep the values that have the form of a key."""
        self.data = [value[:_KEY_LENGTH] for value in valuelist[:_MOST_CHILDREN]]


class NotGuardianForm(Form):
    """The children whose guardian the holder of a letter is not."""

    children = ChildrenField(_l("Élèves"), name="enfant", default=list)


blueprint = Blueprint("activation", __name__)


@blueprint.route("/activation", methods=["GET", "POST"])
def activate() -> Response:
    """Show the account's person and the form; on a POST activate the account and send the link."""
    interaction, person = _opened()
    if request.method == "POST":
        tries = (limits.ACTIVATION_ACCOUNT, person.account_id.hex), (limits.ACTIVATION_IP, remote_ip())
        if seconds := guard.take_or_wait(*tries):
            raise TooManyRequestsError(seconds)
        with services().hasher.queue_slot("activation"):
            return _complete(interaction, person)
    account = service.find_open(person.account_id, person.generation)
    if account is None:
        return _repeated_click(interaction, person)
    kept = service.kept_password(service.activation_key(interaction, person))
    return _page(interaction, account, ActivationForm(), is_kept=kept is not None)


def _complete(interaction: store.Interaction, person: store.Person) -> Response:
    account = service.find_open(person.account_id, person.generation)
    if account is None:
        return _repeated_click(interaction, person)
    form, client, key = ActivationForm(), store.client_of(interaction), service.activation_key(interaction, person)
    kept = None if form.has_password else service.kept_password(key)
    if kept is None:
        _check_password(form, account)
    email = _check_email(form)
    if form.is_password_wrong:
        former = service.kept_password(key)
        return _page(interaction, account, form, is_kept=former is not None)
    hashed = kept or services().hasher.hash(form.password.data or "", "activation")
    if form.errors:
        service.keep_password(key, hashed)
        return _page(interaction, account, form, is_kept=True)
    client_key, language = client.key if client else None, i18n.language()
    settings = services().settings
    if not service.complete(settings, interaction, person, hashed, email, client_id=client_key, language=language):
        return _repeated_click(interaction, person)
    if email:  # count this mail, so that the pause before a resend begins now
        emails.take_slots(person.account_id, email, remote_ip())
    browser.note_activation(person.account_id.hex, interaction.id)
    return see_other(store.page_url("email_confirmation.waiting", interaction))


@blueprint.route("/activation/non-representant", methods=["GET", "POST"])
def not_guardian() -> Response:
    """« Ce n’est pas votre enfant ? »: explain the consequences; on a POST close the account and tell the schools."""
    interaction, person = _opened()
    account, form = service.find_open(person.account_id, person.generation), NotGuardianForm()
    if account is None:
        return _further_statement(interaction, person, form)
    children = service.children_of_letter(account)
    if not children:
        raise InteractionLostError(store.client_of(interaction))
    if request.method == "POST":
        known = [child.id.hex for child in children]
        chosen = known if len(known) == 1 else [key for key in form.children.data if key in known]
        if chosen:
            schools = service.dispute(person.account_id, person.generation, chosen, person.since)
            return _reported(interaction, schools) if schools else _void_letter_page(interaction)
        form.children.errors = [gettext("Cochez au moins un élève, ou revenez à l’activation.")]
    return render_page(
        "activation/non_representant.html",
        dest=store.client_of(interaction),
        form=form,
        children=[(child.id.hex, directory.child_sentence(child)) for child in children],
        schools=directory.tellable({child.school_id: child.school for child in children}.values()),
        back_url=store.page_url("activation.activate", interaction),
    )


def _further_statement(interaction: store.Interaction, person: store.Person, form: NotGuardianForm) -> Response:
    """Record further children (the browser's Back); show a second click the result of the first."""
    if request.method == "POST":
        schools = service.dispute(person.account_id, person.generation, form.children.data or [], person.since)
    else:
        schools = service.disputed_schools(person.account_id, person.since)
    return _reported(interaction, schools) if schools else _void_letter_page(interaction)


def _reported(interaction: store.Interaction, schools: Sequence[School]) -> Response:
    return render_page(
        "activation/non_representant_fait.html", dest=store.client_of(interaction), schools=directory.tellable(schools)
    )


def _opened() -> tuple[store.Interaction, store.Person]:
    interaction = store.current()
    if interaction is None:
        raise InteractionLostError
    if interaction.person is None or now() - interaction.person.since > ACTIVATION_LIFETIME:
        raise InteractionLostError(store.client_of(interaction))
    return interaction, interaction.person


def _repeated_click(interaction: store.Interaction, person: store.Person) -> Response:
    """Show the second of two clicks the result of the first, and the signed-in owner that all is done."""
    if service.was_completed_in(person.account_id, interaction.id):
        return see_other(store.page_url("email_confirmation.waiting", interaction))
    current = manager.current()
    if current is not None and current[1].id == person.account_id and current[1].email is not None:
        return render_page("activation/deja_active.html", dest=store.client_of(interaction))
    return _void_letter_page(interaction)


def _void_letter_page(interaction: store.Interaction) -> Response:
    return render_page(
        "activation/courrier_mort.html",
        HTTPStatus.GONE,
        dest=store.client_of(interaction),
        sign_in_url=store.page_url("login.sign_in", interaction.without_person()),
    )


def _check_password(form: ActivationForm, account: Account) -> None:
    settings = services().settings
    password = form.password.data or ""
    person = identity(account, services().hasher, registry.public_names(settings))
    faults = check_password(
        password,
        person=person,
        min_length=settings.password_min_length,
        is_breached=services().breached.holds,
    )
    form.password.errors = [fault.message for fault in faults]
    if not faults:
        form.confirmation.errors = second_faults(password, form.confirmation.raw_data)


def _check_email(form: ActivationForm) -> str | None:
    if not form.email.data and not services().settings.mail_required:
        return None
    return emails.typed_in(form.email)


def _page(interaction: store.Interaction, account: Account, form: ActivationForm, *, is_kept: bool = False) -> Response:
    current_request().names_people = True
    names = [account.given_name, account.family_name, account.username.partition(".")[2]]
    names += [child.given_name for child in account.children]
    return render_page(
        "activation/activation.html",
        dest=store.client_of(interaction),
        form=form,
        is_kept=is_kept,
        account=account,
        children=[directory.child_sentence(child) for child in account.children],
        avoid=" ".join(" ".join(names).replace("-", " ").split()),
        min_length=services().settings.password_min_length,
        not_guardian_url=store.page_url("activation.not_guardian", interaction),
    )
