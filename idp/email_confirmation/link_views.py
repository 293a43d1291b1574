"""`/adresse/lien/<token>`: the link of the mail. GET shows a button and changes nothing, POST confirms."""

from contextlib import suppress

from flask import Blueprint, Response, make_response, render_template, request
from sqlalchemy.exc import SQLAlchemyError

from idp.accounts.one_time_links import LinkState
from idp.email_confirmation import confirmed, service
from idp.interaction import store
from idp.services import services
from idp.sessions import bad_links, manager
from idp.sessions.after_activation import Here
from idp.web import browser
from idp.web.errors import FormTokenError, form_token_refused
from idp.web.request_context import remote_ip

blueprint = Blueprint("email_link", __name__)


@blueprint.route("/adresse/lien/<token>", methods=["GET", "POST"])
def link(token: str) -> Response:
    """Show a button; on a POST confirm the address, and sign in the person who activated the account in this browser.

    A person who has only the link is not signed in.
    """
    bad_links.refuse_incomplete(token)
    if request.method == "POST" and "renvoyer" in request.form:
        if not service.resend_for_link(services().settings, token, remote_ip()):
            bad_links.count()
        return _invalid_link_page(sent=True)
    acts = request.method == "POST"
    leaves = "parti" in request.form
    used = service.use(services().settings, token, Here.of_request(), leaves=leaves) if acts else None
    question = service.look(services().settings, token)
    if question.state is LinkState.USED:
        return _confirmed_page(token, question, used, acts=acts)
    if question.state is LinkState.DEAD or (acts and not question.refused):
        bad_links.count()
        return _invalid_link_page(sent=False)
    return _question_page(question)


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
    response = confirmed.page(
        "confirme.html" if acts else "confirme_deja.html",
        account,
        ent,
        is_signed_in=opened is not None or (current is not None and current[1] is account),
        is_recent=used is not None,
        changes=question.changes,
        shared=question.shared,
    )
    if used:
        browser.note_used_link(str(used.link.id))
    if opened:
        opened.give_to(response)
    return response


def _question_page(question: service.Question) -> Response:
    here = manager.cookie_value() is not None or browser.is_known()  # before the form makes this browser known
    html = render_template(
        f"email_confirmation/{'lien_refuse' if question.refused else 'lien'}.html",
        dest=None,
        other_device=not here,
        waits_elsewhere=question.waits_elsewhere,
        changes=question.changes,
        schools=question.schools,
        shared=question.shared,
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
