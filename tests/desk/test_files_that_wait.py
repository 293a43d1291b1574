"""Files of a secretary that only the direction may import: who is told, until when, and what replaces them."""

import re
import uuid

import pytest
from flask import Flask
from flask.testing import FlaskClient

from idp.audit.models import AuditEntry
from idp.clock import now
from idp.db import db
from idp.desk import school_files
from idp.desk.jobs import files
from idp.desk.jobs.models import Job, JobFile, State
from idp.desk.staff.models import Role, StaffRole
from idp.desk.team import mails
from idp.outbox.queue import OutboxMessage
from idp.outbox.worker import Outcome
from idp.services import services
from tests.builders import LYCEE
from tests.desk.colleagues import Colleagues, post
from tests.desk.school_files import checked, families, imported, key_of, row, send, sheet, shown
from tests.desk.trial_jobs import do_all
from tests.email_confirmation.post import text_of


def sent(browser: FlaskClient, content: bytes, **fields: str) -> tuple[uuid.UUID, str]:
    """Upload and check files that only the direction may import, and send them to it; return the check and its page."""
    key, _ = checked(browser, content, **fields)
    post(browser, f"/fichiers/{key}/envoyer", f"/fichiers/{key}", phrase="Une classe part au lycée voisin.")
    return key, shown(browser.get(f"/fichiers/{key}"))


DECLINED = "Fichiers refusés par la direction"
TITLE = "Un fichier attend votre décision"


def test_files_that_wait_for_the_head_are_told_to_both_until_the_head_imports_them(
    desk: Flask, colleagues: Colleagues
) -> None:
    secretary, head, elsewhere = (
        colleagues.signed_in(),
        colleagues.signed_in(Role.HEAD),
        colleagues.signed_in(Role.HEAD, uai=LYCEE),
    )
    imported(head, sheet(*families(20)))
    key, page = sent(secretary, sheet(*families(17)))
    end = r"jusqu’au \d+(er)? \w+ \d{4} à \d+ h \d\d"
    assert re.search(f"attendent la direction {end}. Elle les trouve sur sa page « Aujourd’hui »", page)
    tile = rf'href="/fichiers/{key}"><span class="count">1</span><span><b>{TITLE}</b><small>[^<]+{end}'
    assert re.search(tile, shown(head.get("/")))
    for other in (secretary, elsewhere):
        assert TITLE not in shown(other.get("/"))
    decided = shown(head.get(f"/fichiers/{key}"))
    assert decided.index("FAMILLE18") < decided.index('name="mot"') < decided.index("Refuser les fichiers</button>")
    for seen in (page, decided):
        assert "3 élèves sur 20 partiraient, avec les départs des 7 derniers jours ; limite du se" in seen
    asked = key_of(post(head, f"/fichiers/{key}/importer", f"/fichiers/{key}", mot="IMPORTER"))
    assert TITLE not in shown(head.get("/")), "it is decided"
    do_all()
    assert db.session.get_one(Job, asked).state is State.DONE
    over = shown(secretary.get(f"/fichiers/{key}"))
    assert ("Ces fichiers ont été importés." in over, "Tout en CSV" in over) == (True, False)


def test_a_secretary_removes_a_mistake_before_anybody_is_told(desk: Flask, colleagues: Colleagues) -> None:
    secretary, head = colleagues.signed_in(), colleagues.signed_in(Role.HEAD)
    imported(head, sheet(*families(20)))
    key, _ = checked(secretary, sheet(row(1)))
    assert not db.session.query(OutboxMessage).filter_by(kind=school_files.WAITS).count()
    assert TITLE not in shown(head.get("/"))
    post(secretary, f"/fichiers/{key}/envoyer", f"/fichiers/{key}", phrase="x")
    assert TITLE not in shown(head.get("/")), "a sentence is asked for"
    gone = post(secretary, f"/fichiers/{key}/retirer", f"/fichiers/{key}")
    assert "le fichier est retiré" in shown(secretary.get(gone.headers["Location"]))
    assert not files.uploads(services().settings, key)
    again = post(secretary, f"/fichiers/{key}/retirer", "/fichiers")
    assert again.headers["Location"] == f"/fichiers/{key}", "nothing was removed"
    post(secretary, f"/fichiers/{key}/envoyer", "/fichiers", phrase="Une classe part au lycée voisin.")
    assert TITLE not in shown(head.get("/")), "it is gone"


def test_the_head_does_not_import_files_and_says_why(desk: Flask, colleagues: Colleagues) -> None:
    secretary, head = colleagues.signed_in(), colleagues.signed_in(Role.HEAD)
    imported(head, sheet(*families(20)))
    key, page = sent(secretary, sheet(*families(17)))
    path = f"/fichiers/{key}/ne-pas-importer"
    assert "Refuser les fichiers" not in page
    assert "Écrivez le motif" in shown(post(head, path, f"/fichiers/{key}", motif=" "))
    assert files.uploads(services().settings, key)
    for reason in ("C’est l’export de juin.", "une seconde fois"):
        answer = post(head, path, f"/fichiers/{key}" if reason[0] == "C" else "/", motif=reason)
        assert answer.headers["Location"] == f"/fichiers/{key}" + ("?fait=refus" if reason[0] == "C" else "")
    assert "les fichiers sont refusés" in shown(head.get(f"/fichiers/{key}?fait=refus"))
    assert not files.uploads(services().settings, key)
    assert TITLE not in shown(head.get("/"))
    assert db.session.query(OutboxMessage).filter_by(kind=school_files.DECLINED_MAIL).count() == 1
    tile = f'href="/fichiers/{key}"><span class="count">1</span><span><b>{DECLINED}</b><small>« C’est l’export de juin.'
    for browser, is_told in ((secretary, True), (colleagues.signed_in(), False), (head, False)):
        browser.get(f"/fichiers/{key}") if browser is head else browser.head(f"/fichiers/{key}")
        assert (tile in shown(browser.get("/"))) is is_told
    assert "« C’est l’export de juin. »" in shown(secretary.get(f"/fichiers/{key}?fait=refus"))
    assert tile in shown(secretary.get("/")), "it stays until the next file"
    imported(head, sheet(*families(20)))
    assert DECLINED not in shown(secretary.get("/"))
    [entry] = db.session.query(AuditEntry).filter_by(kind="desk.files_declined")
    assert entry.details["reason"] == "C’est l’export de juin."


def test_other_files_replace_those_that_wait_only_if_the_person_says_so(desk: Flask, colleagues: Colleagues) -> None:
    secretary, colleague = colleagues.signed_in(), colleagues.signed_in()
    imported(colleagues.signed_in(Role.HEAD), sheet(*families(20)))
    key, _ = sent(secretary, sheet(*families(17)))
    assert 'name="remplacer"' not in shown(colleague.get("/fichiers")), "a colleague's files stay"
    refused = send(secretary, sheet(*families(18)))
    assert refused.status_code == 200
    assert 'href="#remplacer">Un fichier attend la direction : cochez « Remplacer »' in shown(refused)
    assert send(colleague, sheet(*families(18))).status_code == 303
    assert files.uploads(services().settings, key)
    assert send(secretary, sheet(*families(18)), remplacer="oui").status_code == 303
    assert not files.uploads(services().settings, key)
    assert "<h1>Ces fichiers ne sont plus là</h1>" in shown(secretary.get(f"/fichiers/{key}"))


def test_the_head_gets_a_mail_while_the_files_wait(
    desk: Flask, colleagues: Colleagues, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivered: list[tuple[str, str]] = []
    monkeypatch.setattr("idp.desk.team.mails.deliver", lambda mail, to: delivered.append((text_of(mail), to)))
    secretary = colleagues.signed_in()
    imported(secretary, sheet(*families(20)))
    sent(secretary, sheet(*families(17)))
    assert not db.session.query(OutboxMessage).filter_by(kind=school_files.WAITS).count()
    head = colleagues.person("Bruno Castel")
    colleagues.grant(head, Role.HEAD)
    key, _ = sent(secretary, sheet(*families(16)), remplacer="oui")
    [message] = db.session.query(OutboxMessage).filter_by(kind=school_files.WAITS).all()
    hand_over = services().outbox_handlers[school_files.WAITS]
    assert hand_over(message) is Outcome.DONE
    [(text, to)] = delivered
    assert to == head.email
    assert text.rstrip().splitlines().count(mails.page_url(services().settings, f"/fichiers/{key}")) == 1
    role = db.session.query(StaffRole).filter_by(staff_id=head.id)
    role.update({"ended_at": now()})
    db.session.commit()
    assert hand_over(message) is Outcome.DROPPED, "the head has left the school"
    role.update({"ended_at": None})
    db.session.query(JobFile).update({"content": b""})
    db.session.commit()
    assert hand_over(message) is Outcome.DROPPED


def test_the_author_of_declined_files_gets_a_mail(
    desk: Flask, colleagues: Colleagues, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivered: list[tuple[str, str]] = []
    monkeypatch.setattr("idp.desk.team.mails.deliver", lambda mail, to: delivered.append((text_of(mail), to)))
    staff = colleagues.person("Rose Lin")
    role = colleagues.grant(staff, Role.SECRETARY)
    browser, _ = colleagues.session(staff)
    head = colleagues.signed_in(Role.HEAD)
    imported(head, sheet(*families(20)))
    key, _ = sent(browser, sheet(*families(17)))
    post(head, f"/fichiers/{key}/ne-pas-importer", f"/fichiers/{key}", motif="la famille Petit reste")
    [message] = db.session.query(OutboxMessage).filter_by(kind=school_files.DECLINED_MAIL).all()
    hand_over = services().outbox_handlers[school_files.DECLINED_MAIL]
    role.ended_at = now()
    db.session.commit()
    assert hand_over(message) is Outcome.DROPPED, "the person has left the school"
    role.ended_at = None
    db.session.commit()
    assert hand_over(message) is Outcome.DONE
    [(text, to)] = delivered
    assert to == staff.email
    assert "Petit" not in text
    assert mails.page_url(services().settings, f"/fichiers/{key}") in text
    sent(browser, sheet(*families(20)))
    assert DECLINED not in shown(browser.get("/")), "other files were brought"


def test_files_whose_key_is_gone_are_said_to_be_unreadable(desk: Flask, colleagues: Colleagues) -> None:
    browser = colleagues.signed_in()
    key, _ = sent(browser, sheet(*families(2)))
    _lose_the_key(key)
    assert "la clé qui les protège a été changée" in shown(browser.get(f"/fichiers/{key}"))
    unread = key_of(send(browser, sheet(row(1))))
    _lose_the_key(unread)
    do_all()
    assert db.session.get_one(Job, unread).refusal == "unreadable"
    assert "la clé qui les protège a été changée" in shown(browser.get(f"/travaux/{unread}"))


def _lose_the_key(check: uuid.UUID) -> None:
    """Let the files of a check be encrypted under a key that is gone."""
    db.session.query(JobFile).filter_by(job_id=check, is_upload=True).update({"content": b"under a key that is gone"})
    db.session.commit()
