"""The journal has each change of a registration, a school, a charter or a key, with old and new values, no secret."""

import json
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from idp.audit.changes import HIDDEN, difference, snapshot
from idp.audit.models import AuditEntry
from idp.clients.models import Client
from idp.db import db
from idp.oidc.models import SigningKey
from tests.builders import Build
from tests.commands.conftest import Events, Run

pytestmark = pytest.mark.row("O-08")


def details(events: Events, kind: str) -> list[dict[str, Any]]:
    return [event.details for event in events(kind)]


def test_client_change_records_before_and_after_only(act: Run, build: Build, events: Events) -> None:
    ent = build.ent()
    assert act("client", "set", ent.client_id, "--name", "Estuaire", "--home-uri", "https://ent.test/accueil").code == 0
    created, changed = details(events, "client.changed")
    assert created["change"] == "registered"
    assert created["after"]["redirect_uris"] == ["https://ent.test/cb"]
    assert created["after"]["uais"] == ["0599001N"]
    assert changed == {
        "change": "changed",
        "before": {"name": "Passerelle", "home_uri": "https://ent.test/"},
        "after": {"name": "Estuaire", "home_uri": "https://ent.test/accueil"},
    }
    act("client", "disable", ent.client_id)
    act("client", "enable", ent.client_id)
    *_, shut, opened = details(events, "client.changed")
    assert shut["before"] == {"disabled_at": None}
    assert opened["before"] == shut["after"] != shut["before"]


def test_secret_of_a_client_is_in_no_entry(act: Run, app: Flask, build: Build, events: Events) -> None:
    ent = build.ent()
    shown = json.loads(act("client", "rotate-secret", ent.client_id, "--json").out)["client_secret"]
    row = db.session.scalars(select(Client)).one()
    secrets = [shown, ent.secret, *(value.hex() for value in (row.secret_digest, row.subject_salt) if value)]
    text = json.dumps([list(db.session.scalars(select(AuditEntry.details)))])
    assert all(secret and secret not in text for secret in secrets)
    assert details(events, "client.changed")[-1]["after"].keys() == {"former_secret_digest", "former_secret_until"}
    assert details(events, "client.changed")[-1]["after"]["former_secret_digest"] == HIDDEN


def test_school_change_records_before_and_after(act: Run, app: Flask, events: Events) -> None:
    act("school", "set", "0599001N", "--name", "Collège des Tilleuls")
    act("school", "set", "0599001N", "--phone", "03 53 01 40 40")
    created, changed = details(events, "school.changed")
    assert (created["before"], created["after"]["name"]) == ({}, "Collège des Tilleuls")
    assert changed == {"uai": "0599001N", "before": {"phone": ""}, "after": {"phone": "03 53 01 40 40"}}
    first, last = act("audit", "show", "--kind", "school").out.splitlines()
    assert 'name: -> "Collège des Tilleuls"' in first
    assert last.endswith('uai=0599001N  phone: "" -> "03 53 01 40 40"')


def test_charter_entry_names_both_texts(act: Run, build: Build, events: Events, tmp_path: Path) -> None:
    ent = build.ent(charter="ent")
    build.publish(ent, "1")
    file = tmp_path / "charte.md"
    file.write_text("# Une autre\n\nRestons polis.", encoding="utf-8")
    assert act("charter", "publish", ent.client_id, "--version", "2", str(file)).code == 0
    first, second = details(events, "charter.published")
    assert (first["former"], second["former"], second["version"]) == ("", "1", "2")
    assert first["sha256"] != second["sha256"]


def test_key_change_records_before_and_after_without_keys(act: Run, app: Flask, events: Events) -> None:
    assert act("keys", "rotate", "--alg", "ES256", "--now").code == 0
    [created] = [entry for entry in details(events, "key.changed") if entry["after"].get("alg") == "ES256"]
    assert created["change"] == "rotated"
    assert act("keys", "retire", created["kid"], "--emergency").code == 0
    retired = [entry for entry in details(events, "key.changed") if entry["kid"] == created["kid"]][1]
    assert retired["before"] == {"retired_at": None}
    text = json.dumps(details(events, "key.changed"))
    for key in db.session.scalars(select(SigningKey)):
        assert str(key.public_jwk.get("x", key.public_jwk.get("n"))) not in text
    db.session.rollback()


def test_self_service_change_records_before_and_after(
    act: Run, build: Build, browser: FlaskClient, events: Events
) -> None:
    invitation = json.loads(act("client", "invite", "--label", "Estuaire", "--uai", "0599001N", "--json").out)
    body = {"client_name": "Estuaire", "redirect_uris": ["https://ent.test/cb"]}
    bearer = {"Authorization": f"Bearer {invitation['initial_access_token']}"}
    registration = browser.post("/register", json=body, headers=bearer).get_json()
    own = {"Authorization": f"Bearer {registration['registration_access_token']}"}
    expected = {**body, "client_id": registration["client_id"], "client_name": "Horizon"}
    assert browser.put(f"/register/{registration['client_id']}", json=expected, headers=own).status_code == 200
    [changed] = [entry for entry in details(events, "client.changed_itself") if entry["change"] == "changed"]
    assert changed["before"]["name"] == "Estuaire"
    assert changed["after"]["name"] == "Horizon"
    text = json.dumps([*details(events, "client.changed_itself"), *details(events, "client.invited")])
    for secret in (
        invitation["initial_access_token"],
        registration["registration_access_token"],
        registration.get("client_secret"),
    ):
        assert secret
        assert secret not in text
    assert details(events, "client.invited")[0]["after"]["uais"] == ["0599001N"]


def test_snapshot_hides_secrets_of_every_kind() -> None:
    row = Client(
        name="x",
        secret_digest=b"secret",
        pending_metadata={"client_secret": "s", "jwks": {"keys": [{"kty": "oct", "k": "s", "d": "s"}]}, "kept": 1},
    )
    values = snapshot(row)
    assert values["secret_digest"] == HIDDEN
    assert values["pending_metadata"] == {
        "client_secret": HIDDEN,
        "jwks": {"keys": [{"kty": "oct", "k": HIDDEN, "d": HIDDEN}]},
        "kept": 1,
    }
    assert difference({"a": 1, "b": 2}, {"b": 3, "c": 4}) == {"before": {"a": 1, "b": 2}, "after": {"b": 3, "c": 4}}
