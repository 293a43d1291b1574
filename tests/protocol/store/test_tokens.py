"""Access tokens and refresh tokens in the store."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from flask import Flask
from sqlalchemy import select, update

from idp.accounts.models import Guardianship
from idp.db import db
from idp.oidc.models import Token
from tests.builders import LYCEE, Build, commit
from tests.protocol.listening import Seen, listening
from tests.protocol.store.world import CLIENT_CHANGED, LOST, SCOPE, World, lose, token
from tests.protocol.test_races import wait_until_somebody_waits_for_a_lock


def test_the_holder_is_the_person_the_client_and_the_scope(world: World) -> None:
    more_claims = {"nickname": "Nono"}
    world.change(
        account__address_lines=["3 rue des Tilleuls"],
        account__postcode="59990",
        account__city="Rivebelle",
        account__country="FR",
        account__more_claims=more_claims,
    )
    access, _ = world.tokens(jkt="thumbprint")
    account = world.account
    holder = world.store.find_holder(access, world.now)
    assert holder is not None
    attributes = {name: getattr(holder, name) for name in holder.__slots__ if name != "children"}
    assert attributes == {
        "scope": SCOPE,
        "claims": '{"userinfo":{}}',
        "jkt": "thumbprint",
        "client_id": world.client.client_id,
        "client_key": world.client.id,
        "client_version": world.client.version,
        "account_id": account.id,
        "join_key": account.join_key,
        "username": account.username,
        "given_name": "Noémie",
        "family_name": "LEROY-VANDEPUTTE",
        "locale": account.locale,
        "updated_at": account.updated_at,
        "email": account.email,
        "address_lines": ["3 rue des Tilleuls"],
        "postcode": "59990",
        "city": "Rivebelle",
        "country": "FR",
        "more_claims": more_claims,
        "charter_version": None,
        "charter_accepted_at": None,
    }


@pytest.mark.row("U-04")
def test_the_children_are_those_in_the_client_s_schools_in_their_order(world: World, build: Build) -> None:
    children = [build.child("Lina"), build.child("Inès", uai=LYCEE), build.child("Tom")]
    for rank, child in zip((2, 3, 1), children, strict=True):
        db.session.add(Guardianship(account_id=world.account.id, child_id=child.id, rank=rank))
    db.session.commit()
    access, _ = world.tokens()
    holder = world.store.find_holder(access, world.now)
    assert holder is not None
    assert [child["given_name"] for child in holder.children] == ["Malo", "Tom", "Lina"]
    lina = children[0]
    assert holder.children[2] == {
        "given_name": "Lina",
        "family_name": "LEROY",
        "class": "6e 1",
        "uai": "0599001N",
        "student_id": lina.student_id,
        "degree": "SECONDARY",
    }


def test_a_person_without_children_has_an_empty_list(world: World) -> None:
    world.change(client__audience="EVERYONE")
    access, _ = world.tokens()
    world.change_ties(ended_at=world.now)
    holder = world.store.find_holder(access, world.now)
    assert holder is not None
    assert holder.children == []


def test_a_change_of_the_client_does_not_end_an_access_token(world: World) -> None:
    access, _ = world.tokens()
    world.change(client__version=world.client.version + 1)
    assert world.store.find_holder(access, world.now) is not None


def revoke(world: World) -> None:
    commit(update(Token).values(revoked_at=world.now))


UNKNOWN: dict[str, Callable[[World], None]] = LOST | {"revoked": revoke}


@pytest.mark.row("U-05", "A-27")
@pytest.mark.parametrize("reason", UNKNOWN)
def test_a_token_has_no_holder_once_a_condition_fails(world: World, reason: str) -> None:
    access, _ = world.tokens()
    assert world.store.find_holder(access, world.now) is not None
    UNKNOWN[reason](world)
    assert world.store.find_holder(access, world.now) is None


def test_expired_and_refresh_tokens_have_no_holder(world: World) -> None:
    access, refresh = world.tokens()
    end = db.session.scalars(select(Token.expires_at).where(Token.digest == access)).one()
    assert world.store.find_holder(access, end - timedelta(seconds=1)) is not None
    assert world.store.find_holder(access, end) is None
    assert world.store.find_holder(refresh, world.now) is None
    assert world.store.find_holder(b"unknown", world.now) is None


KEY, OTHER = "key", "other"


def statements(seen: Seen) -> int:
    """Return how often the statement that uses a refresh token was run."""
    return sum("UPDATE token" in text for text in seen.work())


def test_a_rotation_stores_a_pair_in_the_same_family(world: World) -> None:
    _, first = world.tokens()
    request = world.rotation(first, refresh_expires_at=world.now + timedelta(days=90))
    grant = world.store.refresh(request)
    assert grant is not None
    assert (grant.scope, grant.nonce, grant.sid, grant.acr) == (SCOPE, None, "sid", "pwd")
    assert (grant.account_id, grant.join_key) == (world.account.id, world.account.join_key)
    assert (grant.acr, grant.auth_time, grant.jkt) == (world.session.acr, world.session.auth_time, None)
    old, access, second = token(first), token(request.access_digest), token(request.refresh_digest or b"")
    assert old is not None
    assert access is not None
    assert second is not None
    assert old.used_at == world.now
    assert {row.family for row in (access, second)} == {old.family}
    assert (second.kind, second.scope, second.family_expires_at) == ("r", SCOPE, old.family_expires_at)
    assert second.expires_at == old.family_expires_at, "no successor outlives its family"
    assert (access.kind, access.expires_at, access.family_expires_at) == ("a", request.access_expires_at, None)


def test_a_narrowed_scope_is_the_access_token_s_alone(world: World) -> None:
    _, first = world.tokens()
    request = world.rotation(first, access_scope="openid")
    grant = world.store.refresh(request)
    assert grant is not None
    access, second = token(request.access_digest), token(request.refresh_digest or b"")
    assert access is not None
    assert second is not None
    assert (access.scope, second.scope, grant.scope) == ("openid", SCOPE, SCOPE)


def test_a_token_that_does_not_rotate_stays_and_its_life_is_prolonged(world: World) -> None:
    _, first = world.tokens()
    later = world.now + timedelta(days=1)
    for days, expected in ((10, later + timedelta(days=10)), (90, world.now + timedelta(days=30))):
        changes = {"refresh_digest": None, "now": later, "refresh_expires_at": later + timedelta(days=days)}
        assert world.store.refresh(world.rotation(first, **changes)) is not None
        row = token(first)
        assert row is not None
        assert (row.used_at, row.expires_at) == (None, expected)
    assert db.session.scalars(select(Token.digest).where(Token.kind == "r")).all() == [first]


def test_a_lost_answer_is_given_again_within_the_grace_period(world: World) -> None:
    _, first = world.tokens()
    assert world.store.refresh(world.rotation(first)) is not None
    again = {"now": world.now + timedelta(seconds=9), "grace_since": world.now - timedelta(seconds=1)}
    assert world.store.refresh(world.rotation(first, **again)) is not None
    row = token(first)
    assert row is not None
    assert row.used_at == world.now, "the grace period does not begin again"
    assert len(db.session.scalars(select(Token).where(Token.kind == "r")).all()) == 2
    late = {"now": world.now + timedelta(seconds=10), "grace_since": world.now}
    assert world.store.refresh(world.rotation(first, **late)) is None


def test_a_key_that_is_bound_has_to_be_proved(world: World) -> None:
    """RFC 9449 section 5. A public client has to prove the same key, another one any key."""
    table = {
        (None, None, False): True,
        (None, KEY, False): True,
        (KEY, None, False): False,
        (KEY, OTHER, False): True,
        (None, None, True): True,
        (None, KEY, True): True,
        (KEY, None, True): False,
        (KEY, KEY, True): True,
        (KEY, OTHER, True): False,
    }
    for (of_token, shown, same_key), is_accepted in table.items():
        _, first = world.tokens(jkt=of_token)
        request = world.rotation(first, jkt=shown, same_key=same_key)
        grant = world.store.refresh(request)
        assert (grant is not None) is is_accepted, (of_token, shown, same_key)
        access = token(request.access_digest)
        assert access is None if grant is None else access is not None and access.jkt == grant.jkt == shown


@pytest.mark.row("T-22")
def test_a_lost_answer_is_given_again_to_a_client_that_can_use_it(world: World) -> None:
    """RFC 9449 section 5. A public client has to prove the key of the successor."""
    table = {
        (None, None, False): True,
        (None, KEY, False): False,
        (KEY, None, False): False,
        (KEY, OTHER, False): True,
        (None, None, True): True,
        (None, KEY, True): False,
        (KEY, None, True): False,
        (KEY, KEY, True): True,
        (KEY, OTHER, True): False,
    }
    for (of_successor, shown, same_key), is_accepted in table.items():
        _, first = world.tokens()
        assert world.store.refresh(world.rotation(first, jkt=of_successor, same_key=same_key)) is not None
        request = world.rotation(first, jkt=shown, same_key=same_key)
        assert (world.store.refresh(request) is not None) is is_accepted, (of_successor, shown, same_key)


REFUSED: dict[str, dict[str, Any]] = {
    "unknown token": {"old_digest": b"unknown"},
    "unused too long": {"now": timedelta(days=14)},
    "family too old": {"now": timedelta(days=30)},
    "other client": {"client": "account"},
    "access token": {"old_digest": "access"},
}


@pytest.mark.row("T-22", "A-27")
@pytest.mark.parametrize("reason", [*REFUSED, *LOST, *CLIENT_CHANGED, "revoked"])
def test_a_refused_token_stores_nothing_and_runs_one_statement(app: Flask, world: World, reason: str) -> None:
    access, first = world.tokens()
    if reason == "family too old":
        commit(update(Token).values(expires_at=world.now + timedelta(days=60)))
    named = {"account": world.account.id, "access": access, "unknown": b"unknown"}
    changes = {
        name: world.now + value if isinstance(value, timedelta) else named.get(value, value)
        for name, value in REFUSED.get(reason, {}).items()
    }
    request = world.rotation(first, **{"grace_since": world.now - timedelta(days=60)} | changes)
    lose(world, reason)
    if reason == "revoked":
        commit(update(Token).values(revoked_at=world.now))
    with listening(app) as seen:
        assert world.store.refresh(request) is None
        assert statements(seen) == 1
    assert set(db.session.scalars(select(Token.digest))) == {access, first}
    assert db.session.scalars(select(Token.used_at).where(Token.used_at.is_not(None))).all() == []


def test_a_rotation_and_its_repetition_run_one_statement_each(app: Flask, world: World) -> None:
    _, first = world.tokens()
    for _ in range(2):
        with listening(app) as seen:
            assert world.store.refresh(world.rotation(first)) is not None
            assert statements(seen) == 1
    with listening(app) as seen:
        assert world.store.refresh(world.rotation(first, jkt=KEY)) is None
        assert statements(seen) == 1


@contextmanager
def racing(world: World, first: bytes, rival_jkt: str | None, **changes: Any) -> Iterator[tuple[Any, Future[Any]]]:
    """Hold a rotation open before its commit; yield its connection and the concurrent call, which waits for it."""
    columns = "kind, family, client_id, account_id, session_id, scope, acr, auth_time, expires_at, family_expires_at"
    request = world.rotation(first, **changes)
    url = world.settings.database_url
    db.session.rollback()
    with psycopg.connect(url) as rival, ThreadPoolExecutor(1) as concurrent:
        rival.execute("UPDATE token SET used_at = %s WHERE digest = %s", [world.now, first])
        rival.execute(
            f"INSERT INTO token (digest, jkt, {columns}) SELECT %s, %s, {columns} FROM token WHERE digest = %s",  # noqa: S608
            [request.refresh_digest, rival_jkt, first],
        )
        call = concurrent.submit(world.store.store.refresh, request)
        wait_until_somebody_waits_for_a_lock(url)
        yield rival, call


@pytest.mark.row("Z-02")
def test_the_successor_of_a_concurrent_rotation_is_found_by_a_second_statement(
    app: Flask, world: World, database_url: str
) -> None:
    _, first = world.tokens()
    with listening(app) as seen, racing(world, first, None) as (rival, call):
        rival.commit()
        assert call.result() is not None
        assert statements(seen) == 2
    assert len(db.session.scalars(select(Token).where(Token.kind == "r")).all()) == 2


@pytest.mark.row("Z-02")
def test_the_successor_of_a_concurrent_rotation_is_not_given_to_another_key(
    app: Flask, world: World, database_url: str
) -> None:
    _, first = world.tokens()
    with listening(app) as seen, racing(world, first, OTHER, jkt=KEY, same_key=True) as (rival, call):
        rival.commit()
        assert call.result() is None
        assert statements(seen) == 2


@pytest.mark.row("Z-02")
def test_a_concurrent_rotation_that_is_rolled_back_leaves_one_statement(
    app: Flask, world: World, database_url: str
) -> None:
    _, first = world.tokens()
    with listening(app) as seen, racing(world, first, None) as (rival, call):
        rival.rollback()
        assert call.result() is not None
        assert statements(seen) == 1


@pytest.mark.row("Z-02")
def test_a_token_that_is_revoked_concurrently_is_refused_by_one_statement(
    app: Flask, world: World, database_url: str
) -> None:
    _, first = world.tokens()
    with listening(app) as seen, racing(world, first, None) as (rival, call):
        rival.execute("UPDATE token SET revoked_at = now()")
        rival.commit()
        assert call.result() is None
        assert statements(seen) == 1
