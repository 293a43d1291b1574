"""`idp audit show` (O-02, O-03, O-04); each change has its old and new values in the journal, no secret (O-08)."""

import json
import uuid
from collections.abc import Iterator
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import Any, get_origin, get_type_hints

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import delete, select, true

from idp.accounts.models import Account
from idp.audit import log
from idp.audit.changes import HIDDEN, difference, snapshot
from idp.audit.events import SignInSucceeded
from idp.audit.kinds import Event
from idp.audit.models import AuditEntry
from idp.clients.models import Client
from idp.clock import now
from idp.db import db
from idp.oidc.models import SigningKey
from idp.operations.purge import unused_accounts
from tests.builders import PASSWORD, Build
from tests.commands.accounts import OPERATOR
from tests.commands.conftest import Events, Run, check_refusal, read_json
from tests.pages import sign_in
from tests.protocol.flow import tokens_for
from tests.protocol.registering import registered, replaced


@pytest.fixture(autouse=True)
def empty_journal(app: Flask) -> None:
    db.session.execute(delete(AuditEntry))
    db.session.commit()


def read(act: Run, *arguments: str) -> Any:
    return read_json(act, "audit", "show", *arguments)


def write(build: Build, *ages: timedelta, account: Account | None = None, **values: object) -> None:
    for age in ages:
        entry = {"kind": "sign_in", "result": "ok", "details": {"sid": "s"}, **values}
        db.session.add(AuditEntry(at=now() - age, account_id=account.id if account else None, **entry))
    db.session.commit()


@pytest.mark.row("O-03")
def test_entries_show_account_time_event_ip_and_result(act: Run, build: Build, browser: FlaskClient) -> None:
    ent = build.ent()
    account = build.active()
    for password in ("faux", PASSWORD):
        sign_in(browser, "/connexion", account.username, password)
    tokens_for(browser, ent)
    rows = wrong, right, code = read(act, "--account", account.username)
    refusal = (wrong["kind"], wrong["result"], wrong["account"], wrong["details"]["reason"])
    assert refusal == ("sign_in", "refused", account.username, "wrong")
    assert (right["kind"], right["result"], right["address"]) == ("sign_in", "ok", "127.0.0.1")
    assert (code["kind"], code["client"]) == ("code.issued", "Passerelle")
    assert all(len(row["request_id"]) > 4 and row["at"].endswith("+00:00") for row in rows)
    act("account", "claims", account.username, "--set", "nickname=Ana")
    last = read(act, "--kind", "account")[-1]
    assert (last["kind"], last["operator"]) == ("account.changed", OPERATOR)


def test_reading_an_account_is_recorded_after_the_output(act: Run, build: Build) -> None:
    account = build.active()
    assert read(act, "--account", account.username) == []
    [row] = read(act, "--account", account.username)
    assert (row["kind"], row["operator"], row["account"]) == ("account.read", OPERATOR, account.username)
    everything = read(act)
    assert read(act) == everything, "the whole journal is about nobody"


def test_since_takes_a_date_a_time_or_a_duration(act: Run, build: Build) -> None:
    write(build, *(timedelta(days=days) for days in (20, 6, 2)), timedelta(hours=1))
    durations = (("5m", 0), ("90m", 1), ("2h", 1), ("3d", 2), ("1w", 3), ("9w", 4), ("0h", 0))
    date = (now() - timedelta(days=3)).date().isoformat()
    times = [(now() - timedelta(days=6, minutes=minutes)).isoformat() for minutes in (1, -1)]
    for since, count in (*durations, (date, 2), (times[0], 3), (times[1], 2)):
        assert len(read(act, "--since", since)) == count, since


@pytest.mark.parametrize("since", ["yesterday", "2026-13-01", "-1d", "3y", "", "99999999d"])
def test_an_invalid_time_is_a_usage_error(act: Run, since: str) -> None:
    answer = act("audit", "show", "--since", since)
    assert (answer.code, answer.out) == (2, "")
    assert "must be a date" in answer.err


def test_kind_takes_a_kind_or_a_family_and_refuses_others(act: Run, build: Build) -> None:
    for kind in ("email.confirmed", "email.link_sent", "sign_in", "code.issued"):
        write(build, timedelta(hours=1), kind=kind)
    assert [row["kind"] for row in read(act, "--kind", "email")] == ["email.confirmed", "email.link_sent"]
    assert [row["kind"] for row in read(act, "--kind", "code.issued")] == ["code.issued"]
    answer = act("audit", "show", "--kind", "sign")
    assert (answer.code, answer.out) == (2, "")
    assert "account.purged" in answer.err


def test_limit_returns_the_last_entries_oldest_first(act: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("idp.operations.audit_commands._PAGE", 3)
    same = {"at": now() - timedelta(hours=1), "result": "ok"}
    for number in range(10):
        db.session.add_all(AuditEntry(kind=kind, details={"n": number}, **same) for kind in ("sign_in", "sign_out"))
    db.session.commit()
    for options, numbers in (
        (("--kind", "sign_in"), list(range(10))),  # no page loses or repeats entries of the same time
        (("--kind", "sign_in", "--limit", "4"), [6, 7, 8, 9]),
        (("--limit", "3"), [8, 9, 9]),
    ):
        assert [row["details"]["n"] for row in read(act, *options)] == numbers, options
    assert act("audit", "show", "--limit", "0").code == 2


@pytest.mark.row("O-02")
def test_control_characters_are_escaped(act: Run, build: Build) -> None:
    evil = "\x1b[2J\n2026-11-24 sign_in ok\u2028\u202e\x9b31m\x7f"
    write(build, timedelta(hours=1), account=build.active(), actor=evil, ip="203.0.113.9", details={"reason": evil})
    plain = act("audit", "show").out
    assert plain.removesuffix("\n").isprintable(), "one line"
    assert "\\x1b[2J\\n2026-11-24" in plain
    raw = act("audit", "show", "--json").out
    assert (raw.isascii(), "\x1b" in raw) == (True, False)
    assert json.loads(raw)[0]["details"]["reason"] == evil


@pytest.mark.row("O-04")
def test_entries_of_a_removed_account_are_found_by_its_key(act: Run, build: Build) -> None:
    account = build.active()
    log.record(SignInSucceeded(account_id=account.id, sid="the sid", device="phone"))
    db.session.commit()
    key = str(account.id)
    assert unused_accounts.remove(account.id, true())
    db.session.commit()
    row, last = read(act, "--account", key)
    assert (last["kind"], last["account"], last["details"]) == ("account.purged", key, {"why": "inactive"})
    assert (row["account"], row["kind"], row["result"]) == (key, "sign_in", "ok")
    assert (row["address"], row["request_id"], row["details"]) == (None, None, {})


@pytest.mark.parametrize("who", ["n.personne1", "a@b.fr", "\x1b[31m", str(uuid.UUID(int=1))])
def test_an_unknown_account_is_refused(act: Run, who: str, events: Events) -> None:
    answer = act("audit", "show", "--account", who)
    check_refusal(answer, "Error: no account ")
    assert "\x1b" not in answer.err
    assert events("account.read") == []


def test_an_empty_journal_is_an_empty_array(act: Run) -> None:
    assert act("audit", "show").out == ""
    assert act("audit", "show", "--json").out == "[]\n"


def event_classes(base: type[Event]) -> Iterator[type[Event]]:
    for event in base.__subclasses__():
        yield event
        yield from event_classes(event)


_SAMPLES: dict[object, object] = {str: "x", int: 1, bool: True, list: ["x"], dict: {"name": "x"}}
"""A value for each type of an event's fields."""


def test_each_kind_of_event_is_one_line(act: Run) -> None:
    classes = [event for event in event_classes(Event) if event.__module__.startswith("idp.")]
    for event in classes:
        hints = get_type_hints(event)
        own = [field.name for field in fields(event) if field.name not in {f.name for f in fields(Event)}]
        details: dict[str, Any] = {name: _SAMPLES.get(get_origin(hints[name]) or hints[name]) for name in own}
        log.record(event(**details))
    db.session.commit()
    answer = act("audit", "show", "--limit", "500")
    assert answer.code == 0, answer.err
    assert len(answer.out.splitlines()) == len(classes)


def details(events: Events, kind: str) -> list[dict[str, Any]]:
    return [event.details for event in events(kind)]


@pytest.mark.row("O-08")
def test_client_change_records_before_and_after_only(act: Run, build: Build, events: Events) -> None:
    ent = build.ent()
    act("client", "set", ent.client_id, "--name", "Estuaire", "--home-uri", "https://ent.test/accueil")
    for command in ("disable", "enable"):
        act("client", command, ent.client_id)
    created, changed, shut, opened = details(events, "client.changed")
    assert (created["change"], created["after"]["uais"]) == ("registered", ["0599001N"])
    assert changed == {
        "change": "changed",
        "before": {"name": "Passerelle", "home_uri": "https://ent.test/"},
        "after": {"name": "Estuaire", "home_uri": "https://ent.test/accueil"},
    }
    assert shut["before"] == {"disabled_at": None}
    assert opened["before"] == shut["after"] != shut["before"]


@pytest.mark.row("O-08")
def test_secret_of_a_client_is_in_no_entry(act: Run, build: Build, events: Events) -> None:
    ent = build.ent()
    shown = read_json(act, "client", "rotate-secret", ent.client_id)["client_secret"]
    row = db.session.scalars(select(Client)).one()
    secrets = [shown, ent.secret, *(value.hex() for value in (row.secret_digest, row.subject_salt) if value)]
    text = json.dumps(list(db.session.scalars(select(AuditEntry.details))))
    assert all(secret and secret not in text for secret in secrets)
    after = details(events, "client.changed")[-1]["after"]
    assert after.keys() == {"former_secret_digest", "former_secret_until"}
    assert after["former_secret_digest"] == HIDDEN


@pytest.mark.row("O-08")
def test_school_change_records_before_and_after(act: Run, app: Flask, events: Events) -> None:
    act("school", "set", "0599001N", "--name", "Collège des Tilleuls")
    act("school", "set", "0599001N", "--phone", "03 53 01 40 40")
    created, changed = details(events, "school.changed")
    assert (created["before"], created["after"]["name"]) == ({}, "Collège des Tilleuls")
    assert changed == {"uai": "0599001N", "before": {"phone": ""}, "after": {"phone": "03 53 01 40 40"}}
    assert act("audit", "show").out.endswith('uai=0599001N  phone: "" -> "03 53 01 40 40"\n')


@pytest.mark.row("O-08")
def test_charter_entry_names_both_texts(act: Run, build: Build, events: Events, tmp_path: Path) -> None:
    ent = build.ent(charter="ent")
    build.publish(ent, "1")
    (file := tmp_path / "charte.md").write_text("# Une autre\n\nRestons polis.", encoding="utf-8")
    assert act("charter", "publish", ent.client_id, "--version", "2", str(file)).code == 0
    first, second = details(events, "charter.published")
    assert (first["former"], second["former"], second["version"]) == ("", "1", "2")
    assert first["sha256"] != second["sha256"]


@pytest.mark.row("O-08")
def test_key_change_records_before_and_after_without_keys(act: Run, app: Flask, events: Events) -> None:
    kid = read_json(act, "keys", "rotate", "--alg", "ES256", "--now")["kid"]
    assert act("keys", "retire", kid, "--emergency").code == 0
    changes = details(events, "key.changed")
    created, retired = [entry for entry in changes if entry["kid"] == kid]
    assert (created["change"], created["after"]["alg"]) == ("rotated", "ES256")
    assert retired["before"] == {"retired_at": None}
    for key in db.session.scalars(select(SigningKey)):
        assert str(key.public_jwk.get("x", key.public_jwk.get("n"))) not in json.dumps(changes)


@pytest.mark.row("O-08")
def test_self_service_change_records_before_and_after(
    act: Run, build: Build, browser: FlaskClient, events: Events
) -> None:
    invitation = read_json(act, "client", "invite", "--label", "Estuaire", "--uai", "0599001N")["initial_access_token"]
    client = registered(browser, invitation, client_name="Estuaire")
    assert replaced(browser, client, client_name="Horizon").status_code == 200
    entries = details(events, "client.changed_itself")
    [changed] = [entry for entry in entries if entry["change"] == "changed"]
    assert (changed["before"]["name"], changed["after"]["name"]) == ("Estuaire", "Horizon")
    invited = details(events, "client.invited")
    assert invited[0]["after"]["uais"] == ["0599001N"]
    for secret in (invitation, client["registration_access_token"], client["client_secret"]):
        assert secret not in json.dumps([*invited, *entries])


@pytest.mark.row("O-08")
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
