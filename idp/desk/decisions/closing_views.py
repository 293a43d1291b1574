"""The pages of the desk that close an account or one tie, reopen it, or note a call « Ce n’est pas mon enfant »."""

import uuid
from collections.abc import Callable
from datetime import date, datetime
from typing import Any, TypeVar

from flask import Response, make_response, render_template, request, url_for
from flask_babel import gettext, lazy_gettext as _l

from idp.accounts import directory, school_notices
from idp.accounts.closings import Closing, Kind as ClosingKind
from idp.accounts.models import Account, Guardianship, School
from idp.accounts.school_notices import Kind
from idp.audit import log
from idp.clock import end_of_day, now, today
from idp.db import db, unit_of_work
from idp.desk import access, family_pages, fields
from idp.desk.access import Right
from idp.desk.alerts import ALERT
from idp.desk.decisions import closings, effects
from idp.desk.decisions.answers import act, tells_heads
from idp.desk.decisions.effects import ACCOUNT
from idp.desk.decisions.views import CALLED, blueprint
from idp.desk.fields import ReasonField
from idp.desk.kept_forms import DeskForm, keeps
from idp.desk.naming import account_url, pupil
from idp.desk.staff import posts
from idp.desk.staff.models import StaffRole
from idp.families import closing, disputes, telephone
from idp.families.disputes import Outcome
from idp.families.refusals import Code, RefusedError
from idp.outbox import queue
from idp.services import services
from idp.throttle import guard, limits
from idp.web.forms import PlainField
from idp.web.redirects import see_other

DAY, OPEN = "jour", "ouverte"
_MOST_YEARS = 4
_Done = TypeVar("_Done")


class ClosingForm(DeskForm):
    """What is closed, why, and until when."""

    scope = PlainField(_l("Que voulez-vous suspendre ?"), longest=40)
    reason = ReasonField(
        _l("Motif"), longest=500, missing=_l("Écrivez le motif en quelques mots. Il reste au journal.")
    )
    reference = PlainField(_l("Référence du document (facultatif)"), longest=200)
    end = PlainField(_l("Quand la suspension finit-elle ?"), longest=10)
    until = PlainField(_l("Jusqu’au"), longest=20)

    def child(self) -> uuid.UUID | None:
        """Return the key of the child, or None for the whole account; refuse another value."""
        try:
            return None if self.scope.data == ACCOUNT else uuid.UUID(self.scope.data or "")
        except ValueError:
            access.refuse()

    def last_day(self) -> date | None:
        """Return the typed last day, or None if it is not a date."""
        return fields.day(self.until.data or "")

    def instant(self) -> datetime | None:
        """Return when the last day is over in Paris; None for a closing without an end."""
        last = self.last_day() if self.end.data == DAY else None
        return end_of_day(last) if last else None

    def check(self, *, has_end: bool) -> bool:
        """Write the faults of the form; return whether it has none. `has_end`: whether the person chooses the end."""
        self.reason.is_given()
        if not self.scope.data:
            self.scope.errors = [_l("Choisissez ce que vous suspendez.")]
        if has_end:
            self._check_end()
        return not self.errors

    def _check_end(self) -> None:
        if self.end.data not in {DAY, OPEN}:
            self.end.errors = [_l("Choisissez quand la suspension finit.")]
        if self.end.data == OPEN and self.until.data:
            self.until.errors = [
                _l("Vous avez choisi « Sans date de fin » : effacez cette date, ou choisissez « À une date ».")
            ]
        if self.end.data != DAY:
            return
        last, present = self.last_day(), today()
        if last is None:
            self.until.errors = [_l("Écrivez le dernier jour de la suspension. Exemple : 31/12/2026.")]
        elif last.year > present.year + _MOST_YEARS:
            self.until.errors = [family_pages.SENTENCES[Code.END_TOO_FAR]]
        elif last < present:
            self.until.errors = [family_pages.SENTENCES[Code.END_IN_THE_PAST]]


class ReopeningForm(DeskForm):
    """Why an access is reopened."""

    reason = ReasonField(_l("Motif"), longest=500, missing=_l("Écrivez-le en quelques mots. Cela reste au journal."))


class CallForm(DeskForm):
    """Who calls, and what they say."""

    caller = ReasonField(
        _l("La personne qui appelle, et son numéro"),
        longest=200,
        missing=_l("Écrivez qui appelle. Cela reste au journal."),
    )
    reason = ReasonField(
        _l("Ce que dit la personne"), longest=500, missing=_l("Écrivez-le en quelques mots. Cela reste au journal.")
    )

    def check(self) -> bool:
        """Write the faults of the form; return whether it has none."""
        return all([self.caller.is_given(), self.reason.is_given()])


@blueprint.route("/comptes/<uuid:account>/suspension", methods=["GET", "POST"])
@act
@keeps("scope", "reason", "reference", "end", "until")
def close(account: uuid.UUID) -> Response:
    """Show what could be closed and what would end; close it."""
    chosen, form, error = family_pages.open_account(account), ClosingForm(), ""
    school = access.post().school
    if request.method == "POST" and form.check(has_end=school is not None):
        try:
            row = _close(chosen, school, form) if school else _close_for_a_day(chosen, form)
            return see_other(url_for("decisions.closed", account=account, decision=row.id))
        except RefusedError as refusal:
            chosen, error = access.account(account), family_pages.refusal(refusal)
    held = closings.of_accounts([account])[account]
    choices = effects.choices(chosen, held)
    if not form.scope.data and len(choices) == 1:
        form.scope.data = ACCOUNT
    return _page(
        "suspendre.html",
        chosen,
        form=form,
        error=error,
        choices=choices,
        chooses_end=school is not None,
        tells_heads=school is not None and tells_heads("close"),
        in_force=[(item, effects.change(item)) for item in held if item.holds],
        is_possible=school is not None or not closing.is_closed_lately(account, None, now()),
        over=[item for item in held if not item.holds],
    )


def _close(account: Account, school: School, form: ClosingForm) -> Closing:
    child, moment = form.child(), now()
    if child is not None and child not in {tie.child_id for tie in effects.closable_ties(account)}:
        access.refuse(str(child))
    reason, reference = form.reason.text, fields.one_line(form.reference.data)
    decision = closing.Decision(reason=reason, reference=reference, until=form.instant(), child=child, school=school)

    @unit_of_work()
    def decide() -> Closing:
        row = closing.decide(account.id, decision, may_end=access.may_end)
        if row.begun_at >= moment and tells_heads("close"):
            _tell_heads(row, account, school)
        return row

    return _counted(decide, lambda row: row.begun_at >= moment)


def _counted(close_: Callable[[], _Done], is_news: Callable[[_Done], bool]) -> _Done:
    """Close an access, and count it for the person, in all their schools together; closings and calls count alike.

    Nothing is counted if the closing is refused, or is no news: a second click.

    Raises:
        RefusedError: the person closed as many as one may, or the closing is refused.
        RuntimeError: a unit of work is open.
    """
    spec, person, counts = access.own_spec().closings, str(access.person().staff.id), False
    if spec is None or spec.budget is None:
        access.refuse()
    if isinstance(guard.take(spec.budget, person), guard.Wait):
        raise RefusedError(Code.TOO_MANY_CLOSINGS)
    try:
        done = close_()
        counts = is_news(done)
        return done
    finally:
        if not counts:
            guard.uncount(spec.budget, person)


def _tell_heads(row: Closing, account: Account, school: School) -> None:
    """Tell the heads of all schools of a person whose account a secretary closed without an end, or there too."""
    schools = {school.id} | {other.id for other in directory.schools_of_ties(account)}
    if row.child_id is None and (row.until is None or len(schools) > 1):
        school_notices.add(Kind.ACCOUNT_CLOSED, account.id, schools)
        payload = {"alert": "account_closed", "day": today().isoformat(), "count": 1, "staff": "", "school": ""}
        for head in posts.holders(access.heads(), StaffRole.school_id.in_(schools)):
            queue.enqueue(ALERT, {**payload, "recipient": str(head)})


def _close_for_a_day(account: Account, form: ClosingForm) -> Closing:
    """Close an account for the académie; a second click leads to the row of the first one, and is not counted.

    Raises:
        RefusedError: see `closing.close_for_a_day`; or such a decision holds, for another reason.
    """
    if (child := form.child()) is not None:
        access.refuse(str(child))
    reason, reference = form.reason.text, fields.one_line(form.reference.data)
    moment = now()
    row = closing.close_for_a_day(account.id, reason, reference)
    if row.begun_at < moment:
        guard.uncount(limits.ACADEMY_CLOSING, log.current_origin().actor)
        if (row.reason, row.reference) != (reason, reference):
            raise RefusedError(Code.CLOSED_LATELY)
    return row


@blueprint.get("/comptes/<uuid:account>/suspension/<uuid:decision>")
@act
def closed(account: uuid.UUID, decision: uuid.UUID) -> Response:
    """Say what a closing ended."""
    chosen = family_pages.open_account(account)
    [item] = closings.views([access.decision(account, decision)])
    return _page("suspendu.html", chosen, item=item, ended=effects.ended(item, chosen), outcome=effects.outcome(item))


@blueprint.route("/comptes/<uuid:account>/suspension/<uuid:decision>/reouverture", methods=["GET", "POST"])
@act
@keeps("reason")
def reopen(account: uuid.UUID, decision: uuid.UUID) -> Response:
    """Ask why a closing ends before its time; end it. The files may have ended the tie since."""
    row, form, error = family_pages.open_decision(account, decision), ReopeningForm(), ""
    [item] = closings.views([row])
    if not item.is_decided_here:
        access.refuse(str(row.id))
    if request.method == "POST" and form.reason.is_given():
        try:
            closing.reopen(row.id, form.reason.text, school=access.own_school())
            return see_other(_page_after(row))
        except RefusedError as refusal:
            [item], error = closings.views([row]), family_pages.refusal(refusal)
    ties = [] if item.is_tie else closings.closed_ties(closings.of_accounts([account])[account])
    after, opens = effects.after_end(row)
    person = db.session.get_one(Account, account)
    return _page("rouvrir.html", person, form=form, item=item, error=error, after=after, opens=opens, ties=ties)


def _page_after(row: Closing) -> str:
    """Return the page that says what the end of a decision did: the account's, or if it is out of scope another one."""
    _, opens = effects.after_end(row)
    done = "rouvert" if opens else "finie"
    if account_url(row.account_id):
        return url_for("accounts.show", account=row.account_id, fait=done)
    return url_for("accounts.family", pupil=row.child_id, fait=done) if row.child_id else url_for("decisions.in_force")


@blueprint.route("/comptes/<uuid:account>/pas-mon-enfant/<uuid:child>", methods=["GET", "POST"])
@act
@keeps("caller", "reason")
def call(account: uuid.UUID, child: uuid.UUID) -> Response:
    """Say what « Ce n’est pas mon enfant » closes; on a POST close it, and open the notice."""
    school, person, about = access.own_school(), family_pages.open_account(account), access.child(child)
    tie = _tie(account, child)
    is_possible, error, form = telephone.may_be_disputed(person, tie), "", CallForm()
    if request.method == "POST" and form.check():
        words, repeats = f"{form.caller.text} : {form.reason.text}", access.may(Right.REOPEN)
        try:
            noted = _counted(
                lambda: telephone.note_not_guardian(account, child, school, may_repeat=repeats, call=words),
                lambda noted: noted.is_news,
            )
            return see_other(url_for("decisions.notice", notice=noted.notice, fait=CALLED))
        except RefusedError as refusal:
            is_possible = refusal.code in {Code.CALLED_LATELY, Code.TOO_MANY_CLOSINGS}
            error = family_pages.refusal(refusal) if is_possible else ""
    mail = gettext("Un mail prévient la personne, car quelqu’un d’autre peut appeler en son nom.")
    ends = effects.ends_with_account(person, mail) if is_possible else ""
    return _page("appel.html", person, form=form, child=pupil(about), is_possible=is_possible, error=error, ends=ends)


@blueprint.route("/comptes/<uuid:account>/pas-mon-enfant/<uuid:child>/retour", methods=["GET", "POST"])
@act
@keeps("reason")
def restore(account: uuid.UUID, child: uuid.UUID) -> Response:
    """Ask why a tie that the school ended holds again; on a POST restore it."""
    school, person, about = access.own_school(), family_pages.open_account(account), access.child(child)
    tie, form, error = _tie(account, child), ReopeningForm(), ""
    if request.method == "POST" and form.reason.is_given():
        decision = disputes.Decision(
            outcome=Outcome.REJECT,
            reason=form.reason.text,
            kind=Kind.NOT_GUARDIAN,
            school=school,
            child=about.id,
            reopens=True,
        )
        try:
            disputes.settle(services().settings, account, decision)
            return see_other(url_for("accounts.show", account=account, fait="retabli"))
        except RefusedError as refusal:
            error = family_pages.refusal(refusal)
    return _page(
        "retablir.html",
        person,
        form=form,
        error=error,
        child=pupil(about),
        is_possible=tie.is_closed_as(ClosingKind.EXCLUDED),
    )


def _tie(account: uuid.UUID, child: uuid.UUID) -> Guardianship:
    return db.session.get(Guardianship, (account, child)) or access.refuse(str(child))


def _page(name: str, account: Account, **values: Any) -> Response:
    back = account_url(account.id) or url_for("home.today")
    return make_response(render_template(f"desk/decisions/{name}", account=account, back=back, **values))
