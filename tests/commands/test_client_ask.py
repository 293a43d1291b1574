"""`idp client ask`, `accept` and `refuse`: the same service and the same journal entries as the desk."""

import json

from idp import opaque
from idp.audit.models import AuditEntry
from idp.clients.models import Client
from idp.db import db
from tests.builders import COLLEGE, LYCEE, Build
from tests.commands.conftest import Run


def estuaire() -> Client:
    db.session.expire_all()
    return db.session.query(Client).filter_by(name="Estuaire").one()


def test_an_ent_is_asked_for_and_accepted(act: Run, build: Build) -> None:
    build.school(), build.school(LYCEE)
    first = build.ent("Passerelle")
    who = ("--name", "Lina Roy", "--role", "ent_operator", "--client", first.client_id)
    assert act("staff", "invite", "lina@ent.test", *who).code == 0
    given = ("--uai", LYCEE, "--redirect-uri", "https://estuaire.test/cb", "--contact", "ent@estuaire.test")
    assert "no operator" in act("client", "ask", "Estuaire", "--operator", "x@ent.test", *given).err
    assert act("staff", "invite", "aide@academie.test", "--name", "Léa Bon", "--role", "helpdesk").code == 0
    other = act("client", "ask", "Estuaire", "--operator", "aide@academie.test", *given)
    assert "aide@academie.test is no operator of an ENT" in other.err
    wide = act("client", "ask", "Estuaire", "--operator", "lina@ent.test", *given, "--audience", "everyone")
    assert "--audience is decided by the académie" in wide.err
    made = json.loads(act("client", "ask", "Estuaire", "--operator", "lina@ent.test", *given, "--json").out)
    client = estuaire()
    assert client.secret_digest == opaque.digest(made["client_secret"])
    assert (client.asked_uais, client.uais) == ([LYCEE], [])
    assert "waits for `idp client accept`" in act("client", "list").out
    assert act("client", "enable", client.client_id).code == 1
    assert "--uai needs at least one school" in act("client", "accept", client.client_id).err
    accepted = json.loads(act("client", "accept", client.client_id, "--uai", COLLEGE, "--json").out)
    assert (accepted["uais"], accepted["waiting_since"], accepted["disabled_at"]) == ([COLLEGE], None, None)
    assert "no change of its operator waits" in act("client", "refuse", client.client_id, "--reason", "Trop tard.").err
    entries = db.session.query(AuditEntry).filter_by(kind="client.changed", client_id=client.id).order_by(AuditEntry.id)
    assert [entry.details["change"] for entry in entries] == ["asked", "accepted"]
