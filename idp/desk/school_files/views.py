"""`/fichiers/…`: upload and check of a school's files, the difference by name, the import, what was imported before."""

import uuid
from collections.abc import Iterator

from flask import Blueprint, Response, make_response, url_for
from flask_babel import gettext, lazy_gettext as _l
from werkzeug.exceptions import RequestEntityTooLarge

from idp.audit import log
from idp.audit.desk_events import FileDifferenceRead, ImportProblemsRead
from idp.db import unit_of_work
from idp.desk import access, home, kept_forms, naming
from idp.desk.access import Right, needs
from idp.desk.fields import ReasonField, WordField
from idp.desk.home import Tile
from idp.desk.jobs import lifecycle
from idp.desk.jobs.kinds import CHECK, IMPORT
from idp.desk.jobs.models import Job, State
from idp.desk.kept_forms import DeskForm, keeps
from idp.desk.school_files import checks, history, policy, words, work
from idp.desk.school_files.policy import DECLINED, SENT, Decision
from idp.desk.staff import sessions
from idp.services import services
from idp.web.declarations import Trait, declares
from idp.web.http import MAX_UPLOAD, current_request
from idp.web.redirects import render_page, see_other


class AcceptanceForm(DeskForm):
    """The word that accepts files that look like a mistake."""

    word = WordField("IMPORTER", label=_l("Si c’est juste, tapez IMPORTER"), name="mot")


class DeclineForm(DeskForm):
    """Why the direction does not import files that wait for it."""

    motif = ReasonField(_l("Motif"), missing=_l("Écrivez le motif en quelques mots : le secrétariat le lit."))


class SendingForm(DeskForm):
    """What a secretary says to the direction about files that only the direction may import."""

    phrase = ReasonField(
        _l("Votre phrase pour la direction"), missing=_l("Écrivez en quelques mots pourquoi tant de personnes partent.")
    )


blueprint = Blueprint("files", __name__)
_SHOWN_JOBS = 5
_UNFOLDED = 10  # how many lines of a kind a page shows at once: the decision below them stays within reach


@home.source(Right.IMPORT_FILES)
def _problems_of_last_file() -> Iterator[Tile]:
    last = history.last()
    if last is not None:
        yield Tile(
            history.new_problems(last.batch),
            gettext("Lignes à corriger"),
            gettext("Le dernier fichier a des lignes fausses : corrigez-les à la source."),
            url_for("files.problems", key=last.batch.id),
        )


@home.source(Right.IMPORT_FILES)
def _waiting_for_the_head() -> Iterator[Tile]:
    waits = checks.waiting_here(services().settings) if access.may(Right.DECIDE_FILES) else []
    if len(waits) == 1:
        [item] = waits
        yield Tile(
            1,
            gettext("Un fichier attend votre décision"),
            gettext("Regardez ce qu’il change, %(until)s.", until=words.until_when(item.until)),
            url_for("files.compare", key=item.check.id),
        )
    elif waits:
        until = words.until_when(waits[0].until)
        yield Tile(
            len(waits),
            gettext("Des fichiers attendent votre décision"),
            gettext("Regardez ce qu’ils changent : le premier attend %(until)s.", until=until),
            url_for("files.show"),
        )


@home.source(Right.IMPORT_FILES)
def _declined_by_the_head() -> Iterator[Tile]:
    check = checks.last_declined()
    if check is not None:
        yield Tile(
            1,
            gettext("Fichiers refusés par la direction"),
            gettext("«\u00a0%(reason)s\u00a0» Ouvrez, puis donnez un autre fichier.", reason=check.result[DECLINED]),
            url_for("files.compare", key=check.id),
        )


@blueprint.get("/fichiers")
@needs(Right.IMPORT_FILES)
@declares(Trait.TAKES_FILES)
def show() -> Response:
    """Show the form for files, the checks that wait for a decision, and the former imports."""
    kept = kept_forms.current()
    fields = kept.fields if kept else {}
    return _page(uai=fields.get("uai", "")[:20], replaces=bool(fields.get("remplacer")))


@blueprint.post("/fichiers")
@needs(Right.IMPORT_FILES)
@declares(Trait.TAKES_FILES)
@keeps("uai", "remplacer")
def upload() -> Response:
    """Take files and check them."""
    request = current_request()
    replaces = bool(request.fields.get("remplacer"))
    try:
        uai = checks.school(request)
        check = checks.start_check(services().settings, checks.uploads(request), uai, replaces=replaces)
    except checks.UploadError as fault:
        field = "remplacer" if isinstance(fault, checks.ReplacingError) else "fichiers"
        return _page(str(fault), request.fields.get("uai", "")[:20], replaces=replaces, field=field)
    return see_other(url_for("jobs.show", key=check.id))


@blueprint.errorhandler(RequestEntityTooLarge)
def too_large(_error: RequestEntityTooLarge) -> Response:
    """Say how large files may be; a person whose session ended meanwhile signs in first."""
    person = sessions.current()
    if person is None:
        return see_other(url_for("sign_in.sign_in", suite=url_for("files.show", fait="rien")))
    if person.post is None or not access.may(Right.IMPORT_FILES):
        return see_other(url_for("home.today"))
    sentence = gettext("Ces fichiers sont trop lourds : %(n)s Mo au plus, en tout.", n=MAX_UPLOAD >> 20)
    return make_response(_page(sentence), 413)


def _page(error: str = "", uai: str = "", *, replaces: bool = False, field: str = "fichiers") -> Response:
    waits, own = checks.waiting_here(services().settings), access.person().staff.id
    return render_page(
        "desk/school_files/fichiers.html",
        error=error,
        field=field,
        replaced=[item for item in waits if item.check.staff_id == own],
        replaces=replaces,
        waits={item.check.id: item.until for item in waits},
        done=current_request().arguments.get("fait"),
        megabytes=MAX_UPLOAD >> 20,
        asks_school=access.post().school is None,
        uai=uai,
        jobs=checks.recent_jobs()[:_SHOWN_JOBS],
        titles={kind.name: kind.title for kind in (CHECK, IMPORT)},
        imports=history.recent(),
        words=words,
    )


@blueprint.get("/fichiers/<uuid:key>")
@needs(Right.IMPORT_FILES, fresh=None)
def compare(key: uuid.UUID) -> Response:
    """Show by name what an import of checked files would change; after a proof, if the person may import them."""
    check = checks.checked(key)
    if DECLINED not in check.result:
        return _difference(check)
    is_done = current_request().arguments.get("fait") == "refus" and access.may(Right.DECIDE_FILES)
    return render_page(
        "desk/school_files/refuses.html",
        check=check,
        reason=check.result[DECLINED],
        by=lifecycle.authors([check]).get(check.staff_id) or gettext("un collègue"),
        done=gettext("C’est fait : les fichiers sont refusés, et le secrétariat est prévenu.") if is_done else "",
    )


@blueprint.get("/fichiers/<uuid:key>/changements.csv")
@needs(Right.IMPORT_FILES, fresh=True)
def sheet(key: uuid.UUID) -> Response:
    """Return all that checked files change as CSV: a file of names that leaves the desk needs a fresh proof."""
    check = checks.checked(key)
    whole = work.sheet(services().settings, check)
    if whole is None:
        return see_other(url_for("files.compare", key=key))
    _note_names(check)
    return naming.as_download(whole.content, "changements.csv", naming.CSV)


def _note_names(check: Job) -> None:
    if access.may(Right.READ_FAMILIES):
        with unit_of_work():
            log.record(FileDifferenceRead(job=str(check.id)))


@blueprint.post("/fichiers/<uuid:key>/importer")
@needs(Right.IMPORT_FILES, fresh=True)
@keeps("mot")
def import_(key: uuid.UUID) -> Response:
    """Import checked files."""
    check = checks.checked(key)
    verdict = checks.verdict(services().settings, check) if check.state is State.DONE else None
    if verdict is None or not verdict.imports:
        return _difference(check)
    form = AcceptanceForm()
    if verdict.decision is Decision.AGREE and not form.word.is_typed():
        return _difference(check, form)
    started = checks.start_import(check)
    if started is None:
        return _difference(check, is_busy=True)
    return see_other(url_for("jobs.show", key=started.id))


@blueprint.post("/fichiers/<uuid:key>/ne-pas-importer")
@needs(Right.DECIDE_FILES, fresh=None)
@keeps("motif")
def decline(key: uuid.UUID) -> Response:
    """Remove files that wait for the direction, which says why it does not import them."""
    check = checks.checked(key)
    form = DeclineForm()
    if not form.motif.is_given():
        return _difference(check, declining=form)
    is_done = checks.decline(services().settings, check.id, form.motif.text)
    return see_other(url_for("files.compare", key=key, fait="refus" if is_done else None))


@blueprint.post("/fichiers/<uuid:key>/envoyer")
@needs(Right.IMPORT_FILES)
@keeps("phrase")
def send(key: uuid.UUID) -> Response:
    """Send checked files to the direction, which alone may import them."""
    check = _own_unsent(key)
    form = SendingForm()
    if check is not None and not form.phrase.is_given():
        return _difference(check, sending=form)
    if check is not None:
        checks.send(services().settings, check.id, form.phrase.text)
    return see_other(url_for("files.compare", key=key))


@blueprint.post("/fichiers/<uuid:key>/retirer")
@needs(Right.IMPORT_FILES)
@keeps()
def withdraw(key: uuid.UUID) -> Response:
    """Remove checked files that are a mistake."""
    if (check := _own_unsent(key)) is None:
        return see_other(url_for("files.compare", key=key))
    checks.withdraw(check.id)
    return see_other(url_for("files.show", fait="retire"))


def _own_unsent(key: uuid.UUID) -> Job | None:
    check = checks.checked(key)
    is_own = check.staff_id == access.person().staff.id
    return check if is_own and checks.is_unsent(services().settings, check) else None


def _difference(
    check: Job,
    form: AcceptanceForm | None = None,
    *,
    declining: DeclineForm | None = None,
    sending: SendingForm | None = None,
    is_busy: bool = False,
) -> Response:
    if check.state is not State.DONE:
        return see_other(url_for("jobs.show", key=check.id))
    settings, is_refused = services().settings, bool(check.result["refused"])
    verdict = checks.verdict(settings, check)
    code = verdict.reason or ("busy" if is_busy else "")
    parts = work.parts(settings, check)
    if not code and (first := access.proof_first()) is not None:
        return first
    if code == "gone" and checks.is_imported(check.id):
        code = "imported"
    is_gone, is_nameless = code in words.GONE, not access.may(Right.READ_FAMILIES)
    sentences = [] if is_refused or is_gone else words.counted(check.result["counts"])
    if is_nameless and not code and verdict.decision is Decision.IMPORT:
        sentences.append(gettext("Ces fichiers peuvent être importés. Une personne en doute n’est pas prise."))
    waits = _waits(check)
    declines = bool(waits) and access.may(Right.DECIDE_FILES)
    if parts:
        _note_names(check)
    return render_page(
        "desk/school_files/difference.html",
        job=check,
        form=form or AcceptanceForm(),
        refusal=words.refusal(code) if code else "",
        waits=waits,
        declining=(declining or DeclineForm()) if declines else None,
        sending=(sending or SendingForm()) if code and _own_unsent(check.id) else None,
        sent=check.result.get(SENT, ""),
        is_gone=is_gone,
        is_refused=is_refused,
        reasons=[] if verdict.decision is Decision.REFUSE or code == "busy" else _reasons(check),
        asks_word=verdict.decision is Decision.AGREE,
        sentences=sentences,
        parts=parts,
        kinds=words.KINDS,
        shown=work.SHOWN,
        unfolded=_UNFOLDED,
        is_nameless=is_nameless,
        schools=checks.schools(check) if is_nameless else [],
    )


def _reasons(check: Job) -> list[str]:
    limits = policy.of_author(services().settings, check).limits
    return [*words.exceeded(limits), *words.mistakes(check.result["mistakes"], check.result)]


def _waits(check: Job) -> str:
    until = checks.waits_until(services().settings, check)
    if until is None or not access.own_spec().is_at_school:
        return ""
    has_head = bool(checks.heads(check.school_id, check.staff_id))
    return words.waits(until, decides=access.may(Right.DECIDE_FILES), has_head=has_head)


@blueprint.get("/fichiers/imports/<uuid:key>")
@needs(Right.IMPORT_FILES)
def problems(key: uuid.UUID) -> Response:
    """Show a former import with its problems."""
    past = _read_by_name(history.get(key))
    return render_page(
        "desk/school_files/import.html",
        past=past,
        sentences=words.of_former(past.batch.counts),
        groups=history.groups(past.batch),
        kinds=words.KINDS,
        shown=history.SHOWN,
        is_nameless=not access.may(Right.READ_FAMILIES),
        words=words,
    )


@blueprint.get("/fichiers/imports/<uuid:key>/problemes.csv")
@needs(Right.IMPORT_FILES, fresh=True)
def problems_csv(key: uuid.UUID) -> Response:
    """Return all problems of a former import as CSV: a file of names that leaves the desk needs a fresh proof."""
    past = _read_by_name(history.get(key))
    return naming.as_download(b"".join(history.sheet(past.batch)), "problemes.csv", naming.CSV)


def _read_by_name(past: history.Past) -> history.Past:
    if access.may(Right.READ_FAMILIES):
        with unit_of_work():
            log.record(ImportProblemsRead(batch=str(past.batch.id)))
    return past
