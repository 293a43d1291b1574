"""The store issues a code for a live session that owes nothing, and redeems it once."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, cast

import pytest
from sqlalchemy import func, select

from idp import journey
from idp.audit.models import AuditEntry
from idp.charter.models import CharterAcceptance, CharterVersion
from idp.clock import now
from idp.db import db
from idp.oidc.models import AuthorizationCode, PushedRequest, Token
from tests.builders import LYCEE, Build
from tests.protocol.store.world import CLIENT_CHANGED, LOST, SCOPE, World, digest, lose, token
from tests.relying_party import RelyingParty


def count(table: type) -> int:
    db.session.rollback()
    return db.session.scalar(select(func.count()).select_from(table)) or 0


def push(world: World, **changes: Any) -> PushedRequest:
    values = {"digest": digest(), "client_id": world.client.id, "expires_at": world.now, "parameters": {}} | changes
    row = PushedRequest(**values)
    db.session.add(row)
    db.session.commit()
    return row


def publish(world: World, build: Build) -> None:
    """Publish a charter that the client's users have to accept."""
    ent = RelyingParty("", world.client.client_id, None, "", [])
    build.publish(ent, "2026")
    db.session.refresh(world.client)


def test_a_code_stands_for_the_sign_in_of_its_session(world: World) -> None:
    request = world.code_request(jkt="thumbprint")
    assert world.store.issue_code(request) == "sid"
    row = db.session.scalars(select(AuthorizationCode)).one()
    expected = {
        "digest": request.code_digest,
        "family": request.family,
        "client_id": world.client.id,
        "account_id": world.account.id,
        "session_id": world.session.id,
        "redirect_uri": request.redirect_uri,
        "scope": SCOPE,
        "nonce": "nonce",
        "code_challenge": "challenge",
        "claims": request.claims,
        "jkt": "thumbprint",
        "acr": world.session.acr,
        "auth_time": world.session.auth_time,
        "expires_at": request.expires_at,
        "used_at": None,
    }
    assert {name: getattr(row, name) for name in expected} == expected


def test_an_issued_code_has_an_audit_entry(world: World) -> None:
    world.code()
    entry = db.session.scalars(select(AuditEntry).where(AuditEntry.kind == "code.issued")).one()
    assert (entry.account_id, entry.client_id, entry.details) == (world.account.id, world.client.id, {"sid": "sid"})
    assert (entry.at, entry.ip, entry.request_id) == (world.now, "192.0.2.1", "request")
    assert len(entry.mac or b"") == 36


@pytest.mark.parametrize(("idle", "is_noted"), [(timedelta(minutes=5), False), (timedelta(minutes=6), True)])
def test_a_session_is_noted_as_used_every_five_minutes(world: World, idle: timedelta, *, is_noted: bool) -> None:
    before = world.now - idle
    world.change(session__last_seen_at=before)
    world.code()
    db.session.refresh(world.session)
    assert world.session.last_seen_at == (world.now if is_noted else before)


REFUSED_SESSIONS: dict[str, Callable[[World], None]] = {
    "expired": lambda world: world.change(session__expires_at=world.now),
    "idle": lambda world: world.change(session__last_seen_at=world.now - timedelta(hours=1)),
    "no confirmed email": lambda world: world.change(account__email=None),
    "other cookie": lambda world: world.change(session__digest=b"other"),
}


@pytest.mark.parametrize("reason", [*REFUSED_SESSIONS, *LOST, *CLIENT_CHANGED])
def test_no_code_is_issued_once_a_condition_fails(world: World, reason: str) -> None:
    pushed = push(world)
    request = world.code_request(pushed_digest=pushed.digest, touch_before=world.now)
    entries = count(AuditEntry)
    if happen := REFUSED_SESSIONS.get(reason):
        happen(world)
    lose(world, reason)
    noted = world.session.last_seen_at
    assert world.store.issue_code(request) is None
    assert (count(AuthorizationCode), count(AuditEntry)) == (0, entries)
    db.session.refresh(world.session)
    db.session.refresh(pushed)
    assert (pushed.used_at, world.session.last_seen_at) == (None, noted)


def test_an_email_is_needed_only_where_the_operator_requires_it(world: World) -> None:
    world.change(account__email=None)
    world.code(mail_required=False)


def test_a_charter_that_is_owed_is_accepted_first(world: World, build: Build) -> None:
    publish(world, build)
    world.code(charter=False)
    assert world.store.issue_code(world.code_request(charter=True)) is None
    version = db.session.scalars(select(CharterVersion)).one()
    db.session.add(CharterAcceptance(account_id=world.account.id, charter_version_id=version.id))
    db.session.commit()
    world.code(charter=True)


def owe_charter(world: World) -> None:
    publish(world, Build(world.settings))


STEPS_OF_A_SESSION: dict[str, Callable[[World], None]] = {
    "login.sign_in": LOST["session ended"],
    "email_confirmation.waiting": REFUSED_SESSIONS["no confirmed email"],
    "oidc.not_this_ent": LOST["tie ended"],
    "charter.show": owe_charter,
}
"""How a session comes to owe each step that depends on stored state."""
STEPS_OF_A_REQUEST = (
    "activation.activate",
    "profile_choice.choose",
    "profile_choice.elsewhere",
    "oidc.is_it_you",
    "oidc.agree",
)
"""The steps that no session owes: the interaction asks for them, or there is no session."""


@dataclass(frozen=True)
class SignIn:
    """All that a step of a request may read of a session."""

    auth_time: datetime
    acr: str = "pwd"


@dataclass(frozen=True)
class RequestState:
    """All that a step of a request may read of `journey.State`, for a signed-in person and a plain request."""

    session: SignIn
    started_at: datetime
    now: datetime
    profile: str
    prompts: frozenset[str] = frozenset()
    max_age: int | None = None
    acr: str | None = None
    agreed: bool = False
    may_be_another: bool = False
    is_activating: bool = False


def test_each_step_of_the_journey_is_tested() -> None:
    assert {step.endpoint for step in journey.STEPS} == {*STEPS_OF_A_SESSION, *STEPS_OF_A_REQUEST}


@pytest.mark.parametrize("endpoint", STEPS_OF_A_REQUEST)
def test_a_step_of_a_request_asks_for_nothing_stored(endpoint: str) -> None:
    [step] = [step for step in journey.STEPS if step.endpoint == endpoint]
    moment = now()
    for profile in ("", "eleve", "parent"):
        state = RequestState(SignIn(moment), moment, moment, profile)
        assert not step.needed(cast("journey.State", state)), "READY_SESSION would skip this step"


@pytest.mark.parametrize("endpoint", STEPS_OF_A_SESSION)
def test_session_that_owes_a_step_gets_no_code(world: World, endpoint: str) -> None:
    STEPS_OF_A_SESSION[endpoint](world)
    assert world.store.issue_code(world.code_request(charter=endpoint == "charter.show")) is None


def test_a_pushed_request_gives_one_code(world: World) -> None:
    pushed = push(world)
    world.code(pushed_digest=pushed.digest)
    db.session.refresh(pushed)
    assert pushed.used_at == world.now
    assert world.store.issue_code(world.code_request(pushed_digest=pushed.digest)) is None


def test_a_pushed_request_of_another_client_gives_no_code(world: World, build: Build) -> None:
    build.ent("Horizon", "horizon.test")
    other = push(world, client_id=world.account.id)
    for pushed_digest in (other.digest, b"unknown"):
        assert world.store.issue_code(world.code_request(pushed_digest=pushed_digest)) is None


def test_a_redeemed_code_gives_its_grant_and_its_tokens(world: World, build: Build) -> None:
    publish(world, build)
    version = db.session.scalars(select(CharterVersion)).one()
    acceptance = CharterAcceptance(account_id=world.account.id, charter_version_id=version.id, accepted_at=world.now)
    db.session.add(acceptance)
    db.session.commit()
    request = world.redemption(world.code(), jkt="thumbprint")
    grant = world.store.redeem_code(request)
    assert grant is not None
    assert {name: getattr(grant, name) for name in grant.__slots__} == {
        "account_id": world.account.id,
        "join_key": world.account.join_key,
        "sid": "sid",
        "auth_time": world.session.auth_time,
        "scope": SCOPE,
        "nonce": "nonce",
        "acr": world.session.acr,
        "claims": '{"userinfo":{}}',
        "jkt": "thumbprint",
        "charter_version": "2026",
        "charter_accepted_at": world.now,
    }
    access, refresh = token(request.access_digest), token(request.refresh_digest or b"")
    code = db.session.scalars(select(AuthorizationCode)).one()
    assert access is not None
    assert refresh is not None
    for row in (access, refresh):
        assert (row.family, row.client_id, row.account_id) == (code.family, world.client.id, world.account.id)
        assert (row.session_id, row.scope, row.claims, row.jkt) == (world.session.id, SCOPE, code.claims, "thumbprint")
        assert (row.acr, row.auth_time, row.used_at, row.revoked_at) == (code.acr, code.auth_time, None, None)
    assert (access.kind, access.expires_at, access.family_expires_at) == ("a", request.access_expires_at, None)
    assert (refresh.kind, refresh.expires_at) == ("r", request.refresh_expires_at)
    assert refresh.family_expires_at == request.family_expires_at
    assert code.used_at == world.now


def test_no_refresh_token_outlives_its_family(world: World) -> None:
    _, refresh = world.tokens(family_expires_at=world.now + timedelta(days=1))
    row = token(refresh)
    assert row is not None
    assert row.expires_at == world.now + timedelta(days=1)


def test_a_code_is_redeemed_once(world: World) -> None:
    code_digest = world.code()
    assert world.store.redeem_code(world.redemption(code_digest)) is not None
    assert world.store.redeem_code(world.redemption(code_digest)) is None
    assert count(Token) == 2


@pytest.mark.parametrize("scope", ["openid", "openid offline_accessed", "x_offline_access"])
def test_without_the_scope_offline_access_there_is_no_refresh_token(world: World, scope: str) -> None:
    assert world.store.redeem_code(world.redemption(world.code(scope=scope))) is not None
    assert db.session.scalars(select(Token.kind)).all() == ["a"]


def test_a_client_without_refresh_tokens_gets_an_access_token_only(world: World) -> None:
    assert world.store.redeem_code(world.redemption(world.code(), refresh_digest=None)) is not None
    assert db.session.scalars(select(Token.kind)).all() == ["a"]


REFUSED_REDEMPTIONS: dict[str, dict[str, Any]] = {
    "unknown code": {"code_digest": b"unknown"},
    "other redirect_uri": {"redirect_uri": "https://ent.test/cb/"},
    "no verifier": {"challenge": None},
    "other verifier": {"challenge": "other"},
    "no DPoP key": {"jkt": None},
    "other DPoP key": {"jkt": "other"},
    "too late": {"now": timedelta(minutes=1)},
}


@pytest.mark.row("T-03", "T-05", "T-10", "A-27")
@pytest.mark.parametrize("reason", [*REFUSED_REDEMPTIONS, *LOST, *CLIENT_CHANGED, "other client"])
def test_a_refused_code_is_not_used_up(world: World, build: Build, reason: str) -> None:
    request = world.redemption(world.code(jkt="thumbprint"), jkt="thumbprint")
    changes = dict(REFUSED_REDEMPTIONS.get(reason, {}))
    if reason == "too late":
        changes["now"] += world.now
    if reason == "other client":
        build.ent("Horizon", "horizon.test")
        changes["client"] = other_client(world)
    lose(world, reason)
    refused = replace(request, **changes)
    assert world.store.redeem_code(refused) is None
    assert count(Token) == 0
    assert db.session.scalars(select(AuthorizationCode.used_at)).one() is None


def other_client(world: World) -> Any:
    table = type(world.client)
    return db.session.scalars(select(table.id).where(table.id != world.client.id)).one()


@pytest.mark.row("T-06")
def test_a_verifier_for_a_code_without_a_challenge_is_refused(world: World) -> None:
    code_digest = world.code(challenge=None)
    assert world.store.redeem_code(world.redemption(code_digest)) is None
    assert world.store.redeem_code(world.redemption(code_digest, challenge=None)) is not None


def test_a_person_of_another_school_gets_no_code(world: World, build: Build) -> None:
    other = build.active(children=[build.child(uai=LYCEE)])
    world.change(session__account_id=other.id, session__generation=other.generation)
    assert world.store.issue_code(world.code_request()) is None
