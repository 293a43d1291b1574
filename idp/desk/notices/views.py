"""`/signalements` of the desk: the notices of a school, and their settlement."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from flask import Blueprint, Response, make_response, render_template, request, url_for
from flask_babel import gettext
from flask_babel import lazy_gettext as _l

from idp.accounts.models import Account, Child, Guardianship, SchoolNotice
from idp.accounts.school_notices import Kind
from idp.audit import log
from idp.audit.desk_events import NoticesListed
from idp.db import db, unit_of_work
from idp.desk import access, family_pages, fields, home
from idp.desk.access import Right, needs
from idp.desk.home import Tile
from idp.desk.kept_forms import DeskForm, keeps
from idp.desk.naming import pupil
from idp.desk.notices import compared, settling, shown, steps
from idp.desk.notices.settling import Reply
from idp.desk.notices.shown import Shown
from idp.desk.notices.words import CALLED, Answer, Next
from idp.families import admission
from idp.families.refusals import Code, RefusedError
from idp.services import services
from idp.web.forms import PlainField
from idp.web.redirects import see_other

blueprint = Blueprint("notices", __name__)

_ALL = "tous"


class AnswerForm(DeskForm):
    """The sentence of an answer; for some, which pupil, or the person's new names."""

    sentence = PlainField(_l("Votre phrase"), longest=480)
    child = PlainField(_l("De quel élève s’agit-il ?"), longest=40)
    given_name = PlainField(_l("Prénom dans le fichier"), longest=200)
    family_name = PlainField(_l("Nom dans le fichier"), longest=200)

    def check(self, children: Sequence[Child], *, renames: bool) -> bool:
        """Write the faults of the form; return whether it has none."""
        if not fields.is_sentence(fields.one_line(self.sentence.data)):
            self.sentence.errors = [_l("Écrivez en une phrase ce que vous avez vérifié.")]
        if len(children) > 1 and self.child.data not in {_ALL, *(child.id.hex for child in children)}:
            self.child.errors = [_l("Choisissez l’élève, ou tous.")]
        if renames:
            for field in (self.given_name, self.family_name):
                if not field.data or not field.data.isprintable():
                    field.errors = [_l("Écrivez le nom et le prénom comme dans le fichier.")]
        return not self.errors


@blueprint.get("/signalements")
@needs(Right.READ_NOTICES)
def show() -> Response:
    """List the open notices, and those that were settled lately."""
    waiting, settled, total = shown.open_notices(), shown.settled_notices(), shown.open_count()
    listed = sum(len(items) for _, items in waiting)
    with unit_of_work():
        log.record(NoticesListed(count=listed + len(settled)))
    return make_response(
        render_template(
            "desk/notices/signalements.html",
            waiting=waiting,
            compared=compared.people([item.row for _, items in waiting for item in items]),
            settled=settled,
            total=total,
            for_head=_beside_own(),
            hidden=total - listed,
            may_settle=access.may(Right.SETTLE_NOTICES),
        )
    )


@blueprint.get("/signalements/<uuid:notice>")
@needs(Right.READ_NOTICES)
def detail(notice: uuid.UUID) -> Response:
    """Show one notice: what it means and what to check, or how it was settled."""
    row = access.notice(notice)
    family_pages.note_account(row.account_id)
    [item] = shown.as_shown([row])
    page = render_template(
        "desk/notices/signalement.html",
        item=item,
        compared=compared.people([row]).get(notice, []),
        done=_done(item),
        late=request.args.get("fait") == "tard",
        steps=steps.after(item),
    )
    return make_response(page)


@blueprint.route("/signalements/<uuid:notice>/<reply>", methods=["GET", "POST"])
@needs(Right.SETTLE_NOTICES, sometimes_fresh=True)
@keeps("sentence", "child", "given_name", "family_name")
def answer(notice: uuid.UUID, reply: str) -> Response:
    """Say what an answer does and ask for a sentence; settle the notice."""
    row = access.notice(notice)
    if reply not in set(Answer):
        access.refuse(str(notice))
    chosen = Answer(reply)
    if row.settled_at is not None and not (chosen is Answer.TWO_PEOPLE and settling.added([row])):
        return see_other(url_for("notices.detail", notice=notice, fait="tard"))
    is_disputed = settling.is_in_dispute(row)
    is_for_head, is_ended = bool(settling.for_head([row])), settling.is_with_ended_ties(row)
    consequences = settling.answers(row, is_disputed=is_disputed, is_ended=is_ended, is_for_head=is_for_head)
    if chosen not in consequences:
        access.refuse(str(notice))
    needs_proof = settling.needs_proof(row, chosen, is_disputed=is_disputed, is_for_head=is_for_head)
    if needs_proof and (first := access.proof_first()):
        return first
    form, disputed = AnswerForm(), settling.disputed_ties(row) if is_disputed else []
    children = [tie.child for tie in disputed]
    renames = row.kind == Kind.NAME_IN_DOUBT.value and chosen is Answer.RIGHT
    error = ""
    if request.method == "POST" and form.check(children, renames=renames):
        try:
            settling.settle(services().settings, row, _reply(form, chosen, children, renames=renames))
            return see_other(url_for("notices.detail", notice=notice, fait=chosen.value))
        except RefusedError as refused:
            if refused.code is Code.SETTLED:
                return see_other(url_for("notices.detail", notice=notice, fait="tard"))
            error = family_pages.refusal(refused)
    elif request.method == "GET":
        family_pages.note_account(row.account_id)
        _fill(form, row)
    [item] = shown.as_shown([row])
    page = render_template(
        "desk/notices/reponse.html",
        item=item,
        compared=compared.people([row]).get(notice, []),
        form=form,
        error=error,
        consequence=dict(item.answers)[chosen],
        choices=_choices(disputed),
        renames=renames,
        seen=admission.pupils_asked(row),
    )
    return make_response(page)


def _reply(form: AnswerForm, chosen: Answer, children: Sequence[Child], *, renames: bool) -> Reply:
    child = next((child.id for child in children if child.id.hex == form.child.data), None)
    names = {"given_name": form.given_name.data or "", "family_name": form.family_name.data or ""} if renames else None
    return Reply(chosen, fields.one_line(form.sentence.data), child, names, request.form.get("seen", ""))


def _choices(ties: Sequence[Guardianship]) -> list[Mapping[str, Any]]:
    """Return the pupils of a dispute, if there are several, and all of them as one choice."""
    if len(ties) < 2:  # noqa: PLR2004 - nothing to choose
        return []
    everybody = {"value": _ALL, "title": gettext("Tous ces élèves"), "sentence": ""}
    ended = gettext("Ce lien a déjà fini.")
    return [
        everybody,
        *(
            {"value": tie.child_id.hex, "title": pupil(tie.child), "sentence": "" if tie.is_unended else ended}
            for tie in ties
        ),
    ]


def _fill(form: AnswerForm, row: SchoolNotice) -> None:
    if form.is_refilled:
        return
    account = db.session.get_one(Account, row.account_id)
    form.given_name.data, form.family_name.data = account.given_name, account.family_name


def _done(item: Shown) -> str:
    """Return what an answer did, after it; also if a part of the notice is still open."""
    done = request.args.get("fait", "")
    if done == CALLED and item.row.settled_at is None:
        return str(gettext("C’est noté : le lien et le compte sont fermés jusqu’à la réponse de l’établissement."))
    if done not in set(Answer):
        return ""
    if item.row.settled_at is None:
        return str(gettext("C’est noté pour cet élève. Le signalement attend encore votre réponse pour les autres."))
    consequence = settling.consequence(item.row, Answer(done))
    if consequence is None:
        return ""
    sentence = item.say(consequence.after)
    if consequence.next is not Next.LETTER and steps.needs_letter(item):
        sentence += " " + gettext("Son courrier ne marche plus : imprimez-en un autre.")
    return sentence


@home.source(Right.READ_NOTICES)
def _tiles() -> list[Tile]:
    """Return the tiles of the first page: what the person answers, what only the head does, what is only read."""
    count, url = shown.open_count(), url_for("notices.show")
    if access.may(Right.SETTLE_NOTICES):
        for_head = _beside_own()
        beside = gettext("Seule la direction y répond : prévenez-la.")
        return [
            Tile(count - for_head, gettext("Signalements"), gettext("Ils attendent votre réponse."), url),
            Tile(for_head, gettext("Signalements pour la direction"), beside, url),
        ]
    sentence = gettext("Les établissements y répondent. Vous pouvez les lire, pour renseigner une famille.")
    return [Tile(count, gettext("Signalements des établissements"), sentence, url)]


def _beside_own() -> int:
    """Return the number of open notices that the head answers and the person, who settles others, does not."""
    return shown.for_head_count() if access.may(Right.SETTLE_NOTICES) and not access.may(Right.REOPEN) else 0
