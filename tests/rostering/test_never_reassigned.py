"""Imports in which a key of names belongs to another person: no account is given to another person."""

import secrets
import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import Table, func, select, true, update

from idp.accounts import merging, one_time_links
from idp.accounts.models import Account, RosterAlias, School, SchoolNotice
from idp.accounts.one_time_links import LinkState, OneTimeLink, Purpose
from idp.accounts.school_notices import Kind
from idp.audit.models import AuditEntry
from idp.charter.models import CharterAcceptance, CharterVersion
from idp.clock import now
from idp.config import Settings
from idp.db import db
from idp.operations.purge import unused_accounts
from idp.rostering import bulk
from idp.rostering.records import Format
from idp.rostering.write import opening
from idp.sessions.models import Session
from tests.builders import PASSWORD, Build, commit
from tests.closed import dispute
from tests.commands.conftest import Run
from tests.email_confirmation.post import post_office, text_of
from tests.pages import heading, sign_in
from tests.protocol.flow import tokens_for
from tests.rostering.aaf_school import COLLEGE, LYCEE, Parent, Pupil, Year
from tests.rostering.by_names import FIRST, SECOND, of_name, written
from tests.rostering.seen import account, children_of, codes, imported
from tests.rostering.test_import import NOBODY
from tests.rostering.test_rows import row

pytestmark = pytest.mark.row("R-12")

MAIL = "premiere@exemple.fr"
OTHER_SCHOOL = f"MARTIN;Marie;1 rue A;59990;Rivebelle;;{LYCEE};MARTIN;Tom;2DE1"


def activated(build: Build, person: Account) -> Account:
    own = {"password_hash": build.hash(PASSWORD), "activated_at": now(), "generation": 3}
    email = {"email": MAIL, "mailbox": MAIL, "email_confirmed_at": now()}
    commit(update(Account).where(Account.id == person.id).values(**own, **email))
    return db.session.get_one(Account, person.id, populate_existing=True)


def first_of_two(act: Run, build: Build, folder: Path) -> Account:
    imported(act, written(folder, FIRST))
    [first] = of_name("MARTIN")
    return activated(build, first)


def count(table: type, *conditions: object) -> int:
    rows = db.session.scalar(select(func.count()).select_from(table).where(*conditions)) or 0  # type: ignore[arg-type]
    db.session.rollback()
    return rows


def test_sub_is_never_reassigned(act: Run, app: Flask, build: Build, folder: Path) -> None:
    first = first_of_two(act, build, folder)
    ents = (
        build.ent(host="a.test"),
        build.ent(host="b.test", subject="public"),
        build.ent(host="c.test", subject="aaf", subject_prefix="DR"),
    )
    phone, tablet = app.test_client(), app.test_client()
    sign_in(phone, "/connexion", first.username, PASSWORD)
    former_tokens = [tokens_for(phone, ent) for ent in ents]
    report = imported(act, written(folder, SECOND), "--force")
    assert (report["accounts"]["created"], report["accounts"]["disabled"]) == (1, 1)
    former, second = of_name("MARTIN")
    assert (former.id, former.username == second.username) == (first.id, False)
    assert [child.given_name for child in second.children] == ["Zoé"]
    activated(build, second)
    sign_in(tablet, "/connexion", second.username, PASSWORD)
    for ent, tokens in zip(ents, former_tokens, strict=True):
        assert tokens_for(tablet, ent)["claims"]["sub"] != tokens["claims"]["sub"], ent.redirect_uri
        assert ent.userinfo(phone, tokens["access_token"]).status_code == 401, "the former tokens are dead"
    assert heading(sign_in(app.test_client(), "/connexion", former.username, PASSWORD)) == "Connexion"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("59990;Rivebelle;", "59990;Valdoux;"),
        ("59990;;", "59990;;"),
        (";;", ";;"),
        ("59990;Rivebelle;", "59990;;"),
        ("59990;Rivebelle;marie@exemple.fr", "59992;Valdoux;marie@exemple.fr"),
    ],
)
def test_a_street_a_postcode_or_a_mailbox_alone_proves_no_identity(
    act: Run, build: Build, folder: Path, before: str, after: str
) -> None:
    rows = [
        f"MARTIN;Marie;1 rue de l’Église;{where};{COLLEGE};{child}"
        for where, child in ((before, "MARTIN;Léa;CM2"), (after, "BERNARD;Zoé;CP"))
    ]
    imported(act, written(folder, rows[0]))
    [first] = of_name("MARTIN")
    activated(build, first)
    imported(act, written(folder, rows[1]), "--force")
    former, second = of_name("MARTIN")
    assert (former.id, former.children, [child.given_name for child in second.children]) == (first.id, [], ["Zoé"])


def test_spellings_of_one_home_are_recognised(act: Run, folder: Path) -> None:
    rows = [
        f"MARTIN;Marie;{where};;{COLLEGE};{child}"
        for where, child in (
            ("1 rue de l’Église;59990;Saint-Rémy", "MARTIN;Léa;CM2"),
            ("1 RUE DE L'EGLISE;59990;SAINT REMY", "BERNARD;Zoé;CP"),
        )
    ]
    imported(act, written(folder, rows[0]))
    imported(act, written(folder, rows[1]), "--force")
    [marie] = of_name("MARTIN")
    assert [child.given_name for child in marie.children] == ["Zoé"]


def test_a_namesake_inherits_nothing(act: Run, app: Flask, build: Build, folder: Path) -> None:
    first = first_of_two(act, build, folder)
    build.publish(build.ent(), "1")
    sign_in(app.test_client(), "/connexion", first.username, PASSWORD)
    version_id = db.session.scalars(select(CharterVersion.id)).one()
    db.session.add(CharterAcceptance(account_id=first.id, charter_version_id=version_id))
    commit(update(Account).where(Account.id == first.id).values(more_claims={"nickname": "Mimi"}))
    imported(act, written(folder, SECOND), "--force")
    former, second = of_name("MARTIN")
    assert (
        second.password_hash, second.email, second.mailbox, second.activated_at, second.provisional_hash,
        second.pending_email, second.last_sign_in_at, second.letter_school_id,
    ) == (None,) * 8  # fmt: skip
    assert (second.generation, second.more_claims) == (0, {})
    for table in (Session, CharterAcceptance, OneTimeLink, RosterAlias, AuditEntry):
        assert count(table, table.account_id == second.id) == 0, table
    assert (former.password_hash, former.email, former.generation) == (build.hash(PASSWORD), MAIL, 4)
    assert (former.disabled_at is None, former.roster_key, former.has_left) == (False, None, False)
    assert count(CharterAcceptance, CharterAcceptance.account_id == former.id) == 1
    assert count(Session, Session.ended_at.is_(None)) == 0


def test_the_former_person_and_the_school_are_notified(act: Run, app: Flask, build: Build, folder: Path) -> None:
    first = first_of_two(act, build, folder)
    child = first.children[0]
    commit(update(School).values(name="École des Tilleuls", phone="03 53 01 40 40"))
    with post_office(app) as office:
        imported(act, written(folder, SECOND), "--force")
        [mail] = office.deliver()
        imported(act, folder)
        assert len(office.deliver()) == 1, "told once"
    assert mail["To"] == MAIL
    assert mail["Subject"] == "Votre compte est fermé : une autre personne porte votre nom"
    text = " ".join(text_of(mail).split())
    for words in (first.username, "« École des Tilleuls »", "03 53 01 40 40", "elle ne voit rien du vôtre"):
        assert words in text.replace("\u00a0", " ")
    former, second = of_name("MARTIN")
    [notice] = db.session.scalars(select(SchoolNotice))
    assert (notice.kind, notice.account_id, notice.other_account_id) == ("person_replaced", former.id, second.id)
    assert (notice.school_id, notice.child_ids) == (child.school_id, [child.id.hex])
    journal = select(AuditEntry).where(AuditEntry.account_id == former.id).order_by(AuditEntry.id)
    changes = [entry.details["change"] for entry in db.session.scalars(journal) if "change" in entry.details]
    assert changes == ["replaced", "replaced", "child_ended"]


def test_the_report_names_the_new_person(act: Run, build: Build, folder: Path) -> None:
    first_of_two(act, build, folder)
    written(folder, SECOND)
    for command in ("check", "import"):
        report = imported(act, folder, "--force", command=command)
        assert report["guardians"] == NOBODY | {"read": 1, "created": 1, "left": 1}
        assert report["accounts"] == {"total": 1, "created": 1, "disabled": 1}
        assert "guardian_left" not in codes(report)
        [issue] = [issue for issue in report["issues"] if issue["code"] == "namesake_starts_again"]
        assert (issue["severity"], issue["line"]) == ("warning", 2)
        assert "le compte de la première se ferme." in issue["message"]
    assert set(codes(imported(act, folder))) <= {"school_without_name"}


def test_an_operator_and_no_import_can_enable_the_former_account(act: Run, build: Build, folder: Path) -> None:
    first = first_of_two(act, build, folder)
    imported(act, written(folder, SECOND), "--force")
    imported(act, written(folder, FIRST), "--force")
    former, second, third = of_name("MARTIN")
    assert (former.id, former.disabled_at is None, second.disabled_at is None) == (first.id, False, False)
    assert [child.given_name for child in third.children] == ["Léa"]
    assert former.children == []
    assert act("account", "enable", former.username).code == 0
    assert [person.disabled_at is None for person in of_name("MARTIN")] == [True, False, True]


def test_links_of_the_former_account_stay_revoked(act: Run, build: Build, settings: Settings, folder: Path) -> None:
    first = first_of_two(act, build, folder)
    link = one_time_links.issue(settings, Purpose.RESET_PASSWORD, first, email=MAIL, lifetime=timedelta(hours=1))
    value = one_time_links.token(settings, link) or ""
    db.session.commit()
    imported(act, written(folder, SECOND), "--force")
    assert act("account", "enable", first.username).code == 0
    assert one_time_links.look_up(Purpose.RESET_PASSWORD, value).state is LinkState.DEAD
    assert one_time_links.redeem(Purpose.RESET_PASSWORD, value) is None
    db.session.rollback()


def test_a_namesake_does_not_reopen_the_account_of_a_leaver(act: Run, build: Build, folder: Path) -> None:
    first = first_of_two(act, build, folder)
    bystander = f"PETIT;Paul;2 rue B;59990;Rivebelle;;{COLLEGE};PETIT;Rose;CP"
    imported(act, written(folder, bystander), "--force")
    assert of_name("MARTIN")[0].has_left
    report = imported(act, written(folder, bystander, SECOND), "--force")
    assert (report["accounts"]["created"], report["accounts"]["disabled"]) == (1, 0)
    former, second = of_name("MARTIN")
    assert (former.id, former.disabled_at is None, former.roster_key) == (first.id, False, None)
    assert (second.disabled_at, [child.given_name for child in second.children]) == (None, ["Zoé"])
    imported(act, written(folder, bystander, FIRST), "--force")
    assert of_name("MARTIN")[0].disabled_at is not None, "the key that would open it is another person's"


def joined(act: Run, build: Build, folder: Path) -> Account:
    """Add a second school's letter to Marie MARTIN's account: one account with two keys of names."""
    imported(act, written(folder, FIRST, OTHER_SCHOOL))
    first, second = sorted(of_name("MARTIN"), key=lambda person: person.children[0].given_name)
    merging.merge(build.settings, activated(build, first), second)
    db.session.commit()
    return first


def test_a_second_key_of_a_namesake_adds_no_child(act: Run, build: Build, folder: Path) -> None:
    hers = joined(act, build, folder)
    namesake = f"MARTIN;Marie;5 rue Q;59993;Merval;;{LYCEE};DURAND;Bob;2DE2"
    report = imported(act, written(folder, FIRST, namesake), "--force")
    assert (report["accounts"]["created"], report["accounts"]["disabled"]) == (1, 0)
    assert codes(report).count("namesake_starts_again") == 1
    people = {person.id: person for person in of_name("MARTIN") if person.merge is None}
    [new] = [person for key, person in people.items() if key != hers.id]
    assert [child.given_name for child in people[hers.id].children] == ["Léa"]
    assert [child.given_name for child in new.children] == ["Bob"]
    assert people[hers.id].disabled_at is None
    assert count(RosterAlias) == 0
    [notice] = db.session.scalars(select(SchoolNotice).where(SchoolNotice.kind == Kind.PERSON_REPLACED.value))
    lycee = db.session.scalars(select(School.id).where(School.uai == LYCEE)).one()
    assert (notice.account_id, notice.other_account_id, notice.school_id) == (hers.id, new.id, lycee)
    assert set(codes(imported(act, folder))) <= {"school_without_name"}


def test_an_account_that_loses_one_of_two_keys_keeps_the_other(act: Run, build: Build, folder: Path) -> None:
    hers = joined(act, build, folder)
    report = imported(act, written(folder, SECOND, OTHER_SCHOOL), "--force")
    assert (report["accounts"]["created"], report["accounts"]["disabled"]) == (1, 0)
    stored = db.session.get_one(Account, hers.id, populate_existing=True)
    assert (stored.disabled_at, [child.given_name for child in stored.children]) == (None, ["Tom"])
    assert (stored.roster_key or "").startswith(f"csv:{LYCEE}:")
    assert set(codes(imported(act, folder))) <= {"school_without_name"}
    imported(act, written(folder, SECOND, OTHER_SCHOOL.replace("1 rue A", "27 rue du Moulin")))
    assert db.session.get_one(Account, hers.id, populate_existing=True).address_lines == ["27 rue du Moulin"]


def test_an_account_that_loses_both_keys_is_closed_once(act: Run, app: Flask, build: Build, folder: Path) -> None:
    hers = joined(act, build, folder)
    namesake = f"MARTIN;Marie;5 rue Q;59993;Merval;;{LYCEE};DURAND;Bob;2DE2"
    with post_office(app) as office:
        report = imported(act, written(folder, SECOND, namesake), "--force")
        subjects = [mail["Subject"] for mail in office.deliver()]
    assert subjects.count("Votre compte est fermé : une autre personne porte votre nom") == 1
    assert (report["accounts"]["created"], report["accounts"]["disabled"]) == (2, 1)
    stored = db.session.get_one(Account, hers.id, populate_existing=True)
    assert (stored.disabled_at is None, stored.children, stored.roster_key) == (False, [], None)
    replaced = db.session.scalars(select(SchoolNotice).where(SchoolNotice.kind == Kind.PERSON_REPLACED.value)).all()
    assert len(replaced) == 4, "each school hears of each of the two"


def test_a_namesake_without_an_account_does_not_take_the_key(act: Run, build: Build, folder: Path) -> None:
    first = first_of_two(act, build, folder)
    without_class = SECOND.replace("Zoé;CP", "Zoé;")
    report = imported(
        act, written(folder, without_class, f"PETIT;Paul;2 rue B;59990;R;;{COLLEGE};PETIT;Rose;CP"), "--force"
    )
    assert "namesake_starts_again" not in codes(report)
    [former] = of_name("MARTIN")
    assert (former.id, former.children, former.roster_key) == (first.id, [], first.roster_key)
    assert former.has_left
    assert count(SchoolNotice) == 0


def test_a_new_account_does_not_replace_a_disputed_tie(act: Run, build: Build, folder: Path) -> None:
    imported(act, written(folder, FIRST))
    dispute()
    moved = FIRST.replace("1 rue A;59990;Rivebelle", "9 rue Z;59992;Valdoux")
    assert imported(act, written(folder, moved))["accounts"]["created"] == 0
    assert of_name("MARTIN")[0].children == []


def test_an_identifier_is_never_reused(act: Run, build: Build, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build.active(username="m.martin1000", children=[])
    assert unused_accounts.remove(db.session.scalars(select(Account)).one().id, true())
    db.session.commit()
    drawn = iter([0, 7])
    monkeypatch.setattr(secrets, "randbelow", lambda _: next(drawn))
    imported(act, written(folder, FIRST))
    assert of_name("MARTIN")[0].username == "m.martin1007"


def test_an_identifier_released_during_the_import_is_not_reused(
    app: Flask, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = build.active(username="n.leroy1000", children=[])
    insert = bulk.insert_unless_taken

    def freed(table: Table, unique: str, rows: bulk.Rows) -> set[uuid.UUID]:
        if db.session.scalar(select(Account.id).where(Account.username == "n.leroy1000")) == gone.id:
            assert unused_accounts.remove(gone.id, true())
        return insert(table, unique, rows)

    monkeypatch.setattr(bulk, "insert_unless_taken", freed)
    drawn = iter([0, 3])
    monkeypatch.setattr(secrets, "randbelow", lambda _: next(drawn))
    opening.open_accounts(Format.CSV, [row("01")])
    db.session.commit()
    assert db.session.scalars(select(Account.username)).all() == ["n.leroy1003"]


def test_a_join_key_is_never_reused_for_another_person(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    for key in ("9100000", "9100001", "9100002"):
        assert unused_accounts.remove(account(key).id, true())
        db.session.commit()
    year.change("9100000", given="Igor", family="ZANZIBAR")
    year.change("9100001", family="MARIÉE")
    year.change("9100002", given="Igor")
    assert codes(imported(act, year.write(folder), "--force")).count("key_of_other_person") == 2
    assert db.session.scalars(select(Account.id).where(Account.join_key.in_(["9100000", "9100002"]))).all() == []
    assert children_of("9100001") == ["Enfantb"]


def test_a_returning_key_of_another_person_reopens_no_account(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    first = account("9100000").id
    child, mother = year.pupils.pop("9200000"), year.parents.pop("9100000")
    imported(act, year.write(folder), "--force")
    year.add(child, Parent(mother.key, "Igor", "ZANZIBAR"), Pupil("88", "Bob", "Z", parents=((mother.key, "20", "1"),)))
    assert "key_of_other_person" in codes(imported(act, year.write(folder), "--force"))
    assert (account("9100000").id, account("9100000").disabled_at is None) == (first, False)
    assert "Bob" not in children_of("9100000")
