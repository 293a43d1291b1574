"""What imports lead to: disputes stay open, people who left are removed, guardians who are added are announced."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import delete, func, select, text, update

from idp.accounts import directory, merging
from idp.accounts.models import Account, Child, Guardianship, RosterAlias, SchoolNotice
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.config import Settings
from idp.db import Base, db, unit_of_work
from idp.families import disputes as operators
from idp.outbox.queue import OutboxMessage
from idp.rostering.models import ImportBatch, ImportIssue
from idp.sessions import closing
from tests import closed, forked
from tests.builders import PASSWORD, Build, commit
from tests.closed import suspend
from tests.commands.accounts import living
from tests.commands.conftest import Run
from tests.commands.processes import environment
from tests.databases import LOCK_WAITS
from tests.pages import sign_in
from tests.protocol.flow import OFFLINE, tokens_for
from tests.rostering.aaf_school import COLLEGE, LYCEE, Parent, Pupil, Year
from tests.rostering.seen import account, children_of, disable, imported
from tests.settlements import REJECT, decision_about
from tests.waiting import wait_for

FATHER, CHILD = "9150000", "9200000"
BOTH, MOTHER_ALONE = (("9100000", "10", "1"), (FATHER, "20", "1")), (("9100000", "10", "1"),)


def dispute(key: str) -> Account:
    """Dispute all ties of an account, as the holder of its letter does."""
    person = account(key)
    closed.dispute(person.id)
    closing.revoke_credentials([person.id])
    db.session.commit()
    return person


def activate(person: Account) -> None:
    own = {"password_hash": "x", "activated_at": now(), "email": "lui@exemple.fr"}
    commit(update(Account).where(Account.id == person.id).values(**own))


@pytest.mark.row("R-13")
def test_a_file_that_names_a_disputed_tie_keeps_the_dispute(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    him = dispute(FATHER)
    year.change(CHILD, group="5EME2")
    imported(act, year.write(folder))
    assert children_of(FATHER) == []
    assert db.session.get_one(Account, him.id, populate_existing=True).has_disputed_tie


@pytest.mark.row("R-13")
def test_a_tie_ended_by_the_file_settles_the_dispute(act: Run, year: Year, folder: Path) -> None:
    year.add(Pupil("88", "Frère", "FAMILLEAA", parents=BOTH))
    imported(act, year.write(folder))
    him = account(FATHER)
    tie = Guardianship.account_id == him.id, Guardianship.rank == 0
    closed.dispute_tie(*db.session.scalars(select(Guardianship).where(*tie)).all())
    assert db.session.get_one(Account, him.id, populate_existing=True).has_disputed_tie
    year.change(CHILD, parents=MOTHER_ALONE)
    imported(act, year.write(folder))
    assert not db.session.get_one(Account, him.id, populate_existing=True).has_disputed_tie
    year.add(Pupil("89", "Sœur", "FAMILLEAA", parents=BOTH))
    imported(act, year.write(folder))
    assert children_of(FATHER) == ["Frère", "Sœur"]


@pytest.mark.row("R-13")
def test_a_returning_disputed_tie_closes_the_account_again(act: Run, year: Year, folder: Path) -> None:
    year.add(Pupil("88", "Frère", "FAMILLEAA", parents=BOTH))
    imported(act, year.write(folder))
    him = account(FATHER)
    tie = Guardianship.account_id == him.id, Guardianship.rank == 0
    closed.dispute_tie(*db.session.scalars(select(Guardianship).where(*tie)).all())
    year.change(CHILD, parents=MOTHER_ALONE)
    imported(act, year.write(folder))
    activate(him)
    generation = account(FATHER).generation
    year.change(CHILD, parents=BOTH)
    imported(act, year.write(folder))
    assert db.session.get_one(Account, him.id, populate_existing=True).has_disputed_tie
    assert account(FATHER).generation > generation, "what was issued meanwhile is dead"
    assert living(him) == 0


@pytest.mark.row("R-13")
def test_a_dispute_opened_by_an_import_closes_the_account(
    act: Run, app: Flask, build: Build, year: Year, folder: Path
) -> None:
    """One school's letter is disputed, another's is used; then a sibling joins the first school."""
    ent = build.ent(uais=[COLLEGE, LYCEE], scopes=OFFLINE)
    year.add(Pupil("88", "Frère", "FAMILLEAA", uai=COLLEGE, parents=BOTH))
    imported(act, year.write(folder))
    him = account(FATHER)
    [here] = [tie for tie in him.guardianships if tie.child.school.uai == LYCEE]
    closed.dispute_tie(here)
    pupil = year.pupils.pop(CHILD)
    imported(act, year.write(folder), "--force")
    own = {"password_hash": build.hash(PASSWORD), "activated_at": now(), "email": "lui@exemple.fr"}
    commit(update(Account).where(Account.id == him.id).values(**own))
    phone = app.test_client()
    sign_in(phone, "/connexion", him.username, PASSWORD)
    issued = tokens_for(phone, ent, scope=OFFLINE)
    assert living(him) == 1
    year.add(Pupil("89", "Sœur", "FAMILLEAA", uai=pupil.uai, parents=BOTH))
    imported(act, year.write(folder))
    assert db.session.get_one(Account, him.id, populate_existing=True).has_disputed_tie
    assert living(him) == 0
    assert ent.userinfo(phone, issued["access_token"]).status_code == 401
    assert ent.refresh(phone, issued["refresh_token"]).status_code == 400
    assert children_of(FATHER) == ["Frère"]


def _someone_waits() -> bool:
    with db.engine.connect() as connection:
        return bool(connection.scalar(text(LOCK_WAITS)))


@pytest.mark.row("R-13")
def test_an_import_and_a_settlement_lock_in_the_same_order(
    act: Run, build: Build, settings: Settings, year: Year, folder: Path
) -> None:
    """The import changes one tie and closes the account for another tie, while an operator settles the first."""
    year.add(Pupil("88", "Frère", "FAMILLEAA", uai=LYCEE, parents=BOTH))
    imported(act, year.write(folder))
    him = dispute(FATHER)
    brother = year.pupils.pop("88")
    imported(act, year.write(folder), "--force")
    year.add(brother)
    year.change(CHILD, parents=(("9100000", "10", "1"), (FATHER, "39", "1")))
    command = (forked.IDP, "roster", "import", str(year.write(folder)), "--force")
    child = db.session.scalars(select(Child).where(Child.roster_key == f"aaf:{CHILD}")).one()
    decision = decision_about(him, REJECT, child=child)
    with ExitStack() as started:
        with unit_of_work():
            db.session.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            account = directory.get_for_change(him.id)
            assert account is not None
            run = started.enter_context(forked.Program(*command, env=environment(settings)))
            wait_for(_someone_waits, run, lambda: "it waits for the account")
            with db.engine.connect() as connection:  # a tie that the import has locked would be refused
                ties = text("SELECT child_id FROM guardianship WHERE account_id = :account FOR UPDATE NOWAIT")
                assert len(connection.execute(ties, {"account": him.id}).all()) == 2
            operators._settle(settings, account, decision)
        _, err = run.communicate(timeout=60)
        assert run.returncode == 0, err[-2000:]
    assert db.session.get_one(Account, him.id, populate_existing=True).has_disputed_tie, (
        "the brother's tie was never settled"
    )
    assert children_of(FATHER) == ["Enfanta"]


def count(table: type[Base]) -> int:
    rows = db.session.scalar(select(func.count()).select_from(table)) or 0
    db.session.rollback()
    return rows


def earlier(days: int) -> None:
    for table, names in (
        (Account, ("disabled_at",)),
        (Child, ("left_at",)),
        (Guardianship, ("ended_at",)),
        (ImportBatch, ("started_at",)),
    ):
        for name in names:
            for row in db.session.scalars(select(table).where(getattr(table, name).is_not(None))):
                setattr(row, name, getattr(row, name) - timedelta(days=days))
    db.session.commit()


def purged(act: Run) -> dict[str, int]:
    done: dict[str, int] = json.loads(act("purge", "--json").out)
    return done


def test_a_leaver_is_removed_with_its_rows_after_three_months(act: Run, year: Year, folder: Path) -> None:
    year.add(Pupil("88", "Sœur", "FAMILLEDA", parents=(("9150003", "20", "1"),)))
    imported(act, year.write(folder))
    key = account("9100000").id
    del year.pupils["9200000"]
    year.change("9200001", parents=(("9100001", "10", "1"),))
    year.change("9200003", parents=(("9100003", "10", "1"),))  # the father still has another child
    imported(act, year.write(folder), "--force")
    earlier(89)
    done = purged(act)
    assert (done["pupils_removed"], done["links_removed"], done["accounts_removed"]) == (0, 0, 0)
    earlier(1)
    done = purged(act)
    assert (done["pupils_removed"], done["links_removed"], done["accounts_removed"]) == (1, 1, 3)
    assert (count(Child), count(Account), count(Guardianship)) == (12, 21, 21)
    purge = db.session.scalars(select(AuditEntry).where(AuditEntry.account_id == key).order_by(AuditEntry.id)).all()
    assert [(entry.kind, entry.details) for entry in purge][-1] == ("account.purged", {"why": "left"})
    db.session.rollback()


def test_a_parent_who_returns_after_removal_gets_a_new_account(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    child, mother = year.pupils.pop("9200000"), year.parents["9100000"]
    imported(act, year.write(folder), "--force")
    earlier(90)
    purged(act)
    year.add(child, mother)
    report = imported(act, year.write(folder))
    assert (report["accounts"]["created"], report["students"]["created"]) == (2, 1)
    assert children_of("9100000") == ["Enfanta"]


def test_imports_and_their_issues_are_removed_with_the_journal(act: Run, year: Year, folder: Path) -> None:
    year.add(Parent("4", "Sans", "ENFANT"))
    imported(act, year.write(folder))
    db.session.execute(update(ImportIssue).values(person="ENFANT Sans"))  # as the files of one school store it
    db.session.commit()
    earlier(89)
    purged(act)
    assert db.session.scalar(select(ImportIssue.person)) == "ENFANT Sans"
    db.session.rollback()
    earlier(275)
    assert purged(act)["imports_removed"] == 0
    assert (count(ImportBatch), count(ImportIssue)) == (1, 1)
    assert db.session.scalar(select(ImportIssue.person)) == "", "the name is gone with pupils who left then"
    earlier(2)
    assert purged(act)["imports_removed"] == 1
    assert (count(ImportBatch), count(ImportIssue)) == (0, 0)


def test_a_merged_account_gets_the_children_of_both_keys(act: Run, year: Year, folder: Path, build: Build) -> None:
    year.add(Parent("501", "Anne", "DUPONT"), Pupil("10", "Un", "DUPONT", parents=(("501", "10", "1"),)))
    year.add(Parent("502", "Anne", "DUPONT", city="Valdoux"))
    year.add(Pupil("11", "Deux", "DUPONT", uai=LYCEE, parents=(("502", "10", "1"),)))
    imported(act, year.write(folder))
    mine, other = account("501"), account("502")
    merging.merge(build.settings, mine, other)
    db.session.commit()
    assert children_of("501") == ["Deux", "Un"]
    year.add(Pupil("12", "Trois", "DUPONT", parents=(("502", "10", "1"),)))
    report = imported(act, year.write(folder))
    assert (report["accounts"]["created"], report["accounts"]["disabled"]) == (0, 0)
    assert children_of("501") == ["Deux", "Trois", "Un"]
    assert account("501").city == "Rivebelle", "the account keeps the address of its own record"
    assert imported(act, folder)["guardians"]["changed"] == 0
    earlier(90)
    purged(act)
    assert count(RosterAlias) == 1, "the account that is gone leaves its key behind"
    assert imported(act, folder)["accounts"]["created"] == 0
    del year.pupils["11"], year.pupils["12"], year.parents["502"]
    imported(act, year.write(folder), "--force")
    assert children_of("501") == ["Un"]


@pytest.mark.row("Z-08")
def test_two_concurrent_purges_warn_each_person_once(app: Flask, build: Build, settings: Settings) -> None:
    long_ago = now() - timedelta(days=400)
    for number in range(12):
        build.active(email=f"parent{number}@exemple.fr", activated_at=long_ago, last_sign_in_at=long_ago)
    commit(update(Account).values(created_at=long_ago))
    db.session.remove()

    def start(_: int) -> int:
        return forked.run(forked.IDP, "purge", env=environment(settings)).returncode

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(start, range(3))) == [0, 0, 0]
    assert count(OutboxMessage) == 12


def test_an_account_disabled_by_an_operator_is_not_recreated_after_the_purge(
    act: Run, year: Year, folder: Path
) -> None:
    imported(act, year.write(folder))
    key = account("9100000").id
    disable(account("9100000"))
    earlier(91)
    assert purged(act)["accounts_removed"] == 0
    assert imported(act, folder)["accounts"]["created"] == 0
    assert (account("9100000").id, account("9100000").disabled_at is None) == (key, False)
    year.pupils.pop("9200000")
    imported(act, year.write(folder), "--force")
    earlier(91)
    assert purged(act)["accounts_removed"] == 2


def test_an_account_left_childless_by_a_killed_import_is_removed(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    db.session.execute(delete(Guardianship).where(Guardianship.account_id == account("9100000").id))
    long_ago = now() - timedelta(days=91)
    commit(update(Account).values(created_at=long_ago, known_use_at=long_ago))
    assert purged(act)["accounts_removed"] == 1


MOTHER = ("9100000", "10", "1")
STRANGER = ("9999", "20", "1")


@pytest.fixture
def school(act: Run, year: Year, folder: Path) -> None:
    """Import a pupil with a mother, and have the mother activate her account."""
    year.change("9200000", parents=(MOTHER,))
    imported(act, year.write(folder))
    assert informed() == ([], [])
    activated("9100000")
    year.add(Parent("9999", "Luc", "TIERS", civility="M."))


def activated(number: str) -> None:
    """Have a person activate the account, and confirm an address."""
    values = {"activated_at": now(), "email": f"{number}@famille.test", "email_confirmed_at": now()}
    commit(update(Account).where(Account.id == account(number).id).values(values))


def informed() -> tuple[list[str], list[str]]:
    """Return the accounts of the notices to schools, and those that get a mail."""
    notices = db.session.scalars(select(SchoolNotice).where(SchoolNotice.kind == "guardian_added")).all()
    mails = db.session.scalars(select(OutboxMessage).where(OutboxMessage.kind == "account.notice")).all()
    assert all(mail.payload["notice"] == "responsable_ajoute" for mail in mails)
    return [row.account_id.hex for row in notices], [mail.payload["account"] for mail in mails]


def add(act: Run, year: Year, folder: Path) -> None:
    year.change("9200000", parents=(MOTHER, STRANGER))
    imported(act, year.write(folder))


@pytest.mark.usefixtures("school")
@pytest.mark.row("R-15")
def test_a_guardian_added_beside_an_active_one_is_told_once_to_both(act: Run, year: Year, folder: Path) -> None:
    for _ in range(2):
        add(act, year, folder)
        assert children_of("9999") == ["Enfanta"]
        assert informed() == ([account("9999").id.hex], [str(account("9100000").id)])


@pytest.mark.usefixtures("school")
@pytest.mark.row("R-15")
def test_the_check_names_the_guardian_on_a_line_of_its_own(act: Run, year: Year, folder: Path) -> None:
    year.change("9200000", parents=(MOTHER, STRANGER))
    sheet = folder.parent / "changements.csv"
    assert act("roster", "check", str(year.write(folder)), "--difference", str(sheet)).code == 0
    [line] = [line for line in sheet.read_text().splitlines() if "responsable ajouté à côté d’un autre" in line]
    assert "TIERS Luc" in line
    assert "S’ajoute, pour Enfanta" in line


@pytest.mark.usefixtures("school")
@pytest.mark.row("R-15")
@pytest.mark.parametrize("why", ["not activated", "disabled", "suspended", "leaves"])
def test_nobody_is_told_beside_a_guardian_who_has_no_access(act: Run, year: Year, folder: Path, why: str) -> None:
    hers = update(Account).where(Account.id == account("9100000").id)
    if why == "not activated":
        db.session.execute(hers.values(activated_at=None))
    elif why == "disabled":
        db.session.execute(hers.values(disabled_at=now()))
    db.session.commit()
    if why == "suspended":
        mother = account("9100000")
        suspend(mother.id, mother.guardianships[0].child_id, until=now() + timedelta(days=1))
    year.change("9200000", parents=(STRANGER,) if why == "leaves" else (MOTHER, STRANGER))
    imported(act, year.write(folder), "--force")
    assert informed() == ([], [])


@pytest.mark.usefixtures("school")
@pytest.mark.row("R-15")
def test_both_parents_of_a_pupil_who_returns_are_told_nothing(act: Run, year: Year, folder: Path) -> None:
    child = year.pupils.pop("9200000")
    imported(act, year.write(folder), "--force")
    year.add(child)
    add(act, year, folder)
    assert informed() == ([], [])
