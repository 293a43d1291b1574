"""`/classes`: the board, the letters of a class, the list for the class teacher, and the job `reminders`.

After a kill, the job runs again; the limit of one reminder a week and account skips those who have theirs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from flask import Blueprint, Response, make_response, render_template, request, url_for
from flask_babel import gettext
from flask_babel import lazy_gettext as _l
from wtforms import BooleanField

from idp.accounts.models import School
from idp.audit import log
from idp.audit.desk_events import ClassListed
from idp.clock import today
from idp.db import db, unit_of_work
from idp.desk import access, downloads, naming, uncollected_letters
from idp.desk.access import Right, needs
from idp.desk.classes import board
from idp.desk.fields import WordField
from idp.desk.jobs import asking
from idp.desk.jobs.kinds import PRINT, REMINDERS
from idp.desk.jobs.models import Job, State
from idp.desk.jobs.work import Finished, RefusedError, Running
from idp.desk.kept_forms import DeskForm, keeps
from idp.desk.letter import words
from idp.desk.letter.words import Group, getting_letters, skipped_people
from idp.letters import class_lists, recipients
from idp.letters.class_lists import Missing, Remaining, Reminded
from idp.letters.recipients import PrintError, Recipient, Skip, Skipped
from idp.services import services
from idp.web.forms import PlainField
from idp.web.redirects import see_other

MISSING: Mapping[Missing, Any] = {
    Missing.ACTIVATION: _l("compte à activer avec le courrier"),
    Missing.NEW_ACTIVATION: _l("compte à activer de nouveau, avec le nouveau courrier"),
    Missing.LETTER: _l("compte à activer : demander un courrier au secrétariat"),
    Missing.CONFIRMATION: _l("adresse mail à confirmer, par le code ou le lien du mail"),
    Missing.EMAIL: _l("adresse mail à donner"),
}
"""What a guardian still has to do."""


SLIPS = "slips"
LAYOUTS = (
    ("letters", _l("Lettres : une page par personne")),
    (SLIPS, _l("Petit format : trois par feuille, à découper")),
)
"""The layouts of a print, with their labels."""


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


def _chosen() -> Chosen | None:
    """Return what the URL names, or None if it names nothing; refuse the page if the school has no such class."""
    school, name = access.own_school(), request.args.get("classe")
    if name is None and request.args.get("tout"):
        return Chosen(school, None)
    if name is None:
        return None
    if "\x00" in name or not class_lists.has_class(school, name):
        access.refuse()
    return Chosen(school, name)


@blueprint.get("/classes")
@needs(Right.READ_CLASSES)
def show() -> Response:
    """Show the counts of each class, and their sum."""
    school = access.own_school()
    shown = board.of_school(school)
    page = render_template(
        "desk/classes/classes.html",
        board=shown,
        rows=[(Chosen(school, line.name), line) for line in shown.lines],
        total=(Chosen(school, None), shown.whole),
        leaves_out=board.leaves_out(school),
        today=today(),
    )
    return make_response(page)


@blueprint.route("/classes/courriers", methods=["GET", "POST"])
@needs(Right.PRINT_CLASSES, fresh=True)
@keeps("word", "layout", "renew")
def letters() -> Response:
    """Show who gets a letter; on a POST ask for the print, with the typed word if valid letters are replaced."""
    chosen, form = _chosen(), PrintForm()
    if chosen is None:
        return see_other(url_for("classes.show"))
    try:
        recipients.check_school(chosen.school)
        unprinted = uncollected_letters.of_school(services().settings, chosen.school.id)
        people, skipped = recipients.in_school(chosen.school, chosen.class_name, renew=False, unprinted=unprinted)
    except PrintError as refused:
        return _letters_page(chosen, form, [], [], refusal=str(refused.refusal or "fault"))
    if request.method == "POST" and (not form.renew.data or form.word.is_typed()):
        renewed = [entry for entry in skipped if entry.skip is Skip.HAS_LETTER] if form.renew.data else []
        if people or renewed:
            parameters = {
                "class": chosen.class_name,
                "slips": form.layout.data == SLIPS,
                "renew": bool(form.renew.data),
            }
            lane = f"{PRINT.name} {chosen.school.uai} {'*' if chosen.class_name is None else f'={chosen.class_name}'}"
            job = asking.start_alone(PRINT, parameters, lane)
            if job and asking.is_own(job) and job.parameters == parameters:
                return see_other(url_for("jobs.show", key=job.id))  # a second tap leads to the print of the first one
            form.form_errors.append(gettext("Une impression de ces courriers est déjà en cours. Attendez sa fin."))
        else:
            form.form_errors.append(gettext("Il n’y a personne à qui imprimer un courrier."))
    return _letters_page(chosen, form, people, skipped)


def _letters_page(
    chosen: Chosen, form: PrintForm, people: Sequence[Recipient], skipped: Sequence[Skipped], refusal: str = ""
) -> Response:
    names = words.names([*(entry.account_id for entry in people), *(entry.account_id for entry in skipped)])
    getting = [(entry.class_name, names[entry.account_id]) for entry in people if entry.account_id in names]
    groups = [*getting_letters(getting), *skipped_people(skipped, names)]
    if names:
        _journal(chosen, len(names))
    valid = sum(entry.skip is Skip.HAS_LETTER for entry in skipped)
    page = render_template(
        "desk/classes/courriers.html",
        chosen=chosen,
        form=form,
        groups=groups,
        layouts=LAYOUTS,
        refusal=words.REFUSALS[refusal] if refusal else "",
        valid=valid,
        printable=len(people) + valid,
    )
    return make_response(page)


@blueprint.route("/classes/rappel", methods=["GET", "POST"])
@needs(Right.READ_CLASSES)
@keeps()
def remind() -> Response:
    """Show whom a mail would remind; on a POST, ask for the reminders."""
    chosen, form = _chosen(), DeskForm()
    if chosen is None:
        return see_other(url_for("classes.show"))
    people = class_lists.waiting(chosen.school, chosen.class_name)
    due = [person for person in people if not person.is_reminded and not person.is_later]
    if request.method == "POST":
        if due:
            job = asking.start(services().settings, REMINDERS, {"class": chosen.class_name})
            return see_other(url_for("jobs.show", key=job.id))
        form.form_errors.append(gettext("Il n’y a personne à rappeler en ce moment."))
    groups = [
        Group(
            gettext("Recevront un mail de rappel : %(n)s", n=len(due)),
            [person.guardian for person in due],
            is_open=True,
        )
    ]
    if reminded := [person.guardian for person in people if person.is_reminded]:
        groups.append(Group(gettext("Déjà rappelés depuis moins d’une semaine : %(n)s", n=len(reminded)), reminded))
    if named := sum(len(group.names) for group in groups):
        _journal(chosen, named)
    page = render_template(
        "desk/classes/rappel.html",
        chosen=chosen,
        form=form,
        groups=groups,
        count=len(due),
        later=sum(person.is_later for person in people),
    )
    return make_response(page)


@blueprint.get("/classes/liste")
@needs(Right.READ_CLASSES)
def names() -> Response:
    """Show who still has to activate or to confirm an address, for the class teacher: no code, no mail address."""
    chosen = _chosen()
    if chosen is None:
        return see_other(url_for("classes.show"))
    rows = _remaining(chosen)
    people = len({row.account_id for row in rows})
    page = render_template("desk/classes/liste.html", chosen=chosen, rows=rows, people=people, words=MISSING)
    return make_response(page)


@blueprint.get("/classes/liste.csv")
@needs(Right.READ_CLASSES)
def names_csv() -> Response:
    """Return the same list for a spreadsheet: it names nobody whom the page does not name."""
    chosen = _chosen()
    if chosen is None:
        return see_other(url_for("classes.show"))
    sheet = class_lists.as_csv(_remaining(chosen), MISSING)
    name = f"reste-a-activer-{downloads.of_class(chosen.class_name)}.csv"
    return downloads.as_download(sheet, name, downloads.CSV)


def _remaining(chosen: Chosen) -> list[Remaining]:
    rows = class_lists.remaining(chosen.school, chosen.class_name)
    _journal(chosen, len(rows))
    return rows


@unit_of_work()
def _journal(chosen: Chosen, count: int) -> None:
    """Journal that a page or a file names people of a class."""
    log.record(ClassListed(class_name=chosen.class_name or "", count=count))


def run(running: Running) -> Finished:
    """Send the reminders; see `Kind.run`."""
    school = db.session.get(School, running.school_id) if running.school_id else None
    if school is None:
        raise RefusedError("fault")
    people = [person.account_id for person in class_lists.waiting(school, running.parameters["class"])]

    def progress(reminded: Reminded) -> None:
        running.tick(sum(asdict(reminded).values()), len(people))

    reminded = class_lists.remind(running.settings, people, progress)
    return Finished(asdict(reminded))


def describe(job: Job) -> Sequence[str]:
    """Return how many reminders were sent."""
    if job.state is State.CANCELLED:
        return [gettext("Les mails déjà partis restent partis ; les autres ne partent pas.")]
    if job.refusal:
        return [gettext("Les rappels se sont arrêtés. Vous pouvez les relancer : personne n’en reçoit deux.")]
    result = job.result
    sentences = [
        gettext("Mails de rappel envoyés : %(n)s.", n=result.get("sent", 0)),
        gettext("Déjà rappelés depuis moins d’une semaine : %(n)s.", n=result.get("too_soon", 0)),
        gettext(
            "Un autre mail vient de partir à la même adresse : %(n)s. Réessayez plus tard, après une minute au moins.",
            n=result.get("later", 0),
        ),
        gettext("Plus rien à confirmer : %(n)s.", n=result.get("nothing", 0)),
    ]
    return [
        sentences[0],
        *(s for s, key in zip(sentences[1:], ("too_soon", "later", "nothing"), strict=True) if result.get(key)),
    ]
