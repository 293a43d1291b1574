"""`idp keys`: what an operator does with signing keys (security rows D-03, D-04, X-04)."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from sqlalchemy import Engine, text

from idp.clock import now
from tests.commands.conftest import Answer, Events, Run, check_refusal, read_json
from tests.databases import SECRET

OTHER = "another secret key, of more than 32 bytes: 9876543210"


def listed(idp: Run) -> Any:
    return read_json(idp, "keys", "list")


def states(idp: Run) -> list[tuple[str, str]]:
    return [(row["kid"], row["state"]) for row in listed(idp)]


def create_key(idp: Run, *options: str) -> Any:
    return read_json(idp, "keys", "rotate", *options)


def after(**time: float) -> time_machine.travel:
    return time_machine.travel(now() + timedelta(**time))


def refused(idp: Run, *arguments: str) -> str:
    """Check that a command does nothing and says why in one sentence; return it."""
    before = listed(idp)
    answer = idp(*arguments)
    check_refusal(answer, "Error: ")
    assert listed(idp) == before
    return answer.err.removeprefix("Error: ").rstrip("\n")


@pytest.mark.row("D-04")
def test_a_new_key_is_published_a_day_before_it_signs(idp: Run) -> None:
    [first] = listed(idp)
    assert set(first) == {
        "kid", "alg", "bits", "state", "created_at", "active_from", "replaced_at", "retires_at", "retired_at",
        "sealed_under",
    }  # fmt: skip
    second = create_key(idp)
    assert states(idp) == [(second["kid"], "next"), (first["kid"], "signing")], "youngest first"
    active_from = datetime.fromisoformat(second["active_from"])
    assert timedelta(hours=23, minutes=50) < active_from - now() <= timedelta(hours=24)
    lines = idp("keys", "list").out.splitlines()
    assert lines[0].startswith(f"{second['kid']}  RS256  next       signs from ")
    assert lines[1].startswith(f"{first['kid']}  RS256  signing    until ")
    with after(hours=24.1):
        assert states(idp) == [(second["kid"], "signing"), (first["kid"], "published")]
        until = (active_from + timedelta(days=30)).isoformat(timespec="seconds")
        assert idp("keys", "list").out == (
            f"{second['kid']}  RS256  signing  \n{first['kid']}  RS256  published  until {until}\n"
        )


def test_a_second_key_does_not_wait_behind_the_first(idp: Run) -> None:
    waiting = create_key(idp)
    expected = f"no key was made: {waiting['kid']} is published and signs RS256 from {waiting['active_from']}"
    assert refused(idp, "keys", "rotate") == expected
    assert create_key(idp, "--alg", "ES256")["state"] == "signing", "another algorithm has its own"


@pytest.mark.parametrize(("alg", "bits"), [("PS256", 2048), ("ES256", None), ("EdDSA", None)])
def test_the_first_key_of_an_algorithm_signs_at_once(idp: Run, alg: str, bits: int | None) -> None:
    answer = idp("keys", "rotate", "--alg", alg)
    [row] = [row for row in listed(idp) if row["alg"] == alg]
    assert answer.out.startswith(f"{row['kid']} signs {alg} from ")
    assert row["active_from"] == row["created_at"]
    assert (row["state"], row["bits"]) == ("signing", bits)


def test_an_emergency_key_signs_at_once(idp: Run, events: Events) -> None:
    [first] = listed(idp)
    second = create_key(idp, "--now", "--bits", "3072")
    assert (second["active_from"], second["bits"]) == (second["created_at"], 3072)
    assert states(idp) == [(second["kid"], "signing"), (first["kid"], "published")]
    assert events("key.changed")[-1].details["change"] == "rotated"


def test_an_emergency_activates_the_waiting_key(idp: Run, events: Events) -> None:
    [first], waiting = listed(idp), create_key(idp)
    assert "no key was made" in refused(idp, "keys", "rotate", "--now", "--bits", "4096")
    started = create_key(idp, "--now")
    assert started["kid"] == waiting["kid"]
    assert states(idp) == [(waiting["kid"], "signing"), (first["kid"], "published")]
    assert [e.details["change"] for e in events("key.changed")] == ["rotated", "rotated", "started"]


def test_the_rsa_key_size_is_a_setting_and_never_shrinks_silently(idp: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert listed(idp)[0]["bits"] == 2048, "by default"
    monkeypatch.setenv("IDP_RSA_BITS", "3072")
    assert create_key(idp, "--now")["bits"] == 3072
    monkeypatch.setenv("IDP_RSA_BITS", "2048")
    assert create_key(idp, "--now")["bits"] == 3072, "as the one that it follows"
    assert create_key(idp, "--now", "--bits", "2048")["bits"] == 2048
    for wrong in ("1024", "2047", "8192", "x"):
        monkeypatch.setenv("IDP_RSA_BITS", wrong)
        assert "IDP_RSA_BITS: " in idp("keys", "list").err


KEPT = (
    "there is no such key, or it signs, or it may have signed in the last 10 minutes (`--emergency` retires it anyway)"
)


def test_a_signing_key_is_not_retired(idp: Run) -> None:
    [only] = listed(idp)
    second = create_key(idp)  # it will sign tomorrow only
    assert refused(idp, "keys", "retire", only["kid"]) == f"{only['kid']}: {KEPT}"
    with after(hours=24.1):
        assert refused(idp, "keys", "retire", second["kid"]) == f"{second['kid']}: {KEPT}", "another is published"


def test_a_key_is_retired_after_it_stops_signing(idp: Run, engine: Engine, events: Events) -> None:
    [former] = listed(idp)
    second = create_key(idp)
    with after(hours=24, minutes=9):
        assert refused(idp, "keys", "retire", former["kid"]) == f"{former['kid']}: {KEPT}"
    with after(hours=24, minutes=11):
        assert idp("keys", "retire", former["kid"]) == Answer(0, f"{former['kid']} is retired\n", "")
        assert states(idp) == [(second["kid"], "signing"), (former["kid"], "retired")]
        assert "retired    since 20" in idp("keys", "list").out
        assert idp("keys", "retire", former["kid"]).code == 1, "once"
    with engine.connect() as connection:
        kids = connection.execute(text("SELECT kid FROM signing_key WHERE length(private_sealed) = 0")).scalars()
        assert list(kids) == [former["kid"]], "the private half of this key alone is deleted"
    details = events("key.changed")[-1].details
    assert (details["change"], details["kid"], details["before"]) == ("retired", former["kid"], {"retired_at": None})


def test_an_unused_key_can_be_dropped(idp: Run) -> None:
    [first], second = listed(idp), create_key(idp)
    with after(hours=23, minutes=51):
        assert refused(idp, "keys", "retire", second["kid"]) == f"{second['kid']}: {KEPT}", "a clock may be ahead"
    assert idp("keys", "retire", second["kid"]).code == 0
    assert dict(states(idp)) == {second["kid"]: "retired", first["kid"]: "signing"}
    assert create_key(idp)["state"] == "next"


@pytest.mark.parametrize("waits", [True, False], ids=["another waits", "it is the last"])
def test_emergency_retirement_activates_a_successor(idp: Run, events: Events, *, waits: bool) -> None:
    [lost] = listed(idp)
    waiting = create_key(idp) if waits else None
    answer = idp("keys", "retire", lost["kid"], "--emergency")
    [(successor, state), dropped] = states(idp)
    assert (state, dropped) == ("signing", (lost["kid"], "retired"))
    assert answer.out == f"{lost['kid']} is retired; {successor} signs RS256\n"
    assert waiting is None or waiting["kid"] == successor
    changes = [(e.details["change"], e.details["kid"]) for e in events("key.changed")][-2:]
    assert changes == [("dropped", lost["kid"]), ("started" if waits else "rotated", successor)]


@pytest.mark.parametrize("options", [("--now",), ()], ids=["signing", "waiting"])
def test_after_an_emergency_retirement_the_former_key_signs(idp: Run, options: tuple[str, ...]) -> None:
    [first], second = listed(idp), create_key(idp, *options)
    assert idp("keys", "retire", second["kid"], "--emergency").out.endswith(f"; {first['kid']} signs RS256\n")
    assert dict(states(idp)) == {second["kid"]: "retired", first["kid"]: "signing"}


def test_an_unknown_key_is_refused(idp: Run) -> None:
    for options in ((), ("--emergency",)):
        assert "no such key" in refused(idp, "keys", "retire", "nobody's", *options)


def test_a_key_whose_name_begins_with_a_hyphen_can_be_named(idp: Run, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE signing_key SET kid = '-emergency'"))
    idp("keys", "retire", "-emergency", "--emergency")
    assert dict(states(idp))["-emergency"] == "retired"


@pytest.mark.row("X-04")
def test_rotate_refuses_another_secret_key(idp: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    [first] = listed(idp)
    monkeypatch.setenv("IDP_SECRET_KEY", OTHER)
    expected = f"no key was made: IDP_SECRET_KEY and its fallbacks do not decrypt the key {first['kid']}"
    for options in ((), ("--now",)):
        assert refused(idp, "keys", "rotate", *options) == expected
    assert idp("keys", "list").out.endswith("  sealed under a secret key that is not configured\n")
    assert idp("keys", "retire", first["kid"], "--emergency").code == 0, "the way out when the secret is lost"
    signing, _ = listed(idp)
    assert (signing["state"], signing["sealed_under"]) == ("signing", "IDP_SECRET_KEY")


@pytest.mark.row("X-04")
def test_a_waiting_key_that_cannot_be_decrypted_does_not_sign(idp: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    [first] = listed(idp)
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("IDP_SECRET_KEY", OTHER)
        elsewhere.setenv("IDP_SECRET_KEY_FALLBACKS", json.dumps([SECRET]))
        waiting = create_key(idp)
    message = refused(idp, "keys", "rotate", "--now")
    assert message == f"no key was made: IDP_SECRET_KEY and its fallbacks do not decrypt the key {waiting['kid']}"
    idp("keys", "retire", first["kid"], "--emergency")
    [successor] = [kid for kid, state in states(idp) if state == "signing"]
    assert successor not in {first["kid"], waiting["kid"]}


@pytest.mark.row("X-03")
def test_a_fallback_secret_key_decrypts_its_keys(idp: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDP_SECRET_KEY", OTHER)
    monkeypatch.setenv("IDP_SECRET_KEY_FALLBACKS", json.dumps([SECRET]))
    assert listed(idp)[0]["sealed_under"] == "IDP_SECRET_KEY_FALLBACKS"
    assert idp("keys", "list").out.endswith("  sealed under a fallback of the secret key\n")
    second = create_key(idp)
    assert second["sealed_under"] == "IDP_SECRET_KEY", "the present one writes"
    monkeypatch.delenv("IDP_SECRET_KEY_FALLBACKS")
    assert [row["sealed_under"] for row in listed(idp)] == ["IDP_SECRET_KEY", "unknown"]


@pytest.mark.row("D-04")
def test_an_installation_that_runs_again_makes_no_second_key(idp: Run) -> None:
    [first] = listed(idp)
    assert create_key(idp, "--if-none")["kid"] == first["kid"]
    other = create_key(idp, "--if-none", "--alg", "ES256")
    assert states(idp) == [(other["kid"], "signing"), (first["kid"], "signing")]
    assert idp("keys", "rotate", "--if-none", "--now").code == 2
