"""`idp account export` and `idp account erase`: all data of a person."""

import json
import stat
import uuid
import zipfile
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update

from idp.accounts import school_notices
from idp.accounts.closings import Closing, Kind as ClosingKind
from idp.accounts.models import Account, Child, Guardianship, Merge, RemovalWarning, SchoolNotice
from idp.accounts.one_time_links import OneTimeLink
from idp.accounts.school_notices import Kind
from idp.audit.models import AuditEntry
from idp.charter.models import CharterAcceptance
from idp.clients.models import Client
from idp.clock import now
from idp.db import db, unit_of_work
from idp.operations.personal_data.export import PARTS
from idp.outbox.queue import OutboxMessage
from idp.rostering.models import ImportBatch, ImportIssue
from idp.sessions.models import Session
from idp.throttle.counters import ThrottleCounter
from tests.builders import COLLEGE, LYCEE, PASSWORD, PROVISIONAL, Build
from tests.closed import dispute, dispute_tie, exclude_tie, settle_dispute
from tests.commands.accounts import wrong_tries
from tests.commands.conftest import Answer, Events, Run, check_refusal, read_json
from tests.commands.disputes import contested
from tests.commands.remains import Remains, keep, number
from tests.my_account.changes import NEW, OLD
from tests.pages import submit
from tests.protocol.flow import tokens_for
from tests.settlements import CONFIRM, REJECT, settle

pytestmark = pytest.mark.row("K-10")


@pytest.fixture
def parent(app: Flask, build: Build, browser: FlaskClient) -> Account:
    """A parent with rows in every table, and another guardian of the same child."""
    ent = build.ent(charter="provider")
    build.publish(ent, "7")
    child, stranger = build.child("Malo"), build.child("Ysolde", family_name="ETRANGER")
    build.active(
        children=[child],
        given_name="Gaston",
        family_name="AUTRE-PARENT",
        email="gaston@exemple.fr",
        username="g.autre1",
    )
    account = build.active(
        children=[child, stranger],
        roster_key="siecle:99",
        address_lines=["3 rue des Lilas"],
    )
    Remains(account).everything(build)
    values = {"begun_by": "uid 7", "ended_at": now(), "email": "ex.conjoint@exemple.fr"}
    keep(Closing(account_id=account.id, reason="AUTRE-PARENT a téléphoné", **values))
    submit(browser, browser.get("/connexion"), identifiant=account.username, mot_de_passe=PASSWORD, rester="1")
    charter = db.session.scalar(select(Client.charter_version_id).where(Client.client_id == ent.client_id))
    batch = ImportBatch(format="siecle", mode="complet")
    keep(CharterAcceptance(account_id=account.id, charter_version_id=charter, ip="203.0.113.7"), batch)
    keep(ImportIssue(batch_id=batch.id, severity="error", file="R.xml", line=3, key="siecle:99", code="x",
                     message="AUTRE-PARENT a la même clé"))  # fmt: skip
    tokens_for(browser, ent)
    notice = db.session.scalars(select(SchoolNotice)).one()
    notice.sentence, notice.settled_by = "Vu avec AUTRE-PARENT", "uid 7 (agent)"
    dispute(account.id, children=[stranger.id])
    keep(RemovalWarning(account_id=account.id))
    keep(OutboxMessage(kind="account.notice", payload={"notice": "compte_inactif", "account": str(account.id)}))
    return account


def opened(path: Path) -> tuple[str, dict[str, Any]]:
    with zipfile.ZipFile(path) as archive:
        assert sorted(archive.namelist()) == ["donnees.html", "donnees.json"]
        return archive.read("donnees.html").decode(), json.loads(archive.read("donnees.json"))


def erase(act: Run, username: str, *options: str) -> Answer:
    return act("account", "erase", username, "--reason", "demande du 24 novembre", "--yes", *options)


def test_export_contains_every_row_about_the_person(act: Run, parent: Account, tmp_path: Path, events: Events) -> None:
    path = tmp_path / "p.zip"
    act("account", "export", parent.username, "--out", str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    page, data = opened(path)
    parts = {part["table"]: part for part in data["parts"]}
    assert parts.keys() == {part.table.__tablename__ for part in PARTS} - {"roster_alias", "former_mailbox"}
    assert parts["account"]["rows"][0]["email"] == "noemie.leroy@exemple.fr"
    assert parts["charter_acceptance"]["rows"][0]["charter_version_id"].startswith("Passerelle, version ")
    assert [row["given_name"] for row in parts["child"]["rows"]] == ["Malo"]
    assert {(row["child_id"], row["authority"]) for row in parts["guardianship"]["rows"]} == {
        ("Malo LEROY", 1),
        (None, None),
    }
    assert "empreinte du mot de passe" in parts["account"]["held_and_not_shown"].values()
    for text in ("noemie.leroy@exemple.fr", "3 rue des Lilas", "203.0.113.7", "Malo", "Collège des Tilleuls"):
        assert text in page, text
    [event] = events("account.exported")
    assert event.account_id == parent.id


def test_export_contains_no_secret_and_no_data_of_others(act: Run, parent: Account, tmp_path: Path) -> None:
    texts = texts_of_export(act, parent, tmp_path / "p.zip")
    row = db.session.get_one(Account, parent.id, populate_existing=True)
    session = db.session.scalars(select(Session).where(Session.account_id == parent.id)).first()
    assert session is not None
    secrets = [row.password_hash, session.sid, session.digest.hex(), PASSWORD, PROVISIONAL, "$argon2id$"]
    others = ["AUTRE-PARENT", "Gaston", "gaston@", "g.autre1", "Ysolde", "ETRANGER", "ex.conjoint", "(agent)"]
    for text in texts:
        assert not [secret for secret in (*secrets, *others) if not secret or secret in text]


def texts_of_export(act: Run, account: Account, path: Path) -> list[str]:
    answer = act("account", "export", account.username, "--out", str(path))
    assert (answer.code, answer.err) == (0, "")
    page, data = opened(path)
    return [page, json.dumps(data, ensure_ascii=False)]


def test_settled_dispute_is_exported_without_data_of_others(app: Flask, act: Run, build: Build, tmp_path: Path) -> None:
    """The export leaves out data of others: the school's reason, children's keys, the other mailbox, foreign IPs."""
    child, stranger = build.child("Malo"), build.child("Ysolde", family_name="ETRANGER")
    account = contested(app, build, children=[child, stranger])
    reason = "Vu avec AUTRE-PARENT"
    settle(build.settings, account, REJECT, reason=reason)
    dispute(account.id, children=[stranger.id])
    db.session.commit()
    settle(build.settings, account, CONFIRM, reason=reason, child=stranger)
    origin = {"account_id": account.id, "ip": "198.51.100.9", "request_id": "ABCD"}
    keep(
        AuditEntry(
            kind="sign_in", result="refused", details={"username_digest": "d1gest", "reason": "wrong"}, **origin
        ),
        AuditEntry(kind="recovery.password", result="ok", details={"answer": "sent"}, **origin),
        AuditEntry(
            kind="letter.reissued", result="ok", details={"reason": "Vu avec AUTRE-PARENT"}, **origin | {"ip": ""}
        ),
        AuditEntry(kind="of.tomorrow", result="ok", details={"name": "AUTRE-PARENT"}, **origin | {"ip": "203.0.113.7"}),
        AuditEntry(kind="account.read", result="ok", actor="desk secretary", **origin),
    )
    page, data = texts_of_export(act, account, tmp_path / "p.zip")
    for text in page, data:
        for other in ("AUTRE-PARENT", "Ysolde", "ETRANGER", stranger.key, stranger.id.hex, "d1gest",
                      "198.51.100.9", OLD):  # fmt: skip
            assert other not in text, other
        for own in ("203.0.113.7", NEW, "une autre adresse"):
            assert own in text, own
    for code, words in (
        ("not_guardian", "« Je ne suis pas le représentant légal »"),
        ("reject", "contestation écartée"),
    ):
        assert code in data
        assert code not in page
        assert words in page


@pytest.mark.parametrize("over", ["ended_at", "disputed", "excluded"])
def test_export_of_a_former_guardian_hides_the_current_school(
    act: Run, build: Build, tmp_path: Path, over: str
) -> None:
    child = build.child("Ysolde", uai=LYCEE)
    account = build.active(children=[build.child("Malo"), child])
    child.class_name, child.school.name = "1re G7", "Lycée des Acacias"
    tie = db.session.get_one(Guardianship, (account.id, child.id))
    tie.kinship = "42"
    if over == "ended_at":
        tie.ended_at = now()
    else:
        {"disputed": dispute_tie, "excluded": exclude_tie}[over](tie)
    keep(SchoolNotice(school_id=build.school(LYCEE).id, account_id=account.id, kind="not_guardian"))
    for text in texts_of_export(act, account, tmp_path / "p.zip"):
        for secret in ("Ysolde", "1re G7", "Acacias", LYCEE, child.student_id, child.id.hex):
            assert secret not in text, secret
        assert "Malo" in text
    ties = next(part for part in opened(tmp_path / "p.zip")[1]["parts"] if part["table"] == "guardianship")["rows"]
    gone = next(row for row in ties if row["child_id"] is None)
    assert {name for name, value in gone.items() if value is not None} == (
        {"ended_at"} if over != "disputed" else set()
    )


def test_export_never_overwrites_and_removes_a_failed_file(
    act: Run, parent: Account, tmp_path: Path, events: Events
) -> None:
    path = tmp_path / "there.zip"
    path.write_text("mine")
    for target, message in ((path, "exists already"), (tmp_path / "no" / "folder.zip", "cannot be written")):
        check_refusal(act("account", "export", parent.username, "--out", str(target)), message)
    assert path.read_text() == "mine"
    assert events("account.exported") == []
    assert act("account", "export", "n.personne", "--out", str(tmp_path / "x.zip")).code == 1
    assert not (tmp_path / "x.zip").exists()


def of_account(key: uuid.UUID) -> dict[str, int]:
    tables = (Session, OneTimeLink, Guardianship, CharterAcceptance, SchoolNotice)
    return {table.__tablename__: number(table, table.account_id == key) for table in tables}


def test_erasure_keeps_only_the_documented_rows(act: Run, build: Build, parent: Account, events: Events) -> None:
    key, username = parent.id, parent.username
    tie = db.session.scalars(select(Guardianship).where(Guardianship.where_closed_as(ClosingKind.DISPUTED))).one()
    db.session.delete(tie)
    db.session.commit()
    merged = build.never_activated(disabled_at=now(), merge=Merge(into_id=key), children=[]).id
    answer = erase(act, username)
    assert answer.out.startswith(f"{username} is erased: 2 accounts; ")
    stays = [line for line in answer.out.splitlines() if line.startswith("stays: ")]
    for line, word in zip(stays, ("journal", "children", "school's file", "ENTs", "backups"), strict=True):
        assert word in line
    assert number(Account, Account.id.in_((key, merged))) == 0
    assert set(of_account(key).values()) == {0}
    assert number(ImportIssue) == 0
    assert number(Child) == 2, "pupils are the school's"
    left = db.session.scalars(select(AuditEntry).where(AuditEntry.account_id.in_((key, merged)))).all()
    personal = {(e.ip, e.request_id, json.dumps(e.details)) for e in left if e.kind != "account.erased"}
    assert personal == {("", "", "{}")}
    db.session.rollback()
    erased = events("account.erased")
    assert {event.account_id for event in erased} == {key, merged}
    assert erased[0].details["reason"] == "demande du 24 novembre"
    assert erased[0].details["kept"] == ["journal", "pupils", "school_file", "ents", "copies"]
    assert "the personal part" not in act("audit", "verify").out
    assert act("worker", "--once").code == 0, "what waited for the account is dropped"
    assert number(OutboxMessage, OutboxMessage.finished_at.is_(None)) == 0


def test_tie_that_a_school_must_keep_shut_is_not_erased(act: Run, parent: Account) -> None:
    """An erasure does not open an account again that the school closed, not even at the next import."""
    before = of_account(parent.id)
    check_refusal(erase(act, parent.username), f"{parent.username} is in dispute")
    assert of_account(parent.id) == before
    settle_dispute(parent.id)
    disputed = Child.family_name == "ETRANGER"
    tie = db.session.scalars(
        select(Guardianship).join(Child).where(disputed, Guardianship.account_id == parent.id)
    ).one()
    exclude_tie(tie)
    check_refusal(erase(act, parent.username), "take it out of its file")
    db.session.execute(update(Closing).where(Closing.kind == "excluded").values(ended_at=now()))
    dispute_tie(tie)  # the pupil left before a decision
    assert erase(act, parent.username).code == 0


def test_account_whose_address_is_contested_is_not_erased(act: Run, build: Build) -> None:
    """The page of « Ce n’était pas moi » promised a decision of the school."""
    account = build.active(contested_at=now())
    check_refusal(erase(act, account.username), f"{account.username} is in dispute")


@pytest.mark.parametrize("kind", school_notices.PROMISED)
def test_account_with_a_promised_open_notice_is_not_erased(act: Run, build: Build, kind: Kind) -> None:
    account = build.active()
    school_notices.add(kind, account.id, [build.school().id])
    db.session.commit()
    check_refusal(erase(act, account.username), "and has not answered")
    with unit_of_work():
        school_notices.settle(account.id, by="x", sentence="Vu avec la famille")
    assert erase(act, account.username).code == 0


def test_erasure_keeps_notices_about_other_accounts(act: Run, build: Build) -> None:
    gone, stays = build.active(), build.active()
    school_notices.add(Kind.LETTER_DOUBT, stays.id, [build.school().id], other_account_id=gone.id)
    db.session.commit()
    assert erase(act, gone.username).code == 0
    notice = db.session.scalars(select(SchoolNotice)).one()
    assert (notice.account_id, notice.other_account_id, notice.settled_at) == (stays.id, None, None)
    db.session.rollback()
    assert act("account", "show", stays.username).code == 0


def test_account_that_was_merged_is_erased_with_the_main_one(act: Run, build: Build) -> None:
    main = build.active()
    merged = build.never_activated(disabled_at=now(), merge=Merge(into_id=main.id), children=[])
    check_refusal(erase(act, merged.username), f"was merged into {main.username}")


def test_an_erasure_needs_a_sentence_and_an_answer(act: Run, build: Build) -> None:
    account = build.active()
    for reason in ("", "  ", "ok", "x" * 201, "\x1b[2J"):
        answer = act("account", "erase", account.username, "--reason", reason, "--yes")
        assert (answer.code, answer.out) == (2, "")
    assert act("account", "erase", account.username, "--reason", "demande").code == 1, "nobody answers the question"
    assert db.session.get(Account, account.id) is not None


def test_erasure_removes_the_failed_attempts(act: Run, build: Build) -> None:
    account = build.active()
    wrong_tries(account.username)
    erased = read_json(act, "account", "erase", account.username, "--reason", "demande", "--yes")
    assert (erased["accounts_erased"], number(ThrottleCounter)) == (1, 0)


def test_erasure_names_the_notices_and_tells_the_truth_of_the_ents(act: Run, build: Build) -> None:
    gone, other, third = build.active(), build.active(), build.active()
    school = [build.school().id]
    school_notices.add(Kind.SHARED_MAILBOX, gone.id, school, other_account_id=other.id)
    school_notices.add(Kind.SHARED_MAILBOX, third.id, school, other_account_id=gone.id)
    school_notices.settle(third.id, by="x", sentence="Vu avec les deux.")
    keep(AuditEntry(kind="sign_in", result="ok", account_id=gone.id))
    username, both, settled = gone.username, f"{gone.username} and {other.username}", third.username
    out = erase(act, username).out
    for words in (
        f"notice removed: shared_mailbox at {COLLEGE} about {both}, open\n",
        f"shared_mailbox at {COLLEGE} about {settled} and {username}, settled: Vu avec les deux.\n",
        "ENTs are told of 0 sign-outs",
        "no session was open, so no ENT is notified",
        "keeps 1 event without",
    ):
        assert words in out
