"""How many ENTs one person registers, and what becomes of an ENT whose operator left."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from idp.clients.models import Client
from idp.clock import now
from idp.db import db
from idp.desk.ents import acceptance
from idp.desk.staff import posts
from idp.desk.staff.models import Role, StaffAccount, StaffRole
from idp.registration.faults import RegistrationRefusedError
from idp.registration.metadata import ClientMetadata
from tests.builders import LYCEE, Build
from tests.desk.colleagues import Colleagues, post

pytestmark = pytest.mark.both_databases(sqlite_is_long=True)


@pytest.fixture
def operator(colleagues: Colleagues, build: Build) -> StaffAccount:
    build.school(), build.school(LYCEE)
    staff = colleagues.person("Lina Roy")
    colleagues.grant(staff, Role.ENT_OPERATOR, client_id=build.ent("Passerelle").client_id)
    return staff


def ask(build: Build, staff: StaffAccount, number: int) -> Client:
    """Register an ENT for an ENT operator."""
    host = f"https://ent{number}.test"
    metadata = ClientMetadata(
        name=f"Estuaire {number}", home_uri=f"{host}/", redirect_uris=(f"{host}/cb",), uais=(LYCEE,)
    )
    return acceptance.ask(build.settings, metadata, staff.id)[0]


@pytest.mark.row("K-27")
def test_an_operator_who_ends_the_own_roles_registers_no_more_ents_and_those_are_only_refused(
    colleagues: Colleagues, build: Build, operator: StaffAccount
) -> None:
    clients = [ask(build, operator, number) for number in range(acceptance.MOST_WAITING)]
    for role in db.session.scalars(select(StaffRole).where(StaffRole.client_id.in_([row.id for row in clients]))):
        posts.end(role.id)
    db.session.commit()
    with pytest.raises(RegistrationRefusedError, match="wait already"):
        ask(build, operator, 9)
    left, engineer = clients[0], colleagues.signed_in(Role.ENGINEER)
    path, version = f"/ent/{left.id}/accord", str(left.version)
    decision = {"version": version, "audience": "families", "uais": LYCEE, "scopes": "profile", "pkce_required": "y"}
    shown = engineer.get(path).get_data(as_text=True)
    answer = post(engineer, path, **decision).get_data(as_text=True)
    for page in (shown, answer):
        assert "la demande ne peut plus qu’être refusée" in page
        assert "Accepter et ouvrir" not in page
    assert db.session.get_one(Client, left.id).waiting_since is not None
    refused = post(engineer, f"{path}/refus", path, version=version, reason="Personne ne l’exploite.")
    assert refused.headers["Location"].endswith("fait=refuse")


def test_an_operator_registers_five_ents_a_day(build: Build, operator: StaffAccount) -> None:
    for number in range(acceptance.MOST_A_DAY):
        acceptance.refuse(ask(build, operator, number), "Le nom prête à confusion.")
    with pytest.raises(RegistrationRefusedError, match="within a day"):
        ask(build, operator, 9)
    db.session.execute(update(Client).values(created_at=now() - timedelta(hours=25)))
    db.session.commit()
    assert ask(build, operator, 9).waiting_since is not None
