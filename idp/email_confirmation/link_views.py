"""`/adresse/lien/<token>`: the link of the mail. GET shows a form and changes nothing, POST confirms.

It has the forms of the slice, and the page after the confirmation.

The mail may have gone to a stranger, because of one wrong letter in the address. So a browser that neither activated
the account nor has a session of it asks for the account's password too.
"""

from contextlib import suppress
from http import HTTPStatus

from flask import Blueprint, Response, request
from flask_babel import gettext, lazy_gettext as _l
from sqlalchemy.exc import SQLAlchemyError

from idp.accounts import authentication, directory
from idp.accounts.models import Account
from idp.accounts.one_time_links import LinkState
from idp.clients import audience, registry
from idp.email_confirmation import service
from idp.interaction import store
from idp.services import services
from idp.sessions import devices, guard, manager
from idp.sessions.after_activation import Here
from idp.web import browser
from idp.web.errors import FormTokenError, form_token_refused, with_retry_after
from idp.web.forms import Form, PlainField, SecretField
from idp.web.redirects import render_page
from idp.web.request_context import remote_ip


class AddressForm(Form):
    """Another mail address, and the password that was chosen at the activation."""

    email = PlainField(_l("Adresse mail"), name="mail", longest=400)
    password = SecretField(_l("Mot de passe"), name="mot-de-passe")


class LinkForm(Form):
    """The password, where the link of the mail is opened in a browser that did not choose it."""

    password = SecretField(_l("Le mot de passe que vous venez de choisir"), name="mot-de-passe")


class CodeForm(Form):
    """The code of the mail."""

    code = PlainField(_l("Code reçu par mail"), name="code", longest=40)


def confirmed_page(
    name: str,
    account: Account | None,
    ent: registry.Registration | None,
    question: service.Question,
    *,
    is_signed_in: bool = False,
    is_recent: bool = False,
    onward: store.Interaction | None = None,
) -> Response:
    """Return the page `name`, which leads to `ent`, or to the sign-in page without one.

    Args:
        name: the template.
        account: the account whose address was confirmed.
        ent: the ENT.
        question: the values of the link that was used.
        is_signed_in: whether the person is signed in, so that the ENT asks for no password.
        is_recent: whether this request confirmed the address, so that the link worked until now.
        onward: the request of the ENT, for a person who is signed in and an ENT whose home is unknown.
    """
    return render_page(
        f"email_confirmation/{name}",
        dest=ent,
        ents=_ents(account, ent, named=is_signed_in, placed=is_recent) if account and ent else [],
        is_signed_in=is_signed_in,
        waits_elsewhere=question.waits_elsewhere,
        changes=question.changes,
        shared=question.shared,
        sign_in_url=store.resume_url(onward) if is_signed_in else store.page_url("login.sign_in", None),
    )


def _ents(
    account: Account, first: registry.Registration, *, named: bool, placed: bool
) -> list[tuple[registry.Registration, list[str]]]:
    """Return the ENTs of a family that has several, each with what says whose it is.

    A person who has only the link reads no name (security row V-11): a used link in an old mail does not tell where the
    children go to school today.
    """
    ents = audience.ents_of_children(account, first)
    if len(ents) == 1:
        return []
    if named:
        return [(ent, [directory.child_sentence(child) for child in children]) for ent, children in ents]
    return [(ent, list(dict.fromkeys(child.school.name for child in children if placed))) for ent, children in ents]


blueprint = Blueprint("email_link", __name__)


@blueprint.route("/adresse/lien/<token>", methods=["GET", "POST"])
def link(token: str) -> Response:
    """Show the form; on a POST confirm the address, and sign in the person who activated the account in this browser.

    « Confirmer ici » signs in here, in place of the browser that waits, the person who typed the password.
    """
    guard.refuse_incomplete_link(token)
    if request.method == "POST" and "renvoyer" in request.form:
        if not service.resend_for_link(services().settings, token, remote_ip()):
            guard.count_bad_link()
        return _invalid_link_page(sent=True)
    acts = request.method == "POST"
    used = None
    question = service.look(services().settings, token)
    if acts and question.state is LinkState.ALIVE and not question.refused:
        if question.asks_password and (refusal := _password_refusal(token, question)):
            return refusal
        used = service.use(services().settings, token, Here.of_request(), leaves="ici" in request.form)
        question = service.look(services().settings, token)
    if question.state is LinkState.USED:
        return _confirmed_page(token, question, used, acts=acts)
    if question.state is LinkState.DEAD or (acts and not question.refused):
        guard.count_bad_link()
        return _invalid_link_page(sent=False)
    if question.refused:
        sign_in_url = store.page_url("login.sign_in", None)
        page = "email_confirmation/lien_refuse.html"
        return render_page(page, dest=None, changes=question.changes, sign_in_url=sign_in_url)
    return _question_page(question, LinkForm())


def _password_refusal(token: str, question: service.Question) -> Response | None:
    """Verify the password as a sign-in does; return the page of a wrong one, or None if it is right."""
    form, (account, _) = LinkForm(), service.account_and_ent(token)
    if account is None or not form.password.data:
        form.password.errors = [gettext("Tapez le mot de passe que vous avez choisi.")]
        return _question_page(question, form)
    attempt = devices.attempt(account.username, form.password.data, door="link")
    # a link ends when its account's password changes: nothing has to be compared again
    match authentication.verify_secret(services().settings, services().hasher, attempt, lambda proof: proof):
        case authentication.Throttled(seconds):
            return with_retry_after(_question_page(question, form, wait=seconds), seconds)
        case authentication.Refused():
            form.password.errors = [gettext("Ce n’est pas votre mot de passe. Retapez-le lettre par lettre.")]
            return _question_page(question, form)
        case _:
            return None


@blueprint.errorhandler(FormTokenError)
def form_is_old(error: FormTokenError) -> Response:
    """Show the second of two clicks what the first one did: it signed in, and renewed the form token."""
    with suppress(SQLAlchemyError):  # an error handler must not fail itself
        token = (request.view_args or {}).get("token", "")
        question = service.look(services().settings, token)
        if question.state is LinkState.USED:
            return _confirmed_page(token, question, None, acts=True)
    return form_token_refused(error)


def _confirmed_page(token: str, question: service.Question, used: service.Used | None, *, acts: bool) -> Response:
    account, ent = service.account_and_ent(token)
    opened, current = used.opened if used else None, manager.current()
    response = confirmed_page(
        "confirme.html" if acts else "confirme_deja.html",
        account,
        ent,
        question,
        is_signed_in=opened is not None or (current is not None and current[1] is account),
        is_recent=used is not None,
    )
    if used:
        browser.note_used_link(str(used.link.id))
    if opened:
        opened.give_to(response)
    return response


def _question_page(question: service.Question, form: LinkForm, *, wait: int = 0) -> Response:
    if question.changes:
        form.password.label.text = gettext("Mot de passe")
    return render_page(
        "email_confirmation/lien.html",
        HTTPStatus.TOO_MANY_REQUESTS if wait else HTTPStatus.OK,
        dest=None,
        form=form,
        wait=wait,
        asks_password=question.asks_password,
        waits_elsewhere=question.waits_elsewhere,
        changes=question.changes,
        shared=question.shared,
    )


def _invalid_link_page(*, sent: bool) -> Response:
    return render_page(
        "email_confirmation/lien_expire.html",
        200 if sent else 410,
        dest=None,
        link_hours=services().settings.email_link_lifetime // 3600,
        sent=sent,
        sign_in_url=store.page_url("login.sign_in", None),
    )
