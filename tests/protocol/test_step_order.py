"""The order of `idp.journey.STEPS`: a person who owes everything completes one step after the other."""

from dataclasses import replace
from datetime import timedelta

from flask import Flask
from sqlalchemy import select

from idp import journey
from idp.accounts.models import Account
from idp.charter.models import CharterAcceptance
from idp.clients import registry
from idp.clients.registry import Registration
from idp.clock import now
from idp.db import db
from idp.sessions.models import Session
from tests.builders import COLLEGE, LYCEE, Build


def test_each_step_comes_before_those_that_need_it(app: Flask, build: Build, session: Account) -> None:
    # OpenID Connect Core 1.0, 3.1.2.4. The reasons are beside the steps.
    email, session.email = session.email, None
    db.session.commit()
    foreign, own = registered(build, "lycee.test", LYCEE), registered(build, "ent.test", COLLEGE)
    signed_in = db.session.scalars(select(Session)).one()
    owes_all = journey.State(
        client=foreign,
        session=None,
        account=None,
        profile="",
        prompts=frozenset({"login", "consent"}),
        max_age=None,
        acr=None,
        agreed=False,
        may_be_another=True,
        started_at=now() + timedelta(seconds=1),
        now=now(),
        mail_required=True,
        is_activating=True,
    )

    assert page_of(owes_all) == "activation.activate"
    activated = replace(owes_all, session=signed_in, account=session, is_activating=False)
    assert page_of(activated) == "profile_choice.choose"
    assert page_of(replace(activated, profile="eleve")) == "profile_choice.elsewhere"
    parent = replace(activated, profile="parent")
    assert page_of(parent) == "login.sign_in", "the steps of an account are those of whoever signs in"
    of_letter = replace(parent, prompts=frozenset({"consent"}))
    assert page_of(of_letter) == "oidc.is_it_you"
    fresh = replace(parent, started_at=signed_in.auth_time)
    assert page_of(fresh) == "email_confirmation.waiting"
    session.email = email
    db.session.commit()
    assert page_of(fresh) == "oidc.not_this_ent"
    known = replace(fresh, client=own)
    assert page_of(known) == "charter.show"
    db.session.add(CharterAcceptance(account_id=session.id, charter_version_id=own.charter_version_id))
    db.session.commit()
    assert page_of(known) == "oidc.agree"
    assert page_of(replace(known, agreed=True)) is None


def registered(build: Build, host: str, uai: str) -> Registration:
    ent = build.ent(host, host, charter="provider", uais=[uai])
    build.publish(ent, "2026")
    registration = registry.find(ent.client_id, fresh=True)
    assert registration is not None
    return registration


def page_of(state: journey.State) -> str | None:
    step = journey.next_step(state)
    return step.endpoint if step else None
