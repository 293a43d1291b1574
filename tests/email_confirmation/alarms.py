"""The alarm of a changed mail address, as its owner uses it."""

from flask import Flask
from sqlalchemy import select

from idp.accounts.models import Account, School, SchoolNotice
from idp.accounts.one_time_links import Purpose
from idp.db import db
from tests.builders import PASSWORD, Build
from tests.my_account.changes import (
    links,
    path_of,
)
from tests.pages import heading, submit

ASKS, DONE, CLOSED = "Ce n’était pas vous ?", "Le changement est arrêté", "Le compte est fermé"


def alarms(build: Build, account: Account) -> list[str]:
    return [path_of(build.settings, link) for link in links(account, Purpose.CONTEST_EMAIL)]


def confirm(app: Flask, build: Build, account: Account) -> None:
    phone = app.test_client()
    link = links(account, Purpose.CHANGE_EMAIL)[-1]
    done = submit(phone, phone.get(path_of(build.settings, link)), mot_de_passe=PASSWORD)
    assert "Votre nouvelle adresse est confirmée." in done.text


def stop(app: Flask, alarm: str, title: str = DONE) -> str:
    owner = app.test_client()
    question = owner.get(alarm)
    assert heading(question) == ASKS
    page = submit(owner, question)
    assert heading(page) == title
    assert owner.get_cookie("__Host-ss", domain="connexion.exemple.test") is None, "nobody is signed in"
    return str(page.text)


def told_schools(account: Account) -> list[tuple[str, str]]:
    rows = db.session.execute(
        select(School.uai, SchoolNotice.kind)
        .join(School, School.id == SchoolNotice.school_id)
        .where(SchoolNotice.account_id == account.id)
        .order_by(School.uai)
    )
    return [(uai, kind) for uai, kind in rows]
