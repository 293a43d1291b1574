"""An account that a file restores, whose mailbox meanwhile belongs to another account (`IDP_SHARED_MAILBOX=refuse`)."""

from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, text, update

from idp.accounts import mailboxes
from idp.accounts.models import Account, FormerMailbox, SchoolNotice
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.families.refusals import Code, RefusedError
from idp.services import services
from tests import forked
from tests.activation.steps import newest_link
from tests.builders import PASSWORD, Build, add_contest, commit
from tests.commands.conftest import Run
from tests.commands.processes import environment
from tests.databases import LOCK_WAITS, settings_for
from tests.email_confirmation.post import post_office
from tests.pages import heading, sign_in, submit
from tests.protocol.flow import tokens_for
from tests.recovery.steps import answers, ask_password
from tests.relying_party import Attempt
from tests.rostering.aaf_school import LYCEE, Parent, Pupil, Year
from tests.rostering.seen import account, imported
from tests.settlements import CONFIRM, REJECT, settle
from tests.waiting import wait_for

MAILBOX = "famille@exemple.fr"
MOTHER, FATHER, CHILD = "9100000", "9150000", "9200000"
NEIGHBOUR, CONFIRMING = "9100002", "9100004"
"""Two other mothers of the same school."""


@pytest.fixture
def settings(request: pytest.FixtureRequest, database_url: str) -> Settings:
    """Settings with `IDP_SHARED_MAILBOX`."""
    return settings_for(database_url, shared_mailbox=getattr(request, "param", "refuse"))


def confirm(build: Build, key: str, **more: object) -> None:
    own: dict[str, object] = {"password_hash": build.hash(PASSWORD), "activated_at": now(), "email": MAILBOX}
    own |= {"mailbox": MAILBOX, "email_confirmed_at": now(), **more}
    commit(update(Account).where(Account.id == account(key).id).values(**own))


@pytest.fixture
def absent(act: Run, build: Build, year: Year, folder: Path) -> tuple[Pupil | Parent, ...]:
    """A removed family, whose mother had confirmed the mailbox, which a neighbour has confirmed since."""
    imported(act, year.write(folder))
    confirm(build, MOTHER)
    family = (year.pupils.pop(CHILD), year.parents.pop(MOTHER), year.parents.pop(FATHER))
    imported(act, year.write(folder), "--force")
    confirm(build, NEIGHBOUR)
    return family


def changes_of(person: Account) -> list[str]:
    rows = select(AuditEntry.details).where(AuditEntry.kind == "account.changed", AuditEntry.account_id == person.id)
    changes = [details["change"] for details in db.session.scalars(rows.order_by(AuditEntry.id))]
    db.session.rollback()
    return changes


def test_a_returning_account_loses_a_mailbox_used_by_another(
    act: Run, year: Year, folder: Path, absent: tuple[Pupil | Parent, ...]
) -> None:
    year.add(*absent)
    imported(act, year.write(folder))
    back, neighbour = account(MOTHER), account(NEIGHBOUR)
    assert (back.disabled_at, back.has_left) == (None, False)
    assert (back.email, back.mailbox, back.email_confirmed_at) == (None, None, None)
    assert (neighbour.email, neighbour.mailbox) == (MAILBOX, MAILBOX)
    assert changes_of(back) == ["left", "mailbox_released", "returned"]
    [notice] = db.session.scalars(select(SchoolNotice))
    assert (notice.kind, notice.account_id, notice.settled_at) == ("shared_mailbox", back.id, None)
    imported(act, year.write(folder))
    assert len(db.session.scalars(select(SchoolNotice)).all()) == 1


def test_the_next_sign_in_asks_for_another_email(
    act: Run, app: Flask, build: Build, year: Year, folder: Path, absent: tuple[Pupil | Parent, ...]
) -> None:
    year.add(*absent)
    imported(act, year.write(folder))
    back, ent, browser = account(MOTHER), build.ent(uais=[LYCEE]), app.test_client()
    page = sign_in(browser, ent.url(Attempt()), back.username, PASSWORD)
    assert heading(page) == "Donnez votre adresse mail"
    assert MAILBOX not in page.text
    assert "Garder l’adresse" not in page.text, "there is none"
    page = submit(browser, page, mail=MAILBOX, mot_de_passe=PASSWORD)
    assert heading(page) == "Consultez votre messagerie"
    phone = app.test_client()
    assert heading(phone.get(newest_link(build.settings, back.id))) == "Cette adresse sert déjà"
    correction = browser.get(page.request.full_path.replace("/confirmation", "/modifier"))
    assert heading(submit(browser, correction, mail="a.moi@exemple.fr", mot_de_passe=PASSWORD)) == heading(page)
    submit(phone, phone.get(newest_link(build.settings, back.id)), mot_de_passe=PASSWORD)
    assert account(MOTHER).email == "a.moi@exemple.fr"
    assert tokens_for(browser, ent)["id_token"]


def test_a_letter_replaces_the_reset_mail_when_no_email_is_left(
    act: Run,
    app: Flask,
    browser: FlaskClient,
    build: Build,
    year: Year,
    folder: Path,
    absent: tuple[Pupil | Parent, ...],
    tmp_path: Path,
) -> None:
    year.add(*absent)
    imported(act, year.write(folder))
    back = account(MOTHER)
    ask_password(browser, back.username)
    with post_office(app) as office:
        assert office.deliver() == []
    assert answers() == ["no_address"]
    build.ent(uais=[LYCEE])
    sheet = ("--out", str(tmp_path / "lettre.pdf"), "--reason", "adresse retirée")
    printed = act("letters", "print", "--username", back.username, *sheet)
    assert printed.code == 0, printed.err
    assert account(MOTHER).provisional_hash is not None


def test_an_account_that_lost_its_mailbox_is_kept_for_thirty_days(
    act: Run, build: Build, year: Year, folder: Path, absent: tuple[Pupil | Parent, ...]
) -> None:
    long_ago = now() - timedelta(days=500)
    confirm(build, MOTHER, activated_at=long_ago, known_use_at=long_ago)
    year.add(*absent)
    imported(act, year.write(folder))
    assert account(MOTHER).email is None
    for days, remaining in ((29, 1), (31, 0)):
        commit(update(FormerMailbox).values(left_at=now() - timedelta(days=days)))
        assert act("purge").code == 0
        left = db.session.scalars(select(Account.id).where(Account.roster_key == f"aaf:{MOTHER}")).all()
        assert len(left) == remaining


@pytest.mark.parametrize("settings", ["allow", "known-device"], indirect=True)
def test_a_returning_account_keeps_its_mailbox_where_sharing_is_allowed(
    act: Run, year: Year, folder: Path, absent: tuple[Pupil | Parent, ...]
) -> None:
    year.add(*absent)
    imported(act, year.write(folder))
    assert (account(MOTHER).email, account(NEIGHBOUR).email) == (MAILBOX, MAILBOX)


def test_two_returning_accounts_do_not_share_a_mailbox(
    act: Run, build: Build, year: Year, folder: Path, absent: tuple[Pupil | Parent, ...]
) -> None:
    confirm(build, FATHER)
    confirm(build, NEIGHBOUR, email_confirmed_at=None, email=None, mailbox=None)
    year.add(*absent)
    imported(act, year.write(folder))
    back = [account(key) for key in (MOTHER, FATHER)]
    assert [person.disabled_at for person in back] == [None, None]
    assert sorted(str(person.email) for person in back) == ["None", MAILBOX]


def test_the_settlement_refuses_a_contested_mailbox_that_another_uses(
    act: Run, build: Build, year: Year, folder: Path, absent: tuple[Pupil | Parent, ...]
) -> None:
    """The email gives no access before the school decides; then the same rule applies."""
    add_contest(account(MOTHER).id, now(), "avant@exemple.fr")
    year.add(*absent)
    imported(act, year.write(folder))
    back = account(MOTHER)
    assert (back.disabled_at, back.email) == (None, MAILBOX)
    with pytest.raises(RefusedError) as refused:
        settle(services().settings, back, REJECT)
    assert refused.value.code is Code.KEPT_MAILBOX_OF_OTHER
    settle(services().settings, back, CONFIRM)
    assert account(MOTHER).email == "avant@exemple.fr"


def _someone_waits() -> bool:
    with db.engine.connect() as connection:
        return bool(connection.scalar(text(LOCK_WAITS)))


def test_an_import_locks_all_accounts_before_the_first_mailbox(
    act: Run, build: Build, settings: Settings, year: Year, folder: Path, absent: tuple[Pupil | Parent, ...]
) -> None:
    confirm(build, FATHER)
    first, second = sorted((account(MOTHER).id, account(FATHER).id))
    year.add(*absent)
    command = [forked.IDP, "roster", "import", str(year.write(folder))]
    confirming = account(CONFIRMING)
    with ExitStack() as ending:
        with unit_of_work():
            db.session.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            assert mailboxes.is_refused(settings, confirming, MAILBOX), "the neighbour has it"
            run = ending.enter_context(forked.Program(*command, env=environment(settings)))
            wait_for(_someone_waits, run, lambda: "it waits for the mailbox")
            locking = select(Account.id).where(Account.id.in_((first, second))).with_for_update(skip_locked=True)
            with db.engine.connect() as connection:
                assert connection.execute(locking).all() == []
        assert run.wait() == 0, run.stderr[-2000:]
    assert [account(key).email for key in (MOTHER, FATHER)] == [None, None]
