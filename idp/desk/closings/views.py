"""`/comptes/<account>/suspension` of the desk: close an account or one tie, and reopen it."""

import uuid
from typing import Any

from flask import Blueprint, Response, make_response, render_template, request, url_for

from idp.accounts import directory, school_notices
from idp.accounts.closings import Closing
from idp.accounts.models import Account, School
from idp.accounts.school_notices import Kind
from idp.audit import log
from idp.clock import now, today
from idp.db import db, unit_of_work
from idp.desk import access, decisions, family_pages
from idp.desk import fields as desk_fields
from idp.desk.access import Right, needs
from idp.desk.alerts import ALERT
from idp.desk.closings import budget, listing, shown
from idp.desk.closings.budget import TooManyError
from idp.desk.closings.forms import ClosingForm, ReopeningForm
from idp.desk.kept_forms import keeps
from idp.desk.naming import account_url
from idp.desk.search import service
from idp.desk.staff import posts
from idp.desk.staff.models import StaffRole
from idp.families import closing
from idp.families.closing import Decision
from idp.families.refusals import Code, RefusedError
from idp.outbox import queue
from idp.services import services
from idp.throttle import guard, limits
from idp.web.redirects import see_other

blueprint = Blueprint("closings", __name__)


@blueprint.route("/comptes/<uuid:account>/suspension", methods=["GET", "POST"])
@needs(Right.CLOSE, fresh=True)
@keeps("scope", "reason", "reference", "end", "until")
def close(account: uuid.UUID) -> Response:
    """Show what could be closed and what would end; close it."""
    chosen, form = family_pages.open_account(account), ClosingForm()
    if request.method == "GET":
        return _page(chosen, form)
    if not form.check(has_end=_chooses_end()):
        return _page(chosen, form)
    try:
        row = _close(chosen, form)
    except RefusedError as refusal:
        return _page(access.account(account), form, error=family_pages.refusal(refusal))
    except TooManyError as refusal:
        return _page(access.account(account), form, error=refusal.sentence)
    return see_other(url_for("closings.done", account=account, decision=row.id))


def _chooses_end() -> bool:
    """Return whether the post says how long: a school does, the académie closes for 24 hours."""
    return access.post().school is not None


def _close(account: Account, form: ClosingForm) -> Closing:
    reason, reference = desk_fields.one_line(form.reason.data), desk_fields.one_line(form.reference.data)
    try:
        child = form.child()
    except ValueError:
        access.refuse()
    school = access.post().school
    if school is None:
        if child is not None:
            access.refuse(str(child))
        return _close_for_a_day(account, reason, reference)
    if child is not None and child not in {tie.child_id for tie in shown.closable_ties(account)}:
        access.refuse(str(child))
    decision = Decision(reason=reason, reference=reference, until=form.instant(), child=child, school=school)
    moment = now()
    with budget.counted() as tally, unit_of_work():
        row = closing.decide(account.id, decision, may_end=access.may_end)
        tally.is_news = row.begun_at >= moment
        if tally.is_news and not access.own_spec().leads:
            _tell_heads(row, account, school)
    return row


def _tell_heads(row: Closing, account: Account, school: School) -> None:
    """Tell the heads of all schools of a person whose account a secretary closed without an end, or there too."""
    schools = {school.id} | {other.id for other in directory.schools_of_ties(account)}
    if row.child_id is None and (row.until is None or len(schools) > 1):
        school_notices.add(Kind.ACCOUNT_CLOSED, account.id, schools)
        payload = {"alert": "account_closed", "day": today().isoformat(), "count": 1, "staff": "", "school": ""}
        for head in posts.holders(access.heads(), StaffRole.school_id.in_(schools)):
            queue.enqueue(ALERT, {**payload, "recipient": str(head)})


def _close_for_a_day(account: Account, reason: str, reference: str) -> Closing:
    """Close an account for the académie; a second click leads to the row of the first one, and is not counted.

    Raises:
        RefusedError: see `closing.close_for_a_day`; or such a decision holds, for another reason.
    """
    moment = now()
    row = closing.close_for_a_day(account.id, reason, reference)
    if row.begun_at < moment:
        guard.uncount(limits.ACADEMY_CLOSING, log.current_origin().actor)
        if (row.reason, row.reference) != (reason, reference):
            raise RefusedError(Code.CLOSED_LATELY)
    return row


def _page(account: Account, form: ClosingForm, *, error: str = "") -> Response:
    held = decisions.of_accounts([account.id])[account.id]
    choices = shown.choices(account, held)
    if not form.scope.data and len(choices) == 1:
        form.scope.data = choices[0].value
    return _rendered(
        "suspendre.html",
        account,
        form=form,
        error=error,
        choices=choices,
        chooses_end=_chooses_end(),
        tells_heads=_chooses_end() and not access.own_spec().leads,
        in_force=[(item, shown.change(item)) for item in held if item.holds],
        is_possible=_chooses_end() or not closing.is_closed_lately(account.id, None, now()),
        over=[item for item in held if not item.holds],
    )


@blueprint.get("/suspensions")
@needs(Right.CLOSE)
def show() -> Response:
    """Show what is closed in scope: accounts and ties."""
    page = listing.page(request.args.get("page", 1, type=int))
    service.note_list(services().settings, "suspensions", len(page.lines))
    return make_response(render_template("desk/closings/suspensions.html", page=page))


@blueprint.get("/comptes/<uuid:account>/suspension/<uuid:decision>")
@needs(Right.CLOSE)
def done(account: uuid.UUID, decision: uuid.UUID) -> Response:
    """Say what a closing ended."""
    chosen = family_pages.open_account(account)
    row = access.decision(account, decision)
    item = decisions.as_shown(row)
    ents = shown.ents(row) if item.holds else None
    return _rendered("suspendu.html", chosen, item=item, ents=ents, outcome=shown.outcome(item))


@blueprint.route("/comptes/<uuid:account>/suspension/<uuid:decision>/reouverture", methods=["GET", "POST"])
@needs(Right.REOPEN, fresh=True)
@keeps("reason")
def reopen(account: uuid.UUID, decision: uuid.UUID) -> Response:
    """Ask why a closing ends before its time; end it. The files may have ended the tie since."""
    row, form, school = family_pages.open_decision(account, decision), ReopeningForm(), access.own_school()
    if not decisions.as_shown(row).is_decided_here:
        access.refuse(str(row.id))
    if request.method == "GET" or not form.check():
        return _reopening_page(row, form)
    try:
        closing.reopen(
            row.id, desk_fields.one_line(form.reason.data), schools=directory.reopened_by_heads_of(school.id)
        )
    except RefusedError as refusal:
        return _reopening_page(row, form, error=family_pages.refusal(refusal))
    return see_other(shown.page_after(row))


def _reopening_page(row: Closing, form: ReopeningForm, *, error: str = "") -> Response:
    item, account = decisions.as_shown(row), db.session.get_one(Account, row.account_id)
    ties = [] if item.is_tie else decisions.closed_ties(decisions.of_accounts([account.id])[account.id])
    closed, opens = shown.still_closed(row), shown.opens(row)
    return _rendered("rouvrir.html", account, form=form, item=item, error=error, closed=closed, opens=opens, ties=ties)


def _rendered(name: str, account: Account, **values: Any) -> Response:
    back = account_url(account.id) or url_for("home.today")
    return make_response(render_template(f"desk/closings/{name}", account=account, back=back, **values))
