"""`idp letters print --school`: who gets a letter, in which order, and who gets none (P-02, P-06, K-05)."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import delete, update

from idp.accounts.models import Account, Guardianship
from idp.clock import now
from idp.db import db, unit_of_work
from idp.letters import printing, recipients
from tests.activation.steps import ACTIVATION
from tests.builders import COLLEGE, LYCEE, Build
from tests.closed import dispute_tie
from tests.commands.accounts import reload_account
from tests.commands.conftest import Answer, Events, Run, check_refusal, read_json
from tests.commands.families import before_typesetting, link, pages, parent, pupil, secret_on, usernames_on
from tests.email_confirmation.post import post_office
from tests.pages import heading, sign_in

pytestmark = pytest.mark.usefixtures("ent")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "lettres.pdf"


def printed(act: Run, out: Path, *options: str) -> Any:
    return read_json(act, "letters", "print", "--school", COLLEGE, "--out", str(out), *options)


@pytest.mark.row("P-06")
def test_letters_are_sorted_by_class_then_name_and_each_parent_has_one(
    act: Run, app: Flask, build: Build, out: Path
) -> None:
    second, tenth = pupil(build, "6e 2"), pupil(build, "6e 10")
    elsewhere = pupil(build, "2de 7", LYCEE, "Zoé")
    late = parent(build, tenth, family_name="ABEILLE")
    faure, accent, eve = (parent(build, second, family_name=name) for name in ("FAURE", "ÉVRARD", "EVE"))
    dash = parent(build, second, family_name="DE-LA-TOUR", given_name="Œuvre")
    space = parent(build, second, family_name="DE LA TOUR", given_name="Ondine")
    both = parent(build, second, tenth, elsewhere, family_name="ZOLA")
    no_class = parent(build, pupil(build, ""), family_name="AAA")
    others = parent(build, elsewhere)
    assert printed(act, out) == {"printed": 8, "skipped": [], "pdf": str(out), "csv": None}
    everybody = [dash, space, eve, accent, faure, both, late, no_class, others]
    assert usernames_on(out, *everybody) == [account.username for account in everybody[:-1]]
    printed_pages = pages(out)
    assert "pour Malo (6e 2), Malo (6e 10) et Zoé (2de 7)." in printed_pages[5]
    secrets = [secret_on(page) for page in printed_pages]
    assert len(set(secrets)) == 8
    assert heading(sign_in(app.test_client(), "/connexion", no_class.username, secrets[7])) == ACTIVATION
    assert reload_account(others).provisional_hash is None


@pytest.mark.row("P-02")
def test_a_second_print_keeps_valid_letters(act: Run, app: Flask, build: Build, out: Path) -> None:
    first, other = parent(build, pupil(build, "6e 1")), parent(build, pupil(build, "6e 2"))
    assert printed(act, out)["printed"] == 2
    hashed = reload_account(first).provisional_hash
    again = out.with_name("again.pdf")
    report = printed(act, again)
    assert report | {"skipped": None} == {"printed": 0, "skipped": None, "pdf": None, "csv": None}
    skipped = {row["username"]: row["reason"] for row in report["skipped"]}
    assert set(skipped) == {first.username, other.username}
    assert "which is not renewed" in skipped[first.username]
    assert (again.exists(), reload_account(first).provisional_hash) == (False, hashed)
    words = act("letters", "print", "--school", COLLEGE, "--out", str(again))
    assert (words.code, words.out) == (0, f"no letter to print for {COLLEGE}\n")
    assert "has a letter valid until" in words.err

    assert printed(act, again, "--class", "6e 1", "--renew")["printed"] == 1
    for paper, page in ((out, "Connexion"), (again, ACTIVATION)):
        secret = secret_on(pages(paper)[0])
        assert heading(sign_in(app.test_client(), "/connexion", first.username, secret)) == page


def test_an_expired_letter_is_replaced(act: Run, app: Flask, build: Build, out: Path, events: Events) -> None:
    account = build.never_activated(provisional_expires_at=now() - timedelta(seconds=1))
    assert printed(act, out)["printed"] == 1
    assert heading(sign_in(app.test_client(), "/connexion", account.username, secret_on(pages(out)[0]))) == ACTIVATION
    assert [entry.account_id for entry in events("letter.drawn")] == [account.id]


def test_letters_go_to_present_parents_who_never_activated(act: Run, app: Flask, build: Build, out: Path) -> None:
    child = pupil(build, "6e 1")
    good = parent(build, child)
    active, disabled = build.active(children=[child]), parent(build, child, disabled_at=now())
    disputed, gone = parent(build, child), parent(build, child)
    link(gone, child).ended_at = now()
    dispute_tie(link(disputed, child))
    db.session.commit()
    with post_office(app) as office:
        report = printed(act, out, "--renew")
        assert office.deliver() == []
    skipped = {row["username"]: row["reason"] for row in report["skipped"]}
    assert report["printed"] == 1
    assert good.username in pages(out)[0]
    assert set(skipped) == {active.username, disabled.username, disputed.username}
    assert "must settle first" in skipped[disputed.username]
    assert "printed for it alone" in skipped[active.username]
    assert reload_account(active).password_hash is not None


def test_the_printing_school_is_the_sender(act: Run, build: Build, out: Path) -> None:
    build.ent("Autre", "autre.test", uais=[LYCEE])
    account = parent(build, pupil(build, "6e 1"), pupil(build, "2de 7", LYCEE, "Zoé"))
    options = ("letters", "print", "--username", account.username)
    assert act(*options, "--school", LYCEE.lower(), "--out", str(out)).code == 0
    [page] = pages(out)
    assert "Lycée Louise-Weber" in page
    assert "Adresse de l’ENT pour Zoé https://autre.test/ Adresse de l’ENT pour Malo https://ent.test/" in page
    alone = out.with_name("alone.pdf")
    check_refusal(
        act(*options, "--school", LYCEE, "--class", "6e 1", "--out", str(alone)), f"no child in 6e 1 of {LYCEE}"
    )
    assert act(*options, "--out", str(alone)).code == 0
    assert "https://ent.test/" in pages(alone)[0]


def test_an_error_for_the_whole_school_is_one_line(act: Run, build: Build, out: Path) -> None:
    account = parent(build, pupil(build, "6e 1"))
    command = ("letters", "print", "--school")
    check_refusal(act(*command, "0599003R", "--out", str(out)), "no school 0599003R")
    check_refusal(act(*command, COLLEGE, "--out", str(out / "none" / "x.pdf")), "its folder does not exist")
    unknown = act(*command, COLLEGE, "--class", "6e 9", "--out", str(out))
    assert unknown == Answer(1, "", "Error: 0599001N has no class 6e 9; its classes are 6e 1\n")
    build.school().name = f"Établissement {COLLEGE}"
    db.session.commit()
    assert "idp school set" in act(*command, COLLEGE, "--out", str(out)).err
    assert (out.exists(), reload_account(account).provisional_hash) == (False, None)


def test_an_impossible_letter_does_not_stop_the_others(act: Run, build: Build, out: Path) -> None:
    child = pupil(build, "6e 1")
    odd, good = parent(build, child, username="n.漢", family_name="A"), parent(build, child, family_name="B")
    [skipped] = printed(act, out)["skipped"]
    assert (skipped["username"], "its identifier cannot be printed" in skipped["reason"]) == ("n.漢", True)
    assert usernames_on(out, good) == [good.username]
    assert reload_account(odd).provisional_hash is None


@pytest.mark.parametrize("is_removed", [False, True], ids=["activated", "removed"])
def test_an_account_that_changes_during_typesetting_is_skipped(
    act: Run, build: Build, out: Path, monkeypatch: pytest.MonkeyPatch, *, is_removed: bool
) -> None:
    child = pupil(build, "6e 1")
    fast, slow = parent(build, child, family_name="A"), parent(build, child, family_name="B")
    key, username, other = fast.id, fast.username, slow.username

    def change() -> None:
        with db.engine.begin() as connection:
            if is_removed:
                connection.execute(delete(Guardianship).where(Guardianship.account_id == key))
                connection.execute(delete(Account).where(Account.id == key))
            else:
                connection.execute(update(Account).where(Account.id == key).values(activated_at=now(), generation=1))

    rendered = before_typesetting(monkeypatch, change)
    report = printed(act, out)
    assert report["skipped"] == [{"username": username, "reason": "changed in the meantime, try again"}]
    assert rendered == [[username, other], [other]]
    assert (len(pages(out)), list(out.parent.glob("*.part"))) == (1, [])
    stored = db.session.get(Account, key)
    assert stored is None if is_removed else (stored and stored.activated_at and stored.provisional_hash is None)


def test_an_account_activated_before_typesetting_is_skipped(
    act: Run, build: Build, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = parent(build, pupil(build, "6e 1"))
    choose_truly = recipients.in_school

    def in_school(*args: object, **more: bool) -> object:
        chosen = choose_truly(*args, **more)  # type: ignore[arg-type]
        with unit_of_work():
            row = db.session.get_one(Account, account.id)
            row.activated_at, row.generation = now(), row.generation + 1
        return chosen

    monkeypatch.setattr(recipients, "in_school", in_school)
    report = printed(act, out)
    assert report["skipped"] == [{"username": account.username, "reason": "changed in the meantime, try again"}]
    assert (out.exists(), reload_account(account).activated_at is None) == (False, False), "it was not closed"


def test_too_many_letters_for_one_file_need_per_class(
    act: Run, build: Build, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(printing, "IN_ONE_FILE", 1)
    child = pupil(build, "6e 1")
    parent(build, child), parent(build, child)
    check_refusal(act("letters", "print", "--school", COLLEGE, "--out", str(out)), "print a file for each class")
    assert not out.exists()
    assert act("letters", "print", "--school", COLLEGE, "--csv", str(out)).code == 0, "a list has any length"


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--school", COLLEGE),
        ("--out", "x.pdf"),
        ("--school", COLLEGE, "--out", "x", "--csv", "x"),
        ("--username", "x", "--class", "6e 1", "--out", "x.pdf"),
        ("--username", "x", "--per-class", "--out", "x"),
        ("--school", COLLEGE, "--strip", "--csv", "x.csv"),
        ("--school", COLLEGE, "--out", "."),
        ("--school", COLLEGE, "--per-class", "--out", __file__),
        ("--school", COLLEGE, "--per-class", "--out", "x", "--csv", "x.csv"),
    ],
)
def test_contradictory_options_are_refused(idp: Run, options: Sequence[str]) -> None:
    answer = idp("letters", "print", *options)
    assert (answer.code, answer.out) == (2, "")
