"""The acts of « Décisions »: each has its right, its proof and whom it tells from one table."""

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from idp.accounts import school_digest
from idp.accounts.models import Account, SchoolNotice
from idp.accounts.school_digest import DIGEST, ask, hand_over
from idp.accounts.school_notices import Kind
from idp.clock import now
from idp.db import db
from idp.desk import access
from idp.desk.decisions.answers import ACTS, OF_ENDED_TIE
from idp.desk.decisions.words import WORDS, Answer
from idp.desk.staff.models import Role
from idp.families.standing import Group, group_of, standings
from idp.outbox.queue import OutboxMessage
from idp.outbox.worker import Worker
from tests.builders import LYCEE, Build
from tests.closed import contest
from tests.desk.colleagues import Colleagues, post
from tests.desk.test_notices import CHECKED, answered, disputed, doubted, noticed, plain, reloaded
from tests.email_confirmation.post import html_of, text_of
from tests.waiting_guardians import wait

STALE = timedelta(minutes=11)
IN = {Group.LETTER, Group.ACTIVE, Group.UNCONFIRMED, Group.BLOCKED, Group.RELETTER}
"""The groups of the accounts that somebody can use, or can come back to."""
ANSWERS = [
    *((kind, answer) for kind, words in WORDS.items() for answer in words.answers),
    *((Kind.NOT_GUARDIAN, answer) for answer in OF_ENDED_TIE),
]


def about(build: Build, kind: Kind, answer: Answer) -> SchoolNotice:
    """Return a notice that has this answer, about what a notice of its kind is about."""
    malo, zoe = build.child("Malo"), build.child("Zoé")
    match kind:
        case Kind.NOT_GUARDIAN:
            account, notice = disputed(build, malo)
            for tie in account.guardianships:
                tie.ended_at = now() if answer in OF_ENDED_TIE else None
            db.session.commit()
            return notice
        case Kind.EMAIL_CONTESTED:
            return contested(build, [malo, zoe])
        case Kind.GUARDIAN_WAITS:
            wait(build.active(children=[malo]))
            return db.session.scalars(select(SchoolNotice)).one()
        case Kind.LETTER_DOUBT:
            return doubted(build)[2]
        case _:
            return noticed(build, kind, build.never_activated(children=[malo]), other=build.active(children=[zoe]))


def contested(build: Build, children: Any = None) -> SchoolNotice:
    former: dict[str, Any] = {"contested_at": now(), "contested_email": "avant@exemple.fr"}
    return noticed(build, Kind.EMAIL_CONTESTED, build.active(children=children, email="apres@exemple.fr", **former))


def accesses() -> set[Any]:
    """Return what is open: the accounts with their names and mailboxes, and their pupils."""
    facts: set[Any] = set()
    db.session.expire_all()
    for account in db.session.scalars(select(Account)):
        facts.add((account.id, account.display_name, account.email))
        if group_of(standings(account)) in IN:
            facts.add((account.id, "open"))
        facts |= {(account.id, tie.child_id) for tie in account.guardianships if tie.holds_at(now())}
    return facts


@pytest.mark.row("K-34")
def test_each_page_and_each_kind_of_notice_has_a_row_and_each_form_a_proof(desk: Flask) -> None:
    rules = [rule for rule in desk.url_map.iter_rules() if rule.endpoint.startswith("decisions.")]
    pages = {rule.endpoint.removeprefix("decisions."): rule for rule in rules}
    assert ACTS.keys() == {*pages, *Kind}
    for name, rule in pages.items():
        need, row = access.need_of(desk, rule.endpoint), ACTS[name]
        assert (need.right, need.fresh) == (row.right, row.proof)
        assert (row.proof is not False) is ("POST" in (rule.methods or ())), f"{name}: each form closes or opens"
    assert [name for name, row in ACTS.items() if row.proof is None] == ["answer"], "its kinds say it"


@pytest.mark.row("K-34")
@pytest.mark.parametrize(("kind", "answer"), ANSWERS)
def test_an_answer_opens_and_gives_nothing_without_a_fresh_proof(
    colleagues: Colleagues, build: Build, kind: Kind, answer: Answer
) -> None:
    notice, names = about(build, kind, answer), {"given_name": "Jean", "family_name": "MARCHAND"}
    before, head = accesses(), colleagues.signed_in(Role.HEAD, proof_age=STALE)
    path, fields = f"/signalements/{notice.id}/{answer.value}", {"sentence": CHECKED, **names}
    page, sent = head.get(path), post(head, path, "/signalements", **fields)
    assert accesses() - before == set()
    asks = [answer_.headers.get("Location", "").startswith("/preuve?") for answer_ in (page, sent)]
    assert asks == [ACTS[kind].proof] * 2
    assert (reloaded(notice).settled_at is None) is ACTS[kind].proof


@pytest.mark.row("K-41")
@pytest.mark.parametrize("role", [Role.SECRETARY, Role.HEAD])
@pytest.mark.parametrize(
    ("answer", "decision"),
    [(Answer.RIGHT, "L’ancienne adresse est remise."), (Answer.REJECT, "La nouvelle adresse est gardée.")],
)
def test_the_heads_read_what_a_secretary_decided_about_a_mailbox(
    colleagues: Colleagues, build: Build, role: Role, answer: Answer, decision: str
) -> None:
    notice, is_told = contested(build), role is Role.SECRETARY
    build.school().email = "direction@college.test"
    db.session.commit()
    assert len(digests(build)) == 1
    answered(colleagues.signed_in(role), notice, answer)
    assert contest(notice.account_id) is None
    head, tile = colleagues.signed_in(Role.HEAD), "Adresses mail dont un secrétariat a décidé"
    assert (tile in plain(head.get("/"))) is is_told
    assert tile not in plain(colleagues.signed_in(Role.SECRETARY).get("/"))
    assert tile not in plain(colleagues.signed_in(Role.HEAD, uai=LYCEE).get("/"))
    assert (decision in plain(head.get("/signalements"))) is is_told
    build.school().digest_sent_at = now() - timedelta(days=1)
    db.session.commit()
    mails = digests(build)
    assert len(mails) == is_told
    for mail in mails:
        assert mail.count("Un secrétariat a décidé de l’adresse mail contestée de") == mail.count(decision) == 2


def digests(build: Build) -> list[str]:
    """Send the mails of the day; return their texts."""
    sent: list[str] = []
    settings = build.settings.model_copy(update={"school_digest_hour": 0})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(school_digest, "deliver", lambda mail, _to: sent.append(f"{text_of(mail)} {html_of(mail)}"))
        db.session.rollback()
        ask(OutboxMessage(), settings)
        worker = Worker({DIGEST: partial(hand_over, settings=settings)})
        while worker.run_once():
            pass
    return [" ".join(text.replace("\xa0", " ").split()) for text in sent]
