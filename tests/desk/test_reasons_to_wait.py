"""Which reason the head reads first, if several ties of a guardian wait for different reasons."""

import pytest
from sqlalchemy import select

from idp.accounts.models import SchoolNotice
from idp.accounts.suspensions.models import Wait
from idp.db import db
from idp.desk.staff.models import Role
from tests.builders import Build
from tests.desk.colleagues import Colleagues
from tests.desk.test_suspension import text_of
from tests.rows import each_row
from tests.waiting_guardians import wait


@pytest.mark.row("R-14")
@each_row(
    ("reasons", "sentence"),
    [
        ((Wait.CHECK, Wait.ALIKE), "Ce nom est presque celui d’une personne"),
        ((Wait.ALIKE, Wait.NEW_GUARDIAN), "est suspendu, et votre fichier ajoute"),
        ((Wait.NEW_GUARDIAN, Wait.RECOGNISED), "C’est le nom d’une personne dont l’accès est suspendu"),
    ],
)
def test_the_head_reads_the_reason_that_weighs_most(
    colleagues: Colleagues, build: Build, reasons: tuple[Wait, Wait], sentence: str
) -> None:
    for first, second in (reasons, reversed(reasons)):
        malo, zoe = build.child("Malo"), build.child("Zoé")
        account = build.never_activated(children=[malo, zoe], family_name=f"AUTRE{first}")
        wait(account, malo.id, why=first)
        wait(account, zoe.id, why=second)
        [notice] = db.session.scalars(select(SchoolNotice.id).where(SchoolNotice.account_id == account.id))
        assert sentence in text_of(colleagues.signed_in(Role.HEAD), f"/signalements/{notice}")
