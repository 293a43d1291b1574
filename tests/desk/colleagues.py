"""People of the desk for tests: an account, a role, a browser with a session."""

import itertools
import uuid
from dataclasses import dataclass
from datetime import timedelta

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from idp import opaque
from idp.clients.models import Client
from idp.clock import now
from idp.db import db
from idp.desk.staff import models
from idp.desk.staff.models import Role, StaffAccount, StaffInvitation, StaffRole, StaffSession
from idp.desk.staff.posts import Grant
from idp.desk.team import invitations
from idp.web.browser import cookie_name
from tests.authenticator import Authenticator
from tests.builders import COLLEGE, Build
from tests.desk import authenticator
from tests.desk.contract import AT_A_SCHOOL, AT_AN_ENT
from tests.pages import form_token, heading, hidden

_numbers = itertools.count(1)


@dataclass
class Colleagues:
    desk: Flask
    build: Build

    def person(self, name: str = "Sylvie Marchand") -> StaffAccount:
        staff = self._person(name)
        db.session.commit()
        return staff

    def _person(self, name: str = "Sylvie Marchand") -> StaffAccount:
        email = f"personne{next(_numbers)}@bureau.test"
        staff = StaffAccount(name=name, email=email, mailbox=email, enrolled_at=now(), last_sign_in_at=now())
        db.session.add(staff)
        db.session.flush()
        return staff

    def invited(self, name: str = "Sylvie Marchand", role: Role = Role.SECRETARY, email: str = "") -> str:
        email = email or f"invite{next(_numbers)}@bureau.test"
        grant = Grant(role, schools=[self.build.school()] if role in AT_A_SCHOOL else [])
        return self.path(invitations.invite(self.build.settings, email, name, grant)[1])

    def reset(self, staff: StaffAccount) -> str:
        """Give a lost access back; return the path of the link."""
        return self.path(invitations.reset(self.build.settings, staff.id))

    def path(self, invitation: StaffInvitation | None) -> str:
        assert invitation
        link = invitations.url(self.build.settings, invitation)
        assert link
        return link.removeprefix(self.build.settings.desk_url)

    def enrolled(self, key: Authenticator, role: Role = Role.SECRETARY) -> tuple[FlaskClient, StaffAccount]:
        """Return a browser in which a new person enrolled with this passkey, and the person."""
        browser, link = self.desk.test_client(), self.invited(role=role)
        staff = invitations.person_of(link.rpartition("/")[2])
        page = authenticator.enrol(browser, link, key)
        assert heading(page) == "Votre accès est prêt", page.get_data(as_text=True)
        return browser, staff

    def grant(
        self, staff: StaffAccount, role: Role, *, uai: str = COLLEGE, client_id: str = "", days: float = 30
    ) -> StaffRole:
        """Give a person a role: in a school, at an ENT, or in the académie."""
        row = self._grant(staff, role, uai, client_id, days)
        db.session.commit()
        return row

    def _grant(self, staff: StaffAccount, role: Role, uai: str, client_id: str, days: float = 30) -> StaffRole:
        client = db.session.query(Client).filter_by(client_id=client_id).one() if client_id else None
        row = StaffRole(
            staff_id=staff.id,
            role=role,
            school_id=self.build.school(uai).id if role in AT_A_SCHOOL else None,
            client_id=client.id if client and role in AT_AN_ENT else None,
            granted_at=staff.last_sign_in_at or now(),
            valid_until=now() + timedelta(days=days),
        )
        db.session.add(row)
        return row

    def session(
        self, staff: StaffAccount, *, proof_age: timedelta = timedelta(), reason: str = ""
    ) -> tuple[FlaskClient, StaffSession]:
        """Return a browser in which the person is signed in, and the session."""
        value, moment = opaque.new_value(), now()
        session = StaffSession(
            id=uuid.uuid4(),
            digest=opaque.digest(value),
            staff_id=staff.id,
            generation=staff.generation,
            authenticator=models.Authenticator.PASSKEY,
            proved_at=moment - proof_age,
            expires_at=moment + timedelta(hours=8),
            reason=reason,
            reason_at=moment if reason else None,
        )
        db.session.add(session)
        db.session.commit()
        browser = self.desk.test_client()
        settings = self.build.settings
        browser.set_cookie(cookie_name(settings, "desk"), value, domain="bureau.exemple.test", secure=True)
        return browser, session

    def age_proofs(self, age: timedelta = timedelta(minutes=11)) -> None:
        """Let all people have proved who they are so long ago."""
        db.session.query(StaffSession).update({"proved_at": now() - age})
        db.session.commit()

    def signed_in(
        self,
        role: Role = Role.SECRETARY,
        *,
        uai: str = COLLEGE,
        client_id: str = "",
        proof_age: timedelta = timedelta(),
        reason: str = "ticket 4512",
    ) -> FlaskClient:
        """Return a browser in which a new person with this role is signed in."""
        staff = self._person()
        self._grant(staff, role, uai, client_id)
        return self.session(staff, proof_age=proof_age, reason=reason if role in {Role.HELPDESK, Role.DPO} else "")[0]


def is_in(browser: FlaskClient) -> bool:
    return browser.get("/").status_code == 200


def post(browser: FlaskClient, path: str, page: str = "", **fields: str | list[str]) -> TestResponse:
    """Post a form to `path` with the form token of `page` (the same path by default); do not follow redirects."""
    shown = browser.get(page or path)
    return browser.post(path, data={"csrf_token": form_token(shown), "seen": hidden(shown).get("seen", ""), **fields})
