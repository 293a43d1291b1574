"""`/adresse/signalement/<token>`: « Ce n’est pas moi ». GET shows a button and changes nothing, POST reports.

Somebody else activated the account with the letter, says the mailbox of the school's file.

The link gives no control of the account: the account stays as it is, and the school decides.
"""

from dataclasses import dataclass

from flask import Blueprint, Response, make_response, render_template, request, url_for

from idp.accounts import directory, one_time_links, school_notices
from idp.accounts.models import Account, School
from idp.accounts.one_time_links import LinkState, Purpose
from idp.accounts.school_notices import Kind
from idp.audit import log
from idp.audit.events import ActivationReported
from idp.db import db, unit_of_work
from idp.services import services
from idp.sessions import guard
from idp.web.redirects import see_other


@dataclass(frozen=True)
class Report:
    """The values that the page of a link may show.

    Attributes:
        state: the state of the link.
        schools: the schools that are told.
    """

    state: LinkState
    schools: tuple[School, ...] = ()


def look(value: str) -> Report:
    """Return the values that the page of the link `value` may show; change nothing."""
    link = one_time_links.look_up(Purpose.REPORT_ACTIVATION, value)
    account = db.session.get(Account, link.row.account_id, populate_existing=True) if link.row else None
    if link.row is None or account is None:
        return Report(LinkState.DEAD)
    return Report(link.state, tuple(directory.schools(account)))


@unit_of_work()
def send(value: str) -> bool:
    """Use the link `value` and write a notice for each school; return False if the link does not work.

    Of two clicks one acts; `look` then returns USED for both.
    """
    row = one_time_links.look_up(Purpose.REPORT_ACTIVATION, value).row
    account = directory.get_for_change(row.account_id) if row else None
    link = one_time_links.redeem(Purpose.REPORT_ACTIVATION, value) if account else None
    if account is None or link is None:
        return False
    schools = directory.schools(account)
    school_notices.add(Kind.OTHER_MAILBOX, account.id, [school.id for school in schools])
    log.record(ActivationReported(account_id=account.id, uais=[school.uai for school in schools]))
    return True


blueprint = Blueprint("activation_report", __name__)


@blueprint.route("/adresse/signalement/<token>", methods=["GET", "POST"])
def activation(token: str) -> Response:
    """Ask whether somebody else activated the account; on a POST tell the schools. The page signs nobody in."""
    guard.refuse_incomplete_link(token)
    if request.method == "POST" and send(token):
        return see_other(url_for("activation_report.activation", token=token))
    link_report = look(token)
    match link_report.state:
        case LinkState.ALIVE:
            return _page("activation_autre.html", link_report)
        case LinkState.USED if request.method == "POST":
            return see_other(url_for("activation_report.activation", token=token))
        case LinkState.USED:
            return _page("activation_autre_fait.html", link_report)
        case _:
            guard.count_bad_link()
            return _page("activation_autre_expire.html", link_report, 410)


def _page(name: str, link_report: Report, status: int = 200) -> Response:
    html = render_template(
        f"email_confirmation/{name}",
        dest=None,
        schools=directory.tellable(link_report.schools),
        hours=services().settings.contest_link_lifetime // 3600,
    )
    return make_response(html, status)
