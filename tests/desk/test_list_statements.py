"""A page with a list has as many statements for many rows as for few (N+1)."""

import uuid
from datetime import timedelta

from flask import Flask
from flask.testing import FlaskClient

from idp.accounts.models import Account
from idp.accounts.school_notices import Kind
from idp.audit.events import AccountRead
from idp.clock import now
from idp.db import db
from idp.desk.jobs.kinds import CHECK, PRINT
from idp.desk.jobs.models import Job, JobFile, State
from idp.desk.staff.models import Role, StaffAccount
from idp.desk.statistics import tables
from idp.families import closing
from idp.families.closing import Decision
from idp.letters.recipients import Skip
from idp.outbox.queue import OutboxMessage
from idp.rostering.models import ImportBatch, ImportIssue
from tests.builders import COLLEGE, Build
from tests.closed import dispute
from tests.desk.colleagues import Colleagues
from tests.desk.entries import write
from tests.desk.test_notices import noticed
from tests.statements.lending import heard
from tests.waiting_guardians import wait

PAGES: dict[Role, tuple[str, ...]] = {
    Role.HEAD: (
        "/", "/classes", "/classes/liste?tout=1", "/classes/rappel?tout=1", "/classes/courriers?tout=1", "/activation",
        "/impressions", "/signalements", "/recherche?q=leroy", "/recherche?liste=courriers", "/recherche?etat=courrier",
        "/fichiers", "/equipe", "/ent", "/suspensions", "/journal", "/comptes/{account}", "/familles/{pupil}",
    ),
    Role.DPO: ("/", "/activation", "/signalements", "/recherche?q=leroy", "/ent", "/journal"),
    Role.ENGINEER: ("/", "/activation", "/fichiers", "/equipe", "/ent", "/journal"),
}  # fmt: skip
"""The pages of each role with a list; `account` is one that many entries and notices name, `pupil` is a child of it."""


def rows(build: Build, colleagues: Colleagues, person: StaffAccount, account: Account, number: int) -> None:
    """Add rows to each list: families, notices open and settled, prints with problems, imports, colleagues, ENTs."""
    other = colleagues.person(f"Nadia Perrin {number}")
    role = colleagues.grant(other, Role.SECRETARY)
    people = [
        build.never_activated(children=[build.child()], family_name=f"LEROY{number}", given_name="Noé"),
        build.active(children=[build.child()], email=None, pending_email=f"p{number}@exemple.fr", family_name="LEROY"),
    ]
    for parent, kind in zip(people, (Kind.NAME_IN_DOUBT, Kind.NOT_GUARDIAN), strict=True):
        noticed(build, kind, parent, other=account)
    closed = build.active(children=[build.child()])
    build.active(children=[*account.children], has_left=True, disabled_at=now())
    for child in (closed.children[0].id, None):
        closing.close(closed.id, Decision(reason="jugement", child=child, school=build.school()))
    wait(build.active(children=[closed.guardianships[0].child]))
    settled = noticed(build, Kind.EMAIL_CONTESTED, people[0])
    settled.settled_at, settled.settled_by = now(), f"desk secretary {other.id}"
    dispute(people[1].id)
    result = {
        "letters": 1,
        "skipped": {Skip.CHANGED.value: [str(people[0].id)], Skip.DISPUTED.value: [str(people[1].id)]},
    }
    parameters = {"class": "6e 1", "slips": False, "renew": False}
    common = {"staff_id": person.id, "role_id": role.id, "school_id": build.school().id, "state": State.DONE}
    prints = Job(kind=PRINT.name, parameters=parameters, result=result, **common)
    checks = Job(kind=CHECK.name, parameters={"school": COLLEGE, "role": "head"}, result={"mistakes": []}, **common)
    batch = ImportBatch(
        id=uuid.uuid4(), format="SIECLE", mode="complet", state="done", actor=f"desk head {other.id}", schools=[COLLEGE]
    )
    db.session.add_all([prints, checks, batch])
    db.session.flush()
    db.session.add(JobFile(job_id=prints.id, name="x", media_type="x/y", content=b"x", expires_at=now() + timedelta(1)))
    db.session.add(ImportIssue(batch_id=batch.id, severity="error", file="a", line=1, key="1", code="x", message="X."))
    db.session.commit()
    write(AccountRead(account_id=account.id), other, build.school().id, role="secretary")
    write(AccountRead(account_id=people[0].id), other)
    build.ent(f"ENT {number}", f"ent{number}.test")


def statements(browser: FlaskClient, page: str) -> list[str]:
    with heard() as seen:
        assert browser.get(page).status_code == 200, page
    return list(seen)


def test_a_list_has_as_many_statements_for_many_rows_as_for_few(
    desk: Flask, build: Build, colleagues: Colleagues
) -> None:
    account = build.active(children=[build.child()], email="seul@exemple.fr")
    browsers = {}
    for role in PAGES:
        person = colleagues.person()
        colleagues.grant(person, role)
        browsers[role] = colleagues.session(person, reason="" if role is not Role.DPO else "ticket 1")[0]
        if role is Role.HEAD:
            head = person
    pages = [
        (role, page.format(account=account.id, pupil=account.children[0].id))
        for role, some in PAGES.items()
        for page in some
    ]
    rows(build, colleagues, head, account, 1)
    rows(build, colleagues, head, account, 2)
    tables.hand_over(OutboxMessage())
    for role, page in pages:  # the journal names each page that was opened
        statements(browsers[role], page)
    few = {(role, page): statements(browsers[role], page) for role, page in pages}
    for number in range(3, 8):
        rows(build, colleagues, head, account, number)
    tables.hand_over(OutboxMessage())
    for (role, page), before in few.items():
        after = statements(browsers[role], page)
        assert len(after) == len(before), (role, page, [text for text in after if after.count(text) > 1])


def test_the_statements_about_the_problems_of_an_import_do_not_grow(desk: Flask, colleagues: Colleagues) -> None:
    """PostgreSQL takes 65,535 parameters in a statement: an import may have more problems than that."""
    of_one, of_several = (
        ImportBatch(id=uuid.uuid4(), format="CSV", mode="complet", state="done", schools=schools)
        for schools in ([COLLEGE], [COLLEGE, "0599002P"])
    )
    db.session.add_all([of_one, of_several])
    head, engineer = colleagues.signed_in(Role.HEAD), colleagues.signed_in(Role.ENGINEER)
    sheets = (head, f"/fichiers/imports/{of_one.id}/problemes.csv"), (engineer, f"/fichiers/imports/{of_several.id}")
    seen = []
    for number in (2, 5):
        _add_problems(of_one, number)
        _add_problems(of_several, number)
        seen.append([[text for text in statements(*sheet) if "import_issue" in text] for sheet in sheets])
        seen[-1] += [[text for text in statements(*sheets[0]) if "roster_key = ANY" in text]]
    assert [len(texts) for texts in seen[0]] == [3, 2, 2]
    assert seen[0] == seen[1]


def _add_problems(batch: ImportBatch, number: int) -> None:
    for line in range(number):
        issue = {"severity": "warning", "file": "a", "line": line, "code": "student_without_class", "message": "X."}
        db.session.add(ImportIssue(batch_id=batch.id, key=f"csv:{number}{line}", **issue))
    db.session.commit()
