"""`/classes`: the board, the letters of a class, the list for the class teacher, and the job `reminders`.

After a kill, the job runs again; the limit of one reminder a week and account skips those who have theirs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from flask import Blueprint, Response, abort, request, url_for
from flask_babel import gettext, lazy_gettext as _l
from sqlalchemy import select
from wtforms import BooleanField

from idp.accounts import directory
from idp.accounts.models import Child, Guardianship, School
from idp.audit import log
from idp.audit.desk_events import ClassListed
from idp.clock import now, today
from idp.db import db, unit_of_work
from idp.desk import access, naming, uncollected_letters
from idp.desk.access import Right, needs
from idp.desk.fields import WordField
from idp.desk.jobs import lifecycle
from idp.desk.jobs.kinds import REMINDERS, Finished, RefusedError, Running
from idp.desk.jobs.models import Job, State
from idp.desk.kept_forms import DeskForm, keeps
from idp.desk.letter import prints
from idp.desk.statistics import figures
from idp.desk.words import GROUPS
from idp.families.standing import Group
from idp.letters import class_lists, recipients
from idp.letters.class_lists import Missing, Remaining, Reminded
from idp.letters.recipients import PrintError, Recipient, Skip, Skipped
from idp.services import services
from idp.web.forms import PlainField
from idp.web.redirects import render_page, see_other

MISSING: Mapping[Missing, Any] = {
    Missing.ACTIVATION: _l("compte à activer avec le courrier"),
    Missing.NEW_ACTIVATION: _l("compte à activer de nouveau, avec le nouveau courrier"),
    Missing.LETTER: _l("compte à activer : demander un courrier au secrétariat"),
    Missing.CONFIRMATION: _l("adresse mail à confirmer, par le code ou le lien du mail"),
    Missing.EMAIL: _l("adresse mail à donner"),
}
_RARE = (Group.BLOCKED, Group.RELETTER)  # the states after a change of passwords


@dataclass(frozen=True)
class Cell:
    """The number of accounts in a state, and its part of the bar: from `x`, in percent."""

    state: Group
    title: str
    count: int
    x: float
    width: float


@dataclass(frozen=True)
class Line:
    """A line of the board: a class, "" for pupils without one, or the whole school."""

    name: str
    accounts: int
    cells: Sequence[Cell]

    @property
    def has_unconfirmed(self) -> bool:
        """Whether a reminder has somebody to go to: an account whose mail address waits for its confirmation."""
        return any(cell.count for cell in self.cells if cell.state is Group.UNCONFIRMED)


def board(school: School) -> tuple[list[Line], Line, int]:
    """Return the lines of the classes of a school, that of the whole school, and how many accounts are on no line.

    Those are disabled or closed. Passwords that have to be changed, which are rare, have a column only if there are
    some.
    """
    rows, whole = figures.by_class(school.id)
    states = [state for state, count in zip(figures.STATES, whole.counts, strict=True) if count or state not in _RARE]
    return [_line(row, states) for row in rows], _line(whole, states), whole.closed


def _line(row: figures.Row, states: Sequence[Group]) -> Line:
    counted, cells, x = dict(zip(figures.STATES, row.counts, strict=True)), [], 0.0
    for state in states:
        width = round(100 * counted[state] / max(row.accounts, 1), 2)
        cells.append(Cell(state, str(GROUPS[state]), counted[state], round(x, 2), width))
        x += width
    return Line(row.key, row.accounts, cells)


def leaves_out(school: School) -> bool:
    """Return whether an account counts in no line because each of its ties to pupils of the school is closed."""
    of_school = select(Guardianship.account_id).join(Child, Child.id == Guardianship.child_id)
    of_school = of_school.where(Child.school_id == school.id, Child.left_at.is_(None))
    moment = now()
    closed = set(db.session.scalars(of_school.where(Guardianship.is_unended, Guardianship.where_shut(moment))))
    if not closed:
        return False
    theirs = of_school.where(Guardianship.account_id.in_(closed), directory.counts_in_class(moment))
    return bool(closed.difference(db.session.scalars(theirs)))


class PrintForm(DeskForm):
    """How to print, and whether people with a valid letter get a new one."""

    word = WordField("IMPRIMER")
    layout = PlainField(_l("Format"), longest=10)
    renew = BooleanField(_l("Imprimer aussi pour les personnes dont le courrier est encore valable"))


blueprint = Blueprint("classes", __name__)


@dataclass(frozen=True)
class Chosen:
    """A class of the school, or all of them (`class_name` is None)."""

    school: School
    class_name: str | None

    @property
    def title(self) -> str:
        """The name of the class, or of the whole school."""
        return naming.class_title(self.class_name)

    @property
    def query(self) -> dict[str, str]:
        """The parameters of the URLs of this class."""
        return naming.class_query(self.class_name)

    @property
    def search_query(self) -> dict[str, str]:
        """The parameters of a search in this class."""
        return naming.class_search_query(self.class_name)


def _chosen() -> Chosen:
    """Return what the URL names; lead to the board if it names nothing, refuse the page without such a class."""
    school, name = access.own_school(), request.args.get("classe")
    if name is None and not request.args.get("tout"):
        abort(see_other(url_for("classes.show")))
    if name is not None and ("\x00" in name or not class_lists.has_class(school, name)):
        access.refuse()
    return Chosen(school, name)


@blueprint.get("/classes")
@needs(Right.READ_CLASSES)
def show() -> Response:
    """Show the counts of each class, and their sum."""
    school = access.own_school()
    lines, whole, closed = board(school)
    return render_page(
        "desk/classes/classes.html",
        rows=[(Chosen(school, line.name), line) for line in lines],
        total=(Chosen(school, None), whole),
        closed=closed,
        leaves_out=leaves_out(school),
        today=today(),
    )


@blueprint.route("/classes/courriers", methods=["GET", "POST"])
@needs(Right.PRINT_CLASSES, fresh=True)
@keeps("word", "layout", "renew")
def letters() -> Response:
    """Show who gets a letter; on a POST ask for the print, with the typed word if valid letters are replaced."""
    chosen, form = _chosen(), PrintForm()
    try:
        recipients.check_school(chosen.school)
        unprinted = uncollected_letters.of_school(services().settings, chosen.school.id)
        people, skipped = recipients.in_school(chosen.school, chosen.class_name, renew=False, unprinted=unprinted)
    except PrintError as refused:
        return _letters_page(chosen, form, [], [], refusal=str(refused.refusal or "fault"))
    if request.method == "POST" and (not form.renew.data or form.word.is_typed()):
        renew, name = bool(form.renew.data), chosen.class_name
        count = len(people) + (_valid(skipped) if renew else 0)
        parameters = {"class": name, "slips": form.layout.data == "slips", "renew": renew}
        if started := prints.start(form, parameters, "*" if name is None else f"={name}", count):
            return started
    return _letters_page(chosen, form, people, skipped)


def _valid(skipped: Sequence[Skipped]) -> int:
    return sum(entry.skip is Skip.HAS_LETTER for entry in skipped)


def _letters_page(
    chosen: Chosen, form: PrintForm, people: Sequence[Recipient], skipped: Sequence[Skipped], refusal: str = ""
) -> Response:
    names = prints.names_of([*(entry.account_id for entry in people), *(entry.account_id for entry in skipped)])
    if names:
        _journal(chosen, len(names))
    valid = _valid(skipped)
    return render_page(
        "desk/classes/courriers.html",
        chosen=chosen,
        form=form,
        groups=prints.named_groups(people, skipped, names),
        refusal=prints.REFUSALS[refusal] if refusal else "",
        valid=valid,
        printable=len(people) + valid,
    )


@blueprint.route("/classes/rappel", methods=["GET", "POST"])
@needs(Right.READ_CLASSES)
@keeps()
def remind() -> Response:
    """Show whom a mail would remind; on a POST, ask for the reminders."""
    chosen, form = _chosen(), DeskForm()
    people = class_lists.waiting(chosen.school, chosen.class_name)
    due = [person.guardian for person in people if not person.is_reminded and not person.is_later]
    reminded = [person.guardian for person in people if person.is_reminded]
    if request.method == "POST":
        if due:
            job = lifecycle.start(services().settings, REMINDERS, {"class": chosen.class_name})
            return see_other(url_for("jobs.show", key=job.id))
        form.form_errors.append(gettext("Il n’y a personne à rappeler en ce moment."))
    groups = [prints.NamedGroup(gettext("Recevront un mail de rappel : %(n)s", n=len(due)), due, is_open=True)]
    if reminded:
        title = gettext("Déjà rappelés depuis moins d’une semaine : %(n)s", n=len(reminded))
        groups.append(prints.NamedGroup(title, reminded))
    if due or reminded:
        _journal(chosen, len(due) + len(reminded))
    return render_page(
        "desk/classes/rappel.html",
        chosen=chosen,
        form=form,
        groups=groups,
        count=len(due),
        later=sum(person.is_later for person in people),
    )


@blueprint.get("/classes/liste")
@needs(Right.READ_CLASSES)
def names() -> Response:
    """Show who still has to activate or to confirm an address, for the class teacher: no code, no mail address."""
    chosen = _chosen()
    rows = _remaining(chosen)
    people = len({row.account_id for row in rows})
    return render_page("desk/classes/liste.html", chosen=chosen, rows=rows, people=people, words=MISSING)


@blueprint.get("/classes/liste.csv")
@needs(Right.READ_CLASSES)
def names_csv() -> Response:
    """Return the same list for a spreadsheet: it names nobody whom the page does not name."""
    chosen = _chosen()
    sheet = class_lists.as_csv(_remaining(chosen), MISSING)
    name = f"reste-a-activer-{naming.of_class(chosen.class_name)}.csv"
    return naming.as_download(sheet, name, naming.CSV)


def _remaining(chosen: Chosen) -> list[Remaining]:
    rows = class_lists.remaining(chosen.school, chosen.class_name)
    _journal(chosen, len(rows))
    return rows


@unit_of_work()
def _journal(chosen: Chosen, count: int) -> None:
    log.record(ClassListed(class_name=chosen.class_name or "", count=count))


def run(running: Running) -> Finished:
    """Send the reminders; see `Kind.run`."""
    school = db.session.get(School, running.school_id) if running.school_id else None
    if school is None:
        raise RefusedError("fault")
    people = [person.account_id for person in class_lists.waiting(school, running.parameters["class"])]

    def progress(reminded: Reminded) -> None:
        running.tick(sum(asdict(reminded).values()), len(people))

    return Finished(asdict(class_lists.remind(running.settings, people, progress)))


def describe(job: Job) -> Sequence[str]:
    """Return how many reminders were sent."""
    if job.state is State.CANCELLED:
        return [gettext("Les mails déjà partis restent partis ; les autres ne partent pas.")]
    if job.refusal:
        return [gettext("Les rappels se sont arrêtés. Vous pouvez les relancer : personne n’en reçoit deux.")]
    sent, too_soon, later, nothing = (job.result.get(key, 0) for key in ("sent", "too_soon", "later", "nothing"))
    sentences = (
        (too_soon, gettext("Déjà rappelés depuis moins d’une semaine : %(n)s.", n=too_soon)),
        (
            later,
            gettext(
                "Un autre mail vient de partir à la même adresse : %(n)s. Réessayez plus tard, après une minute au "
                "moins.",
                n=later,
            ),
        ),
        (nothing, gettext("Plus rien à confirmer : %(n)s.", n=nothing)),
    )
    first = gettext("Mails de rappel envoyés : %(n)s.", n=sent)
    return [first, *(sentence for count, sentence in sentences if count)]
