import json
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from idp.clock import now
from tests.commands.conftest import Run


def listed(idp: Run) -> list[dict[str, str | None]]:
    answer = idp("keys", "list", "--json")
    assert (answer.code, answer.err) == (0, "")
    rows: list[dict[str, str | None]] = json.loads(answer.out)
    return rows


def test_a_new_key_is_published_a_day_before_it_signs(idp: Run) -> None:
    [first] = listed(idp)
    assert set(first) == {"kid", "alg", "created_at", "active_from", "retired_at"}
    made = json.loads(idp("keys", "rotate", "--json").out)
    assert [row["kid"] for row in listed(idp)] == [made["kid"], first["kid"]], "youngest first"
    wait = datetime.fromisoformat(made["active_from"]) - now()
    assert timedelta(hours=23, minutes=50) < wait <= timedelta(hours=24)
    assert idp("keys", "list").out.count("signs from") == 2


def test_the_first_key_of_an_algorithm_signs_at_once(idp: Run) -> None:
    answer = idp("keys", "rotate", "--alg", "ES256")
    assert answer.code == 0
    made = listed(idp)[0]
    assert answer.out.startswith(f"{made['kid']} signs ES256 from ")
    assert made["active_from"] == made["created_at"]


def test_in_an_emergency_a_key_signs_at_once(idp: Run) -> None:
    made = json.loads(idp("keys", "rotate", "--now", "--bits", "3072", "--json").out)
    assert made["active_from"] == made["created_at"]


def test_no_private_key_is_stored_in_clear_or_shown(idp: Run, engine: Engine) -> None:
    idp("keys", "rotate")
    with engine.connect() as connection:
        for sealed, public in connection.execute(text("SELECT private_sealed, public_jwk FROM signing_key")):
            assert b"PRIVATE KEY" not in bytes(sealed)
            assert set(json.loads(public) if isinstance(public, str) else public) == {
                "kty", "n", "e", "kid", "use", "alg", "x5c",
            }  # fmt: skip


def test_the_last_key_that_signs_stays(idp: Run) -> None:
    [only] = listed(idp)
    idp("keys", "rotate")  # it will sign tomorrow only
    answer = idp("keys", "retire", str(only["kid"]))
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == f"Error: {only['kid']}: no such key, or the last one that signs its algorithm\n"
    assert [row["retired_at"] for row in listed(idp)] == [None, None]


def test_a_key_that_another_replaces_is_retired_once(idp: Run) -> None:
    [former] = listed(idp)
    idp("keys", "rotate", "--now")
    answer = idp("keys", "retire", str(former["kid"]))
    assert (answer.code, answer.out) == (0, f"{former['kid']} is retired\n")
    assert listed(idp)[1]["retired_at"]
    assert "retired 20" in idp("keys", "list").out
    assert idp("keys", "retire", str(former["kid"])).code == 1


def test_an_unknown_key_is_said(idp: Run) -> None:
    answer = idp("keys", "retire", "nobody's")
    assert (answer.code, answer.out) == (1, "")
    assert "no such key" in answer.err


@pytest.mark.parametrize("alg", ["HS256", "none", "rs256"])
def test_only_what_is_announced_can_be_made(idp: Run, alg: str) -> None:
    assert idp("keys", "rotate", "--alg", alg).code == 2
    assert len(listed(idp)) == 1
