"""« Décisions » of the desk: the notices to settle (`/signalements`), and the closings that hold (`/suspensions`)."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from flask import Blueprint, Response, make_response, render_template, request, url_for
from flask_babel import gettext, lazy_gettext as _l

from idp.accounts import school_notices
from idp.accounts.models import Account, Child, Guardianship
from idp.accounts.school_notices import Kind
from idp.audit import log
from idp.audit.desk_events import NoticesListed
from idp.db import db, unit_of_work
from idp.desk import access, family_pages, home
from idp.desk.access import Right
from idp.desk.decisions import answers, closings, notices
from idp.desk.decisions.answers import ACTS, Reply, act
from idp.desk.decisions.notices import NoticeView
from idp.desk.decisions.words import Answer, Next
from idp.desk.fields import ReasonField
from idp.desk.home import Tile
from idp.desk.kept_forms import DeskForm, keeps
from idp.desk.naming import pupil
from idp.desk.search import service
from idp.families import admission, disputes
from idp.families.refusals import Code, RefusedError
from idp.services import services
from idp.web.forms import PlainField
from idp.web.redirects import see_other

blueprint = Blueprint("decisions", __name__)

CALLED = "appel"
"""What was done, in the URL of a notice: a call was noted."""
_LATE = "tard"  # the same: a colleague was first
_ALL = "tous"
# The views of the parts of « Décisions », and their labels.
_PARTS = {"to_decide": _l("À décider"), "in_force": _l("En cours")}


class AnswerForm(DeskForm):
    """The sentence of an answer; for some, which pupil, or the person's new names."""

    sentence = ReasonField(
        _l("Votre phrase"), longest=480, missing=_l("Écrivez en une phrase ce que vous avez vérifié.")
    )
    child = PlainField(_l("De quel élève s’agit-il ?"), longest=40)
    given_name = PlainField(_l("Prénom dans le fichier"), longest=200)
    family_name = PlainField(_l("Nom dans le fichier"), longest=200)

    def check(self, children: Sequence[Child], *, renames: bool) -> bool:
        """Write the faults of the form; return whether it has none."""
        self.sentence.is_given()
        if len(children) > 1 and self.child.data not in {_ALL, *(child.id.hex for child in children)}:
            self.child.errors = [_l("Choisissez l’élève, ou tous.")]
        if renames:
            for field in (self.given_name, self.family_name):
                if not field.data or not field.data.isprintable():
                    field.errors = [_l("Écrivez le nom et le prénom comme dans le fichier.")]
        return not self.errors


@blueprint.get("/signalements")
@act
def to_decide() -> Response:
    """List the open notices, and those that were settled lately."""
    waiting, settled, total = notices.open_by_kind(), notices.views(notices.settled_lately()), notices.open_count()
    listed = sum(len(items) for _, items in waiting)
    with unit_of_work():
        log.record(NoticesListed(count=listed + len(settled)))
    return _part(
        waiting=waiting,
        settled=settled,
        total=total,
        for_head=notices.for_head_count(),
        hidden=total - listed,
        may_settle=access.may(Right.SETTLE_NOTICES),
    )


@blueprint.get("/suspensions")
@act
def in_force() -> Response:
    """List the accounts and ties in scope that are closed."""
    lines, count, following = closings.in_force(request.args.get("page", 1, type=int))
    service.note_list(services().settings, "suspensions", len(lines))
    return _part(lines=lines, count=count, following=following)


def _part(**values: Any) -> Response:
    shown = [(f"decisions.{name}", label) for name, label in _PARTS.items() if access.may(ACTS[name].right)]
    parts = [(url_for(endpoint), label, endpoint == request.endpoint) for endpoint, label in shown]
    return make_response(render_template("desk/decisions/decisions.html", parts=parts, **values))


@blueprint.get("/signalements/<uuid:notice>")
@act
def notice(notice: uuid.UUID) -> Response:
    """Show one notice: what it means and what to check, or how it was settled."""
    row = access.notice(notice)
    family_pages.note_account(row.account_id)
    [item] = notices.views([row])
    values = {"done": _done(item), "late": request.args.get("fait") == _LATE, "steps": notices.steps_after(item)}
    return make_response(render_template("desk/decisions/signalement.html", item=item, **values))


@blueprint.route("/signalements/<uuid:notice>/<reply>", methods=["GET", "POST"])
@act
@keeps("sentence", "child", "given_name", "family_name")
def answer(notice: uuid.UUID, reply: str) -> Response:
    """Say what an answer does and ask for a sentence; settle the notice."""
    row = access.notice(notice)
    if reply not in set(Answer):
        access.refuse(str(notice))
    [item], chosen = notices.views([row]), Answer(reply)
    if chosen not in item.answers:
        if row.settled_at is not None:
            return see_other(url_for("decisions.notice", notice=notice, fait=_LATE))
        access.refuse(str(notice))
    consequence = item.answers[chosen]
    if ACTS[row.kind].proof and (first := access.proof_first()):
        return first
    form, error = AnswerForm(), ""
    disputed = disputes.in_dispute(row.account_id, row.school_id) if item.state.is_disputed else []
    children = [tie.child for tie in disputed]
    renames = row.kind == Kind.NAME_IN_DOUBT.value and chosen is Answer.RIGHT
    if request.method == "POST" and form.check(children, renames=renames):
        try:
            answers.settle(services().settings, row, _reply(form, chosen, children, renames=renames))
            return see_other(url_for("decisions.notice", notice=notice, fait=chosen.value))
        except RefusedError as refused:
            if refused.code is Code.SETTLED:
                return see_other(url_for("decisions.notice", notice=notice, fait=_LATE))
            error = family_pages.refusal(refused)
            [item] = notices.views([row])
    elif request.method == "GET":
        family_pages.note_account(row.account_id)
        if not form.is_refilled:
            account = db.session.get_one(Account, row.account_id)
            form.given_name.data, form.family_name.data = account.given_name, account.family_name
    page = render_template(
        "desk/decisions/reponse.html",
        item=item,
        form=form,
        error=error,
        consequence=consequence,
        choices=_choices(disputed),
        renames=renames,
        seen=admission.pupils_asked(row),
    )
    return make_response(page)


def _reply(form: AnswerForm, chosen: Answer, children: Sequence[Child], *, renames: bool) -> Reply:
    child = next((child.id for child in children if child.id.hex == form.child.data), None)
    names = {"given_name": form.given_name.data or "", "family_name": form.family_name.data or ""} if renames else None
    return Reply(chosen, form.sentence.text, child, names, request.form.get("seen", ""))


def _choices(ties: Sequence[Guardianship]) -> list[Mapping[str, str]]:
    if len(ties) < 2:  # noqa: PLR2004 - nothing to choose
        return []
    ended = gettext("Ce lien a déjà fini.")
    return [
        {"value": _ALL, "title": gettext("Tous ces élèves"), "sentence": ""},
        *(
            {"value": tie.child_id.hex, "title": pupil(tie.child), "sentence": "" if tie.is_unended else ended}
            for tie in ties
        ),
    ]


def _done(item: NoticeView) -> str:
    """Return what an answer did, after it; also if a part of the notice is still open."""
    done, is_open = request.args.get("fait", ""), item.row.settled_at is None
    if done == CALLED and is_open:
        return str(gettext("C’est noté : le lien et le compte sont fermés jusqu’à la réponse de l’établissement."))
    if done not in set(Answer):
        return ""
    if is_open:
        return str(gettext("C’est noté pour cet élève. Le signalement attend encore votre réponse pour les autres."))
    consequence = answers.consequence(item.row, Answer(done))
    if consequence is None:
        return ""
    sentence = item.say(consequence.after or consequence.before)
    if consequence.next is not Next.LETTER and item.needs_letter:
        sentence += " " + gettext("Son courrier ne marche plus : imprimez-en un autre.")
    return sentence


@home.source(Right.READ_NOTICES)
def _tiles() -> list[Tile]:
    """Return the tiles of the first page: what the person answers, what only the head does, what is only read."""
    count, for_head, url = notices.open_count(), notices.for_head_count(), url_for("decisions.to_decide")
    if not access.may(Right.SETTLE_NOTICES):
        sentence = gettext("Les établissements y répondent. Vous pouvez les lire, pour renseigner une famille.")
        return [Tile(count, gettext("Signalements des établissements"), sentence, url)]
    beside = gettext("Seule la direction y répond : prévenez-la.")
    decided = notices.settled_lately(school_notices.DECIDED) if access.may(Right.REOPEN) else []
    seen = gettext("Voyez laquelle reste, par qui et pourquoi, avec les signalements réglés.")
    return [
        Tile(count - for_head, gettext("Signalements"), gettext("Ils attendent votre réponse."), url),
        Tile(for_head, gettext("Signalements pour la direction"), beside, url),
        Tile(len(decided), gettext("Adresses mail dont un secrétariat a décidé"), seen, url),
    ]
