"""`/activation` and `/activation/non-representant`."""

from collections.abc import Sequence
from http import HTTPStatus

from flask import Blueprint, Response, make_response, render_template, request
from flask_babel import gettext

from idp.accounts import addresses, directory
from idp.accounts.models import Account, School
from idp.accounts.passwords.hasher import Busy as HasherBusy
from idp.accounts.passwords.identity import identity, typed_twice
from idp.accounts.passwords.policy import check_password
from idp.activation import service
from idp.activation.forms import ActivationForm, NotGuardianForm
from idp.clients import registry
from idp.clock import now
from idp.interaction import store
from idp.mail.addresses import InvalidAddress, parse_address
from idp.services import services
from idp.web.errors import Busy, InteractionLost
from idp.web.redirects import see_other
from idp.web.request_context import remote_address

blueprint = Blueprint("activation", __name__)


@blueprint.route("/activation", methods=["GET", "POST"])
def activate() -> Response:
    """Show whose account it is and the form; on a POST activate it and send the link."""
    interaction, person = _opened()
    if request.method == "POST":
        try:
            with services().hasher.place("activation"):
                return _complete(interaction, person)
        except HasherBusy as busy:
            raise Busy(busy.retry_after) from None
    account = service.find_open(person.account_id, person.generation)
    if account is None:
        return _second_click(interaction, person)
    return _page(interaction, account, ActivationForm())


def _complete(interaction: store.Interaction, person: store.Person) -> Response:
    account = service.find_open(person.account_id, person.generation)
    if account is None:
        return _second_click(interaction, person)
    form, client = ActivationForm(), _client(interaction)
    email = _check(form, account)
    if form.errors:
        return _page(interaction, account, form)
    hashed = services().hasher.hash(form.password.data or "", "activation")
    done = service.Activation(hashed, email, interaction.id, client.key if client else None)
    if not service.complete(services().settings, person.account_id, person.generation, done):
        return _second_click(interaction, person)
    if email:  # the pause before a resend begins with this mail
        addresses.take_slots(person.account_id, email, remote_address())
    return see_other(store.page_url("email_confirmation.waiting", interaction))


@blueprint.route("/activation/non-representant", methods=["GET", "POST"])
def not_guardian() -> Response:
    """« Ce n’est pas votre enfant ? »: say what follows, then close the account and give the schools a notice."""
    interaction, person = _opened()
    account, form = service.find_open(person.account_id, person.generation), NotGuardianForm()
    if account is None:
        return _further_statement(interaction, person, form)
    children = service.children_of_letter(account)
    if not children:
        raise InteractionLost(_client(interaction))
    if request.method == "POST":
        known = [child.id.hex for child in children]
        chosen = known if len(known) == 1 else [key for key in form.children.data if key in known]
        if chosen:
            schools = service.dispute(person.account_id, person.generation, chosen, person.since)
            return _reported(interaction, schools) if schools else _dead_letter(interaction)
        form.children.errors = [gettext("Cochez au moins un élève, ou revenez à l’activation.")]
    html = render_template(
        "activation/non_representant.html",
        dest=_client(interaction),
        form=form,
        children=[(child.id.hex, directory.child_sentence(child)) for child in children],
        schools=directory.tellable({child.school_id: child.school for child in children}.values()),
        back_url=store.page_url("activation.activate", interaction),
    )
    return make_response(html)


def _further_statement(interaction: store.Interaction, person: store.Person, form: NotGuardianForm) -> Response:
    """Record further children (the browser's Back); show a second click the result of the first."""
    if request.method == "POST":
        schools = service.dispute(person.account_id, person.generation, form.children.data or [], person.since)
    else:
        schools = service.disputed_schools(person.account_id, person.since)
    return _reported(interaction, schools) if schools else _dead_letter(interaction)


def _reported(interaction: store.Interaction, schools: Sequence[School]) -> Response:
    """Say that the statement is recorded, and which schools have to decide."""
    html = render_template(
        "activation/non_representant_fait.html", dest=_client(interaction), schools=directory.tellable(schools)
    )
    return make_response(html)


def _opened() -> tuple[store.Interaction, store.Person]:
    interaction = store.current()
    if interaction is None:
        raise InteractionLost
    lifetime = services().settings.lifetime("activation_lifetime")
    if interaction.person is None or now() - interaction.person.since > lifetime:
        raise InteractionLost(_client(interaction))
    return interaction, interaction.person


def _second_click(interaction: store.Interaction, person: store.Person) -> Response:
    """Lead a form that was sent twice to the result of the first; refuse everybody else."""
    if service.was_completed_in(person.account_id, interaction.id):
        return see_other(store.page_url("email_confirmation.waiting", interaction))
    return _dead_letter(interaction)


def _dead_letter(interaction: store.Interaction) -> Response:
    """Say that the letter which opened this activation is void now: used, replaced, or reported."""
    html = render_template(
        "activation/courrier_mort.html",
        dest=_client(interaction),
        sign_in_url=store.page_url("login.sign_in", interaction.without_person()),
    )
    return make_response(html, HTTPStatus.GONE)


def _check(form: ActivationForm, account: Account) -> str | None:
    """Put the faults beside their fields; return the address as it will be kept."""
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
    if not faults and not typed_twice(password, form.confirmation.data or ""):
        form.confirmation.errors = [
            gettext("Les deux mots de passe ne sont pas les mêmes. Tapez-le une seconde fois, lettre par lettre.")
        ]
    typed = form.email.data or ""
    if not typed and not settings.mail_required:
        return None
    try:
        return parse_address(typed)
    except InvalidAddress as fault:
        form.email.errors = [addresses.explain(fault)]
        return None


def _page(interaction: store.Interaction, account: Account, form: ActivationForm) -> Response:
    names = [account.given_name, account.family_name, account.username.partition(".")[2]]
    names += [child.given_name for child in account.children]
    html = render_template(
        "activation/activation.html",
        dest=_client(interaction),
        form=form,
        person=account.display_name,
        username=account.username,
        children=[directory.child_sentence(child) for child in account.children],
        avoid=" ".join(" ".join(names).replace("-", " ").split()),
        min_length=services().settings.password_min_length,
        not_guardian_url=store.page_url("activation.not_guardian", interaction),
    )
    return make_response(html)


def _client(interaction: store.Interaction) -> registry.Registration | None:
    return registry.find(interaction.request.client_id) if interaction.request else None
