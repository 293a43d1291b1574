"""`idp letters print --school`: who gets a letter, in which order, and who gets none (P-02, P-06, K-05)."""

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import delete

from idp.accounts.models import Account, Guardianship
from idp.clock import now
from idp.db import db, unit_of_work
from idp.letters import printing, recipients
from tests.activation.steps import ACTIVATION
from tests.builders import COLLEGE, LYCEE, PROVISIONAL, Build
from tests.commands.accounts import reload_account
from tests.commands.conftest import Events, Run, check_refusal
from tests.commands.families import before_typesetting, link, pages, parent, pupil, secret_on, usernames_on
from tests.email_confirmation.post import post_office
from tests.pages import heading, sign_in

pytestmark = pytest.mark.usefixtures("ent")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "lettres.pdf"


def printed(act: Run, out: Path, *options: str) -> dict[str, Any]:
    answer = act("letters", "print", "--school", COLLEGE, "--out", str(out), "--json", *options)
    assert (answer.code, answer.err) == (0, "")
    report: dict[str, Any] = json.loads(answer.out)
    return report


@pytest.mark.row("P-06")
def test_letters_are_sorted_by_class_then_name_and_each_parent_has_one(
    act: Run, app: Flask, build: Build, out: Path
) -> None:
    second, tenth = pupil(build, "6e 2"), pupil(build, "6e 10")
    elsewhere = pupil(build, "2de 7", LYCEE, "Zoé")
    late = parent(build, tenth, family_name="ABEILLE")
    faure = parent(build, second, family_name="FAURE")
    accent = parent(build, second, family_name="ÉVRARD")
    eve = parent(build, second, family_name="EVE")
    dash = parent(build, second, family_name="DE-LA-TOUR", given_name="Œuvre")
    space = parent(build, second, family_name="DE LA TOUR", given_name="Ondine")
    both = parent(build, second, tenth, elsewhere, family_name="ZOLA")
    no_class = parent(build, pupil(build, ""), family_name="AAA")
    others = parent(build, elsewhere)
    report = printed(act, out)
    assert report == {"printed": 8, "skipped": [], "pdf": str(out), "csv": None}
    everybody = [dash, space, eve, accent, faure, both, late, no_class, others]
    assert usernames_on(out, *everybody) == [account.username for account in everybody[:-1]]
    assert len(pages(out)) == 8
    assert "pour Malo (6e 2), Malo (6e 10) et Zoé (2de 7)." in pages(out)[5]
    secrets = [secret_on(page) for page in pages(out)]
    assert len(set(secrets)) == 8
    for account in (dash, no_class):
        secret = secrets[everybody.index(account)]
        assert heading(sign_in(app.test_client(), "/connexion", account.username, secret)) == ACTIVATION
    assert reload_account(others).provisional_hash is None


@pytest.mark.row("P-02")
def test_a_second_print_keeps_valid_letters(act: Run, app: Flask, build: Build, out: Path) -> None:
    first, other = parent(build, pupil(build, "6e 1")), parent(build, pupil(build, "6e 2"))
    assert printed(act, out)["printed"] == 2
    secret, hashed = secret_on(pages(out)[0]), reload_account(first).provisional_hash
    again = out.with_name("again.pdf")
    report = printed(act, again)
    assert report | {"skipped": None} == {"printed": 0, "skipped": None, "pdf": None, "csv": None}
    skipped = {row["username"]: row["reason"] for row in report["skipped"]}
    assert set(skipped) == {first.username, other.username}
    assert "which is not renewed" in skipped[first.username]
    assert not again.exists()
    assert reload_account(first).provisional_hash == hashed
    words = act("letters", "print", "--school", COLLEGE, "--out", str(again))
    assert (words.code, words.out) == (0, f"no letter to print for {COLLEGE}\n")
    assert "has a letter valid until" in words.err

    assert printed(act, again, "--class", "6e 1", "--renew")["printed"] == 1
    for tried, page in ((secret, "Connexion"), (secret_on(pages(again)[0]), ACTIVATION)):
        assert heading(sign_in(app.test_client(), "/connexion", first.username, tried)) == page


def test_an_expired_letter_is_replaced(act: Run, app: Flask, build: Build, out: Path, events: Events) -> None:
    account = build.never_activated(provisional_expires_at=now() - timedelta(seconds=1))
    assert printed(act, out)["printed"] == 1
    assert heading(sign_in(app.test_client(), "/connexion", account.username, PROVISIONAL)) == "Connexion"
    assert heading(sign_in(app.test_client(), "/connexion", account.username, secret_on(pages(out)[0]))) == ACTIVATION
    assert [entry.account_id for entry in events("letter.drawn")] == [account.id]


def test_letters_go_to_present_parents_who_never_activated(act: Run, app: Flask, build: Build, out: Path) -> None:
    child = pupil(build, "6e 1")
    good = parent(build, child)
    active, disabled = build.active(children=[child]), parent(build, child, disabled_at=now())
    disputed, gone = parent(build, child), parent(build, child)
    link(disputed, child).disputed_at = link(gone, child).ended_at = now()
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
    assert "https://autre.test/" in page
    assert "pour Malo (6e 1) et Zoé (2de 7)." in page
    assert "Adresse de l’ENT pour Zoé https://autre.test/ Adresse de l’ENT pour Malo https://ent.test/" in page
    alone = out.with_name("alone.pdf")
    check_refusal(
        act(*options, "--school", LYCEE, "--class", "6e 1", "--out", str(alone)), f"no child in 6e 1 of {LYCEE}"
    )
    assert act(*options, "--out", str(alone)).code == 0
    assert "https://ent.test/" in pages(alone)[0]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ("no school", "no school 0599003R"),
        ("no folder", "its folder does not exist"),
    ],
)
def test_an_error_for_the_whole_school_is_one_line(act: Run, build: Build, out: Path, spoil: str, message: str) -> None:
    account = parent(build, pupil(build, "6e 1"))
    uai = "0599003R" if spoil == "no school" else COLLEGE
    path = out / "none" / "x.pdf" if spoil == "no folder" else out
    check_refusal(act("letters", "print", "--school", uai, "--out", str(path)), message)
    assert not path.exists()
    assert reload_account(account).provisional_hash is None


def test_an_unknown_class_is_refused_with_the_list_of_classes(act: Run, build: Build, out: Path) -> None:
    parent(build, pupil(build, "6e 1"))
    answer = act("letters", "print", "--school", COLLEGE, "--class", "6e 9", "--out", str(out))
    assert (answer.code, answer.err) == (1, "Error: 0599001N has no class 6e 9; its classes are 6e 1\n")
    assert not out.exists()


def test_a_school_without_a_name_prints_no_letter(act: Run, build: Build, out: Path) -> None:
    build.school().name = f"Établissement {COLLEGE}"
    db.session.commit()
    answer = act("letters", "print", "--school", COLLEGE, "--out", str(out))
    assert answer.code == 1
    assert "idp school set" in answer.err


def test_an_impossible_letter_does_not_stop_the_others(act: Run, build: Build, out: Path) -> None:
    child = pupil(build, "6e 1")
    odd, good = parent(build, child, username="n.漢", family_name="A"), parent(build, child, family_name="B")
    report = printed(act, out)
    assert report["printed"] == 1
    [skipped] = report["skipped"]
    assert skipped["username"] == "n.漢"
    assert "its identifier cannot be printed" in skipped["reason"]
    assert good.username in pages(out)[0]
    assert reload_account(odd).provisional_hash is None


def test_an_account_activated_during_typesetting_is_skipped(
    act: Run, build: Build, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = pupil(build, "6e 1")
    fast, slow = parent(build, child, family_name="A"), parent(build, child, family_name="B")

    def activate() -> None:
        with db.engine.begin() as other:
            values = {"activated_at": now(), "generation": 1}
            other.execute(Account.__table__.update().where(Account.id == fast.id).values(**values))  # type: ignore[attr-defined]

    rendered = before_typesetting(monkeypatch, activate)
    report = printed(act, out)
    assert report["printed"] == 1
    assert report["skipped"] == [{"username": fast.username, "reason": "changed in the meantime, try again"}]
    assert rendered == [[fast.username, slow.username], [slow.username]]
    assert len(pages(out)) == 1
    assert (reload_account(fast).provisional_hash, reload_account(fast).activated_at is not None) == (None, True)
    assert [path.name for path in out.parent.glob("*.part")] == []


def test_an_account_removed_during_the_print_is_skipped(
    act: Run, build: Build, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = pupil(build, "6e 1")
    removed, other = (parent(build, child, family_name=name) for name in "AB")
    key, username, other_username = removed.id, removed.username, other.username

    def remove() -> None:
        with db.engine.begin() as connection:
            connection.execute(delete(Guardianship).where(Guardianship.account_id == key))
            connection.execute(delete(Account).where(Account.id == key))

    rendered = before_typesetting(monkeypatch, remove)
    report = printed(act, out)
    assert report["skipped"] == [{"username": username, "reason": "changed in the meantime, try again"}]
    assert rendered == [[username, other_username], [other_username]]
    assert len(pages(out)) == 1


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
    assert not out.exists()
    assert reload_account(account).activated_at is not None, "it was not closed"


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
