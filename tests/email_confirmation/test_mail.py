"""S-07 and E-10: the mail from the outbox to a real SMTP server, its link, and the limits of mails."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update

from idp.accounts import emails, one_time_links
from idp.accounts.models import Account
from idp.accounts.one_time_links import OneTimeLink
from idp.clock import now
from idp.db import db, unit_of_work
from idp.outbox.queue import OutboxMessage
from tests.activation.steps import CHOSEN, EMAIL, SENT, activate, newest_link, read_state
from tests.builders import Build
from tests.email_confirmation.post import html_of, link_of, post_office, text_of
from tests.pages import cookie_value, form_token, heading, sign_in, submit

_CONFIRMED = "Confirmation de votre adresse mail"


def _outcomes() -> list[str]:
    db.session.rollback()
    return list(db.session.scalars(select(OutboxMessage.outcome).order_by(OutboxMessage.created_at)))


def test_the_mail_states_its_purpose_and_its_link_works(
    app: Flask, browser: FlaskClient, build: Build, newcomer: Account
) -> None:
    activate(browser, newcomer)
    with post_office(app) as office:
        [mail] = office.deliver()
        assert mail["To"] == EMAIL
    assert mail["From"].addresses[0].addr_spec == "ne-pas-repondre@exemple.fr"
    assert mail["Auto-Submitted"] == "auto-generated"
    text, html = text_of(mail), html_of(mail)
    code = one_time_links.code(build.settings, db.session.scalars(select(OneTimeLink)).one())
    assert mail["Subject"] == f"{code} – Activez votre compte"
    assert text.partition("\r\n")[0] == f"Votre code\xa0: {code}"
    for part in (text, html):
        assert newcomer.username not in part, "the address may be a stranger's"
        assert f"{code}" in part
        assert "24 heures" in part.replace("\xa0", " ")
        assert "Malo" not in part
        assert "<img" not in part
    assert html.count("<a href=") == 2, "the button, and the address in full"
    assert heading(app.test_client().get(link_of(mail))) == "Confirmez votre adresse mail"
    assert heading(submit(browser, browser.get(link_of(mail)))) == _CONFIRMED
    assert read_state(newcomer.id).email == EMAIL


def test_a_reminder_says_that_the_school_reminds_and_what_to_do_now(app: Flask, build: Build) -> None:
    account = build.active(email=None, email_confirmed_at=None, pending_email=EMAIL)
    with time_machine.travel(now(), tick=False) as clock, post_office(app) as office:
        emails.remind(build.settings, account.id)
        clock.shift(timedelta(hours=24))
        [mail] = office.deliver()
    assert _outcomes() == ["dropped", "sent"], "the link was over: another one was sent"
    assert mail["Subject"].endswith(" – Rappel : activez votre compte")
    for part in (text_of(mail), html_of(mail)):
        assert "L’établissement vous le rappelle" in part
        assert account.username not in part
        assert "si vous l’avez demandé" not in part


@pytest.mark.row("S-07")
def test_a_link_that_expired_in_the_outbox_is_issued_again(app: Flask, browser: FlaskClient, newcomer: Account) -> None:
    with time_machine.travel(now(), tick=False) as clock, post_office(app) as office:
        activate(browser, newcomer)
        clock.shift(timedelta(hours=24))
        [mail] = office.deliver()
        assert _outcomes() == ["dropped", "sent"]
        assert heading(submit(browser, browser.get(link_of(mail)), mot_de_passe=CHOSEN)) == _CONFIRMED
    assert read_state(newcomer.id).links == 2


@pytest.mark.row("S-07")
def test_a_link_that_was_replaced_in_the_outbox_is_dropped(app: Flask, browser: FlaskClient, newcomer: Account) -> None:
    with time_machine.travel(now(), tick=False) as clock, post_office(app) as office:
        waiting = activate(browser, newcomer, mail="premiere@exemple.fr")
        clock.shift(timedelta(seconds=61))
        page = browser.get(waiting.request.full_path.replace("/confirmation", "/modifier"))
        submit(browser, page, mail="deuxieme@exemple.fr", mot_de_passe=CHOSEN)
        [mail] = [mail for mail in office.deliver() if mail["To"] == "deuxieme@exemple.fr"]
        assert _outcomes() == ["dropped", "sent", "sent"], "the second tells the first address"
        assert heading(submit(browser, browser.get(link_of(mail)))) == _CONFIRMED


@pytest.mark.row("S-07")
def test_mail_for_a_disabled_account_is_not_sent(app: Flask, browser: FlaskClient, newcomer: Account) -> None:
    activate(browser, newcomer)
    db.session.get_one(Account, newcomer.id).disabled_at = now()
    db.session.commit()
    with post_office(app) as office:
        assert office.deliver() == []
    assert _outcomes() == ["dropped"]


@pytest.mark.row("S-07")
def test_an_expired_link_is_replaced_at_the_same_address(app: Flask, browser: FlaskClient, newcomer: Account) -> None:
    with time_machine.travel(now(), tick=False) as clock, post_office(app) as office:
        activate(browser, newcomer)
        [first] = office.deliver()
        clock.shift(timedelta(hours=25))
        stranger = app.test_client()
        dead = stranger.get(link_of(first))
        assert heading(dead) == "Ce lien ne marche plus"
        response = submit(stranger, dead, renvoyer="1")
        assert heading(response) == "Regardez votre messagerie"
        assert EMAIL not in response.text
        submit(stranger, dead, renvoyer="1")  # no second mail within a minute
        _, second = office.deliver()
        assert second["To"] == EMAIL
        assert heading(submit(stranger, stranger.get(link_of(second)), mot_de_passe=CHOSEN)) == _CONFIRMED
    assert read_state(newcomer.id).links == 2


@pytest.mark.row("S-07")
def test_the_same_mail_sent_again_carries_the_same_link(app: Flask, browser: FlaskClient, newcomer: Account) -> None:
    with time_machine.travel(now(), tick=False) as clock, post_office(app) as office:
        activate(browser, newcomer)
        office.mailbox.at_data = "drop"  # the server accepts the mail and disconnects before its reply
        office.deliver()
        office.mailbox.at_data = "250 OK"
        clock.shift(timedelta(hours=1))
        first, second = office.deliver()
    assert (first["Message-ID"], link_of(first)) == (second["Message-ID"], link_of(second))


@pytest.mark.row("E-10")
def test_sixty_seconds_pass_between_two_mails(browser: FlaskClient, newcomer: Account) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        waiting = activate(browser, newcomer)
        assert "Vous pourrez renvoyer le message dans 60&nbsp;s." in waiting.text
        clock.shift(timedelta(seconds=59))
        early = submit(browser, browser.get(waiting.request.full_path))
        assert (early.status_code, early.headers["Retry-After"]) == (429, "1")
        assert "Vous pourrez renvoyer le message dans 1&nbsp;s." in early.text
        assert read_state(newcomer.id).links == 1
        clock.shift(timedelta(seconds=1))
        sent = submit(browser, browser.get(waiting.request.full_path))
        assert sent.status_code == 200
        assert "Un nouveau message est parti à" in sent.text
    assert read_state(newcomer.id).links == 2


@pytest.mark.row("E-10")
def test_mail_goes_only_to_the_mailbox_that_was_counted(
    browser: FlaskClient, build: Build, monkeypatch: pytest.MonkeyPatch, newcomer: Account
) -> None:
    activate(browser, newcomer)
    before = read_state(newcomer.id)

    def correct_meanwhile(_account_id: uuid.UUID, _email: str, _ip: str) -> int:
        with unit_of_work():
            db.session.execute(update(Account).values(pending_email="autre@exemple.fr"))
        return 0

    monkeypatch.setattr(emails, "take_slots", correct_meanwhile)
    result = emails.resend(build.settings, newcomer.id, ip="192.0.2.1", client_id=None)
    assert result == emails.NothingToConfirm()
    assert (read_state(newcomer.id).links, read_state(newcomer.id).mails) == (before.links, before.mails)


@pytest.mark.row("E-10")
def test_the_sixth_mail_in_an_hour_waits(browser: FlaskClient, newcomer: Account) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        waiting = activate(browser, newcomer)
        for _ in range(4):
            clock.shift(timedelta(seconds=61))
            assert submit(browser, browser.get(waiting.request.full_path)).status_code == 200
        clock.shift(timedelta(seconds=61))
        sixth = submit(browser, browser.get(waiting.request.full_path))
    assert sixth.status_code == 429
    assert "Beaucoup de messages sont déjà partis." in sixth.text
    assert "Le lien du dernier message marche toujours." in sixth.text
    assert "Renvoyer le message" not in sixth.text
    assert read_state(newcomer.id).links == 5


@pytest.mark.row("E-10")
def test_a_mailbox_gets_no_more_from_many_accounts_than_from_one(app: Flask, build: Build) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        parents = [build.never_activated() for _ in range(2)]
        pages = []
        for parent in parents:
            client = app.test_client()
            pages.append((client, activate(client, parent, mail="Boite@exemple.fr")))
        clock.shift(timedelta(seconds=61))
        answers = [submit(client, client.get(page.request.full_path)).status_code for client, page in pages]
    assert answers == [200, 429]


@pytest.mark.row("E-10")
def test_fifty_clicks_at_once_send_one_mail(app: Flask, browser: FlaskClient, newcomer: Account) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        waiting = activate(browser, newcomer)
        clock.shift(timedelta(seconds=61))
        place = waiting.request.full_path
        data = {"csrf_token": form_token(browser.get(place))}
        cookie = cookie_value(browser, "__Host-tx")

        def click(_number: int) -> int:
            with app.app_context():
                client = app.test_client()
                client.set_cookie("__Host-tx", cookie, domain="connexion.exemple.test", secure=True)
                return client.post(place, data=data).status_code

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(click, range(50)))
    assert sorted(answers) == [303] + [429] * 49
    assert read_state(newcomer.id).links == 2


@pytest.mark.row("E-10")
def test_a_mistyped_address_is_corrected_at_once_and_another_spelling_of_it_waits(
    browser: FlaskClient, newcomer: Account
) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        waiting = activate(browser, newcomer, mail="noemei@exemple.fr")
        clock.shift(timedelta(seconds=20))
        page = browser.get(waiting.request.full_path.replace("/confirmation", "/modifier"))
        early = submit(browser, page, mail="Noemei@exemple.fr", mot_de_passe=CHOSEN)
        assert (early.status_code, early.headers["Retry-After"]) == (429, "40")
        assert read_state(newcomer.id).pending == "noemei@exemple.fr"
        assert heading(submit(browser, page, mail="noemie@exemple.fr", mot_de_passe=CHOSEN)) == SENT
    assert (read_state(newcomer.id).pending, read_state(newcomer.id).links) == ("noemie@exemple.fr", 2)


@pytest.mark.row("E-10")
def test_a_correction_too_many_waits_and_keeps_what_was_typed(browser: FlaskClient, newcomer: Account) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        place = activate(browser, newcomer).request.full_path.replace("/confirmation", "/modifier")
        for n in range(5):
            page = submit(browser, browser.get(place), mail=f"p{n}@exemple.fr", mot_de_passe=CHOSEN)
            assert heading(page) == SENT
        sixth = submit(browser, browser.get(place), mail="p5@exemple.fr", mot_de_passe=CHOSEN)
        assert (sixth.status_code, sixth.headers["Retry-After"]) == (429, "3600")
        assert 'value="p5@exemple.fr"' in sixth.text
        assert "60 minutes" in sixth.text
        assert (read_state(newcomer.id).pending, read_state(newcomer.id).links) == ("p4@exemple.fr", 6)
        clock.shift(timedelta(minutes=25))
        assert browser.get(place).status_code == 200


@pytest.mark.row("E-10")
def test_text_after_an_expired_link_is_true_with_and_without_a_new_message(
    app: Flask, browser: FlaskClient, build: Build
) -> None:
    account, stranger, texts = build.never_activated(), app.test_client(), []
    with time_machine.travel(now(), tick=False) as clock:
        activate(browser, account)
        link = newest_link(build.settings, account.id)
        clock.shift(timedelta(hours=25))
        dead = stranger.get(link)
        assert dead.status_code == 410
        assert "un message part à l’adresse donnée en dernier" in dead.text
        for _ in ("a message leaves", "it would be too soon for another"):
            texts.append(submit(stranger, dead, renvoyer="1").text)
            assert read_state(account.id).links == 2
        sign_in(browser, "/connexion", account.username, CHOSEN)
        page = browser.get("/adresse/modifier")
        corrected = submit(browser, page, mail="autre@exemple.fr", mot_de_passe=CHOSEN)
        assert "autre@exemple.fr" in corrected.text
        assert read_state(account.id).links == 3
        clock.shift(timedelta(minutes=2))
        texts.append(submit(stranger, dead, renvoyer="1").text)
        assert read_state(account.id).links == 4, "the message is for the other mailbox"
        assert newest_link(build.settings, account.id) != link
    assert len({text.replace(form_token(dead), "") for text in texts}) == 1
    assert "un message part maintenant à l’adresse donnée en dernier, ou il est déjà parti il y a peu" in texts[0]
    assert "Vous avez donné une autre adresse depuis ? Le message est dans l’autre boîte." in texts[0].replace(
        "\xa0", " "
    )
    assert "un nouveau message est parti" not in texts[0]
