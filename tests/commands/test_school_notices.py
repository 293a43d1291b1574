"""`idp school notices` and `idp school set --mail`: what a school has to know, and who settled it."""

import json
import uuid
from typing import Any

import pytest
from sqlalchemy import select

from idp.accounts import school_notices
from idp.accounts.models import Account, Guardianship, School, SchoolNotice
from idp.accounts.school_notices import Kind
from idp.clock import now
from idp.config import Settings
from idp.db import db
from tests import forked
from tests.builders import COLLEGE, LYCEE, Build
from tests.commands.accounts import OPERATOR
from tests.commands.conftest import Events, Run
from tests.commands.processes import environment

KEYS = [
    "id",
    "uai",
    "kind",
    "account",
    "other",
    "children",
    "note",
    "at",
    "state",
    "settled_by",
    "settled_at",
    "sentence",
]


def listed(act: Run, *options: str) -> list[dict[str, Any]]:
    answer = act("school", "notices", "--json", *options)
    assert (answer.code, answer.err) == (0, "")
    rows: list[dict[str, Any]] = json.loads(answer.out)
    return rows


def written(account: Account, kind: Kind, *schools: School, other: Account | None = None) -> str:
    """Write a notice; return its id."""
    key = other.id if other else None
    school_notices.add(kind, account.id, [school.id for school in schools], other_account_id=key)
    db.session.commit()
    newest = select(SchoolNotice.id).where(SchoolNotice.account_id == account.id, SchoolNotice.kind == kind.value)
    return str(db.session.scalars(newest).first())


def test_notices_are_listed_with_their_state(act: Run, build: Build, events: Events) -> None:
    malo, lila = build.child(), build.child("Lila", uai=LYCEE)
    account = build.active(children=[malo, lila])
    key = written(account, Kind.LETTER_GUESSED, build.school(), build.school(LYCEE))
    rows = listed(act)
    assert [list(row) for row in rows] == [KEYS, KEYS]
    first = next(row for row in rows if row["uai"] == COLLEGE)
    assert first == {
        **first,
        "kind": "letter_guessed",
        "account": account.username,
        "state": "open",
        "settled_by": None,
        "settled_at": None,
        "sentence": None,
    }
    assert [child["given_name"] for child in first["children"]] == ["Malo"], "no child of another school"
    assert act("school", "notices", "--settle", first["id"], "--sentence", "Vu avec la mère.").code == 0
    assert key in {row["id"] for row in rows}
    [settled] = listed(act, "--uai", COLLEGE.lower())
    assert (settled["state"], settled["settled_by"], settled["sentence"]) == ("settled", OPERATOR, "Vu avec la mère.")
    assert settled["settled_at"] >= settled["at"]
    assert [row["uai"] for row in listed(act, "--open")] == [LYCEE]
    assert listed(act, "--open", "--uai", COLLEGE) == []
    [event] = events("school.notice_settled")
    assert (event.account_id, event.actor) == (account.id, OPERATOR)
    assert event.details == {"notice": first["id"], "about": "letter_guessed"}
    assert {entry.account_id for entry in events("account.read")} == {account.id}


def test_notice_about_two_accounts_names_both(act: Run, build: Build, events: Events) -> None:
    mother, father = build.active(), build.active()
    written(mother, Kind.SHARED_MAILBOX, build.school(), other=father)
    written(mother, Kind.LETTER_GUESSED, build.school())
    assert {row["kind"]: (row["account"], row["other"]) for row in listed(act)} == {
        "shared_mailbox": (mother.username, father.username),
        "letter_guessed": (mother.username, None),
    }
    assert {entry.account_id for entry in events("account.read")} == {mother.id, father.id}
    assert father.username in act("school", "notices").out


def test_text_output_is_a_table(act: Run, build: Build) -> None:
    account = build.active()
    written(account, Kind.SHARED_MAILBOX, build.school())
    lines = act("school", "notices").out.splitlines()
    assert lines[0].split() == KEYS
    for text in (COLLEGE, "shared_mailbox", account.username, "Malo LEROY", "open"):
        assert text in lines[1]
    empty = act("school", "notices", "--uai", LYCEE)
    assert (empty.code, empty.err) == (1, f"Error: no school {LYCEE}\n")
    build.school(LYCEE)
    empty = act("school", "notices", "--uai", LYCEE)
    assert (empty.code, empty.out, empty.err) == (0, "", "no notice\n")


def test_a_notice_lists_only_its_children(act: Run, build: Build) -> None:
    malo, zoe = build.child(), build.child("Zoé")
    account = build.active(children=[malo, zoe])
    school_notices.add(Kind.PERSON_REPLACED, account.id, {build.school().id: [zoe.id]})
    tie = db.session.get_one(Guardianship, (account.id, malo.id))
    tie.disputed_at = now()
    school_notices.add(Kind.LETTER_DOUBT, account.id, [build.school().id])
    db.session.commit()
    names = {row["kind"]: [child["given_name"] for child in row["children"]] for row in listed(act)}
    assert names == {"person_replaced": ["Zoé"], "letter_doubt": ["Malo", "Zoé"]}


def test_a_notice_is_settled_once(act: Run, build: Build) -> None:
    key = written(build.active(), Kind.LETTER_DOUBT, build.school())
    assert act("school", "notices", "--settle", key, "--sentence", "Même personne.").out == f"{key} is settled\n"
    again = act("school", "notices", "--settle", key, "--sentence", "Une autre personne.")
    assert (again.code, again.out) == (1, "")
    assert again.err.startswith(f"Error: {key} was settled by {OPERATOR} at 2")
    assert listed(act)[0]["sentence"] == "Même personne."


def test_concurrent_operators_settle_a_notice_once(act: Run, build: Build, settings: Settings, events: Events) -> None:
    key = written(build.active(), Kind.LETTER_DOUBT, build.school())
    db.session.rollback()
    crowd = [
        forked.Program(
            forked.IDP, "school", "notices", "--settle", key, "--sentence", f"sentence {n}", env=environment(settings)
        )
        for n in range(4)
    ]
    results = [(process.communicate(timeout=120), process.returncode) for process in crowd]
    winners = [n for n, (_, code) in enumerate(results) if code == 0]
    assert len(winners) == 1
    assert all("was settled by" in err for (_, err), code in results if code)
    assert listed(act)[0]["sentence"] == f"sentence {winners[0]}"
    assert len(events("school.notice_settled")) == 1


@pytest.mark.parametrize("kind", [Kind.NOT_GUARDIAN, Kind.EMAIL_CONTESTED])
def test_a_dispute_is_not_settled_by_its_notice(act: Run, build: Build, events: Events, kind: Kind) -> None:
    malo = build.child()
    account = build.active(children=[malo])
    if kind is Kind.NOT_GUARDIAN:
        db.session.get_one(Guardianship, (account.id, malo.id)).disputed_at = now()
    else:
        account.contested_at = now()
    key = written(account, kind, build.school())
    refused = act("school", "notices", "--settle", key, "--sentence", "Réglé.")
    assert (refused.code, refused.out) == (1, "")
    assert f"idp account disputes {account.username}" in refused.err
    assert [row["state"] for row in listed(act)] == ["open"]
    assert events("school.notice_settled") == []


def test_a_stopped_change_of_address_is_settled_by_its_notice(act: Run, build: Build) -> None:
    key = written(build.active(), Kind.EMAIL_CHANGE_STOPPED, build.school())
    assert act("school", "notices", "--settle", key, "--sentence", "Mot de passe changé.").code == 0


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--settle", str(uuid.UUID(int=1)), "--sentence", "x"], 1, "no notice 00000000-0000-0000-0000-000000000001"),
        (["--settle", "x", "--sentence", "x"], 2, "not a valid UUID"),
        (["--settle", str(uuid.UUID(int=1))], 2, "--settle and --sentence go together"),
        (["--sentence", "x"], 2, "--settle and --sentence go together"),
        (["--settle", str(uuid.UUID(int=1)), "--sentence", "x", "--open"], 2, "takes neither"),
        (["--settle", str(uuid.UUID(int=1)), "--sentence", " "], 2, "1 to 500 characters"),
        (["--settle", str(uuid.UUID(int=1)), "--sentence", "x" * 501], 2, "1 to 500 characters"),
        (["--settle", str(uuid.UUID(int=1)), "--sentence", ""], 2, "1 to 500 characters"),
        (["--settle", str(uuid.UUID(int=1)), "--sentence", "a\nb"], 2, "1 to 500 characters"),
        (["--uai", "0599999Z"], 1, "no school 0599999Z"),
    ],
)
def test_invalid_input_is_a_one_line_error(act: Run, options: list[str], code: int, message: str) -> None:
    answer = act("school", "notices", *options)
    assert (answer.code, answer.out) == (code, "")
    assert message in answer.err


def test_an_operator_of_one_school_settles_no_notice_of_another(act: Run, build: Build) -> None:
    key = written(build.active(), Kind.LETTER_DOUBT, build.school())
    build.school(LYCEE)
    refused = act("school", "notices", "--uai", LYCEE, "--settle", key, "--sentence", "x")
    assert (refused.code, refused.err) == (1, f"Error: no notice {key}\n")
    assert [row["state"] for row in listed(act)] == ["open"]


def test_unlock_settles_only_related_notices(act: Run, build: Build) -> None:
    account = build.active()
    for kind in Kind:
        written(account, kind, build.school())
    assert act("account", "unlock", account.username).code == 0
    settled = {row["kind"]: row for row in listed(act) if row["state"] == "settled"}
    assert set(settled) == {"letter_guessed", "email_change_stopped"}
    assert {(row["settled_by"], row["sentence"]) for row in settled.values()} == {(OPERATOR, "unlocked")}


@pytest.mark.parametrize("contested", [False, True])
def test_a_new_letter_settles_only_related_notices(
    act: Run, build: Build, tmp_path: object, *, contested: bool
) -> None:
    build.ent()
    account = build.active()
    account.contested_at = now() if contested else None
    for kind in Kind:
        written(account, kind, build.school())
    answer = act(
        "letters", "print", "--username", account.username, "--out", f"{tmp_path}/x.pdf", "--reason", "vue au guichet"
    )
    assert answer.code == 0, answer.err
    settled = {row["kind"]: row for row in listed(act) if row["state"] == "settled"}
    assert set(settled) == {"letter_guessed", "email_change_stopped", "other_mailbox", "shared_mailbox"}
    assert {row["sentence"] for row in settled.values()} == {"new letter: vue au guichet"}


def test_a_school_sets_and_removes_its_email(act: Run, build: Build, events: Events) -> None:
    build.school()
    assert act("school", "set", COLLEGE, "--mail", " Secretariat@COLLEGE.test ").out == f"{COLLEGE} was changed\n"
    [row] = json.loads(act("school", "list", "--json").out)
    assert row["mail"] == "Secretariat@college.test"
    assert "Secretariat@college.test" in act("school", "list").out
    assert act("school", "set", COLLEGE, "--phone", "03 53 01 40 40").code == 0
    assert json.loads(act("school", "list", "--json").out)[0]["mail"] == "Secretariat@college.test"
    assert act("school", "set", COLLEGE, "--mail", "").code == 0
    assert json.loads(act("school", "list", "--json").out)[0]["mail"] is None
    assert len(events("school.changed")) == 3


@pytest.mark.parametrize("typed", ["x", "a@b", "a@b.fr, c@d.fr", "é@exemple.fr", "a\n@b.fr", " ", "x" * 400 + "@b.fr"])
def test_an_invalid_email_is_refused(act: Run, build: Build, typed: str) -> None:
    school = build.school()
    school.email = "secretariat@college.test"
    db.session.commit()
    refused = act("school", "set", COLLEGE, "--phone", "03", "--mail", typed)
    assert (refused.code, refused.out) == (2, "")
    assert "is not a mail address" in refused.err
    db.session.refresh(school)
    assert (school.email, school.phone) == ("secretariat@college.test", "")
