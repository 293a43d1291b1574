"""`clients.kit` on logout tokens, and a provider that is down, slow or changes its keys."""

import itertools
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from clients.kit import Provider, provider as kit_provider
from clients.kit.checks import CheckError, ProviderDownError
from tests.clients.conftest import change
from tests.clients.fake_provider import (
    CLIENT_ID,
    EC,
    OTHER_RSA,
    RSA,
    Claims,
    FakeProvider,
    running_provider,
    signed_with_public_key,
    unsigned,
)
from tests.clients.kit_steps import catch_failed_check, complete_sign_in, registered
from tests.protocol.ent_server import Answer, authority, listening_ent
from tests.rows import each_row
from tests.signatures import b64

EVENT = "http://schemas.openid.net/event/backchannel-logout"
SUB = FakeProvider.sub


def claims_of(provider: FakeProvider, **changes: object) -> Claims:
    moment = int(time.time())
    return change(**changes)(
        {
            "iss": provider.issuer,
            "sub": SUB,
            "aud": CLIENT_ID,
            "iat": moment,
            "exp": moment + 120,
            "jti": f"jti-{time.monotonic_ns()}",
            "events": {EVENT: {}},
            "sid": "sid-1",
        }
    )


def signed(claims: Claims, key: RSAKey | ECKey = RSA, **header: Any) -> str:
    alg = "ES256" if isinstance(key, ECKey) else "RS256"
    head = {"alg": alg, "kid": key.kid, "typ": "logout+jwt", **header}
    return jwt.encode({k: v for k, v in head.items() if v is not None}, claims, key, algorithms=[alg])


def forged(claims: Claims, **header: object) -> str:
    head = {"alg": "RS256", "kid": "rsa-1", "typ": "logout+jwt", **header}
    head = {name: value for name, value in head.items() if value is not None}
    signing = ".".join(b64(json.dumps(part).encode()) for part in (head, claims))
    assert RSA.private_key is not None
    signature = RSA.private_key.sign(signing.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{signing}.{b64(signature)}"


@each_row(
    ("changes", "named"),
    [
        ({}, (SUB, "sid-1")),
        ({"sub": None}, (None, "sid-1")),
        ({"sid": None}, (SUB, None)),
        ({"aud": [CLIENT_ID]}, (SUB, "sid-1")),
        ({"events": {EVENT: {}, "https://exemple.fr/other": {}}}, (SUB, "sid-1")),
    ],
)
def test_each_form_that_the_specification_allows_is_accepted(
    provider: FakeProvider, changes: dict[str, object], named: tuple[str | None, str | None]
) -> None:
    token = Provider(registered(provider)).checks.logout_token(signed(claims_of(provider, **changes)))
    assert (token.sub, token.sid) == named


@each_row(
    "header",
    [
        {"typ": "LOGOUT+JWT"},
        {"typ": "application/logout+jwt"},
        {"typ": None},
        {"kid": None},
        {"typ": None, "kid": None},
    ],
)
def test_the_type_is_a_media_type_and_may_be_left_out_as_the_key_s_name(
    provider: FakeProvider, header: dict[str, str | None]
) -> None:
    # Back-Channel Logout 1.0, 2.4: the explicit type is recommended, not required.
    token = forged(claims_of(provider), **header)
    assert Provider(registered(provider)).checks.logout_token(token).sub == SUB


FOREIGN, NO_ONE = "the token is for another client", "the token names neither a person nor a session"
NO_EVENT = "the token has no logout event"
NONCE, WRONG_TYPE = "the token has a nonce, as an ID token has", "the typ of the token is not that of logout_token"
NOT_RECENT, BROKEN_TOKENS = "the token was not issued recently", "the signature of the token cannot be checked"
NO_KEY = "the token is signed by a key that the provider does not publish"
NOT_A_JWT, OTHER_ALG = "the token is not a signed JWT", "the token is not signed with RS256, the registered algorithm"
LIES: dict[str, tuple[Callable[[FakeProvider], str], str]] = {
    "another provider": (
        lambda p: signed(claims_of(p, iss="https://ailleurs.example")),
        "the token comes from another provider",
    ),
    "no provider": (lambda p: signed(claims_of(p, iss=None)), "the token comes from another provider"),
    "another site": (lambda p: signed(claims_of(p, aud="autre")), FOREIGN),
    "two sites": (lambda p: signed(claims_of(p, aud=[CLIENT_ID, "autre"])), FOREIGN),
    "no site": (lambda p: signed(claims_of(p, aud=None)), FOREIGN),
    "expired": (lambda p: signed(claims_of(p, exp=int(time.time()) - 60)), "the token has expired"),
    "no end": (lambda p: signed(claims_of(p, exp=None)), "the token has no usable exp"),
    "old": (lambda p: signed(claims_of(p, iat=int(time.time()) - 900)), NOT_RECENT),
    "to come": (lambda p: signed(claims_of(p, iat=int(time.time()) + 900)), NOT_RECENT),
    "no date": (lambda p: signed(claims_of(p, iat=None)), "the token has no usable iat"),
    "a nonce": (lambda p: signed(claims_of(p, nonce="n")), NONCE),
    "an empty nonce": (lambda p: signed(claims_of(p, nonce="")), NONCE),
    "no event": (lambda p: signed(claims_of(p, events=None)), NO_EVENT),
    "another event": (lambda p: signed(claims_of(p, events={"https://exemple.fr/other": {}})), NO_EVENT),
    "an event that is no object": (lambda p: signed(claims_of(p, events={EVENT: True})), NO_EVENT),
    "events in a list": (lambda p: signed(claims_of(p, events=[EVENT])), NO_EVENT),
    "nobody": (lambda p: signed(claims_of(p, sub=None, sid=None)), NO_ONE),
    "an empty session": (lambda p: signed(claims_of(p, sid="")), "the token has no usable sid"),
    "a session that is a number": (lambda p: signed(claims_of(p, sid=1)), "the token has no usable sid"),
    "an endless session": (lambda p: signed(claims_of(p, sid="s" * 256)), "the token has no usable sid"),
    "a session that is no ASCII": (lambda p: forged(claims_of(p, sid="\ud800")), "the token has no usable sid"),
    "an empty person": (lambda p: signed(claims_of(p, sub="")), "the token has no usable sub"),
    "a person that is a list": (lambda p: signed(claims_of(p, sub=[SUB])), "the token has no usable sub"),
    "no name": (lambda p: signed(claims_of(p, jti=None)), "the token has no usable jti"),
    "an empty name": (lambda p: signed(claims_of(p, jti="")), "the token has no usable jti"),
    "the type of an ID token": (lambda p: signed(claims_of(p), typ="JWT"), WRONG_TYPE),
    "an empty type": (lambda p: signed(claims_of(p), typ=""), WRONG_TYPE),
    "a type that is no text": (lambda p: forged(claims_of(p), typ=["logout+jwt"]), BROKEN_TOKENS),
    "a name that is no ASCII": (lambda p: forged(claims_of(p, jti="\ud800")), "the token has no usable jti"),
    "a date without end": (lambda p: forged(claims_of(p, exp=float("inf"))), "the token has no usable exp"),
    "a date that is too large": (lambda p: forged(claims_of(p, exp=10**400)), "the token has no usable exp"),
    "an end that is no number": (lambda p: forged(claims_of(p, exp=float("nan"))), "the token has no usable exp"),
    "another signature than the one registered": (lambda p: signed(claims_of(p), EC), OTHER_ALG),
    "a part that must be understood": (
        lambda p: forged(claims_of(p), crit=["x"], x=1),
        "the token has an unsupported extension",
    ),
    "claims that are a list": (
        lambda _: forged([]),  # type: ignore[arg-type]  # that is the lie
        "the signature of the token is wrong",
    ),
    "a key of the same name that is not published": (
        lambda p: signed(claims_of(p), OTHER_RSA),
        "the signature of the token is wrong",
    ),
    "a key that is published nowhere": (lambda p: signed(claims_of(p), kid="inconnue"), NO_KEY),
    "no key's name, and another key": (
        lambda p: signed(claims_of(p), OTHER_RSA, kid=None),
        "the signature of the token is wrong",
    ),
    "no signature": (lambda p: unsigned(claims_of(p)), "the token is not signed"),
    "our public key as a shared secret": (lambda p: signed_with_public_key(claims_of(p)), OTHER_ALG),
    "no JWT": (lambda _: "a.b", NOT_A_JWT),
    "no text": (lambda _: "\x00", NOT_A_JWT),
    "nothing": (lambda _: "", NOT_A_JWT),
    "an ID token": (lambda p: p.id_token({"nonce": "n"}, "at-x"), WRONG_TYPE),
}


@each_row("lie", LIES)
def test_an_invalid_logout_token_is_refused(provider: FakeProvider, lie: str) -> None:
    # Back-Channel Logout 1.0, 2.6: each validation rule refuses a token.
    token, sentence = LIES[lie]
    with pytest.raises(CheckError) as caught:
        Provider(registered(provider)).checks.logout_token(token(provider))
    assert str(caught.value) == sentence


PATHS = ("/.well-known/openid-configuration", "/jwks.json", "/token", "/userinfo", "/charter")
BROKEN = {
    "a redirect": (302, b""),
    "an error": (500, b"{}"),
    "nothing": (200, b""),
    "a page": (200, b"<html>"),
    "a list": (200, b"[]"),
    "a number": (200, b"7"),
    "brackets within brackets": (200, b"[" * 100_000),
    "no text": (200, b"\xff\xfe\x00"),
    "half an object": (200, b'{"access_token": "at-'),
}


@each_row(("path", "broken"), itertools.product(PATHS, BROKEN))
def test_a_response_that_is_no_json_is_a_provider_that_is_down(path: str, broken: str) -> None:
    with running_provider() as provider:
        provider.bodies[path] = BROKEN[broken]
        kit = Provider(registered(provider))
        with pytest.raises(ProviderDownError):
            kit.charter(complete_sign_in(kit).access_token)


@pytest.mark.parametrize(
    ("endpoint", "path"), [("token_endpoint", "token"), ("userinfo_endpoint", "userinfo"), ("jwks_uri", "jwks.json")]
)
def test_no_redirect_is_followed(provider: FakeProvider, endpoint: str, path: str) -> None:
    # The code, the secret and the tokens go where discovery says, and nowhere else.
    provider.metadata_lie = {endpoint: f"{provider.issuer}/moved/{path}"}
    with pytest.raises(ProviderDownError, match="307"):
        complete_sign_in(Provider(registered(provider)))
    assert f"/{path}" not in provider.calls


@pytest.mark.parametrize("lie", ["http://ailleurs.example/token", "https://a@b.example/", "/token", "", 7, None])
def test_an_address_that_cannot_be_talked_to_is_refused(provider: FakeProvider, lie: object) -> None:
    for endpoint in ("authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri"):
        provider.metadata_lie = {endpoint: lie}
        assert catch_failed_check(lambda: complete_sign_in(Provider(registered(provider)))) == "metadata"
    provider.metadata_lie = {"end_session_endpoint": "javascript:alert(1)"}
    assert catch_failed_check(lambda: complete_sign_in(Provider(registered(provider)))) == "metadata"


def test_a_silent_provider_times_out(monkeypatch: pytest.MonkeyPatch, provider: FakeProvider) -> None:
    monkeypatch.setattr(kit_provider, "_TIMEOUT", 0.2)
    with listening_ent(None) as silent:
        silent.served["/.well-known/openid-configuration"] = lambda _handler: time.sleep(2)
        with pytest.raises(ProviderDownError, match="Timeout"):
            Provider(registered(provider, issuer=f"http://127.0.0.1:{silent.port}")).metadata()


def test_a_private_authority_is_trusted_where_it_is_named(provider: FakeProvider, tmp_path: Path) -> None:
    known, other = authority(tmp_path, "localhost"), authority(tmp_path, "ailleurs.test")
    with listening_ent(known.chain) as server:
        issuer = server.uri("localhost", "")
        names = ("authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri")
        metadata = {"issuer": issuer, **dict.fromkeys(names, f"{issuer}/x")}
        server.served["/.well-known/openid-configuration"] = (200, {}, json.dumps(metadata).encode())
        assert Provider(registered(provider, issuer=issuer, ca_bundle=str(known.trusted))).metadata() == metadata
        for bundle in ("", str(other.trusted), "/nulle/part.pem"):
            with pytest.raises(ProviderDownError):
                Provider(registered(provider, issuer=issuer, ca_bundle=bundle)).metadata()


@pytest.mark.parametrize("issuer", ["http://ailleurs.example", "ftp://127.0.0.1", "https://a@b.example", "", "x"])
def test_an_issuer_that_is_no_web_address_is_refused(provider: FakeProvider, issuer: str) -> None:
    # OpenID Connect Core 1.0, 2: the issuer is "a case-sensitive URL using the https scheme".
    with pytest.raises(CheckError):
        Provider(registered(provider, issuer=issuer)).metadata()


def test_metadata_and_keys_are_cached_within_one_provider_only(
    provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = 1000.0
    monkeypatch.setattr(kit_provider, "monotonic", lambda: moment)
    kit = Provider(registered(provider))
    complete_sign_in(kit)
    complete_sign_in(kit)
    assert [provider.calls.count(path) for path in PATHS[:2]] == [1, 1]
    complete_sign_in(Provider(registered(provider)))
    assert [provider.calls.count(path) for path in PATHS[:2]] == [2, 2]
    moment += 3601
    provider.keys = []
    assert catch_failed_check(lambda: complete_sign_in(kit)) == "kid", (
        "a key that was withdrawn is believed for an hour at most"
    )


def test_an_unknown_key_is_fetched_at_most_every_ten_seconds(
    provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = 1000.0
    monkeypatch.setattr(kit_provider, "monotonic", lambda: moment)
    kit = Provider(registered(provider))
    complete_sign_in(kit)
    provider.header = {"kid": "inconnue"}
    for _ in range(5):
        assert catch_failed_check(lambda: complete_sign_in(kit)) == "kid"
    assert provider.calls.count("/jwks.json") == 2
    new = RSAKey.generate_key(2048, {"kid": "rsa-2", "use": "sig", "alg": "RS256"}, private=True)
    provider.header, provider.keys, provider.signing_key = {}, [new], new
    assert catch_failed_check(lambda: complete_sign_in(kit)) == "kid"
    moment += 11
    assert complete_sign_in(kit).claims["sub"] == provider.sub


def test_an_unknown_key_does_not_block_the_known_keys(provider: FakeProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    # Anybody can post a logout token with any `kid`: if the keys cannot be requested again, cached keys stay valid.
    moment = 1000.0
    monkeypatch.setattr(kit_provider, "monotonic", lambda: moment)
    kit = Provider(registered(provider))
    complete_sign_in(kit)
    provider.bodies["/jwks.json"] = (503, b"")
    provider.header = {"kid": "inconnue"}
    for _ in range(3):
        with pytest.raises(ProviderDownError):
            complete_sign_in(kit)
    assert provider.calls.count("/jwks.json") == 2, "asked once more, and not again for a moment"
    provider.header = {}
    assert complete_sign_in(kit).claims["sub"] == provider.sub
    assert provider.calls.count("/jwks.json") == 2
    moment += 6
    provider.header = {"kid": "inconnue"}
    provider.bodies.clear()
    assert catch_failed_check(lambda: complete_sign_in(kit)) == "kid"


def test_concurrent_callers_share_one_timeout_of_a_silent_provider(
    provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment, over = 1000.0, Event()
    monkeypatch.setattr(kit_provider, "monotonic", lambda: moment)
    monkeypatch.setattr(kit_provider, "_TIMEOUT", 0.3)

    def late(_handler: object) -> Answer:
        over.wait(20)
        return 200, {}, b""

    with listening_ent(None) as silent:
        silent.served["/.well-known/openid-configuration"] = late
        kit = Provider(registered(provider, issuer=f"http://127.0.0.1:{silent.port}"))

        def leave(_: int) -> str:
            with pytest.raises(ProviderDownError, match="Timeout") as caught:
                kit.start_sign_in()
            return caught.value.check

        def was_asked(times: int) -> bool:
            """Wait for the questions to arrive there, which may be later than they are given up here."""
            until = time.monotonic() + 20
            while len(silent.asked) < times and time.monotonic() < until:
                time.sleep(0.05)
            return len(silent.asked) == times

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(leave, range(8))) == ["discovery"] * 8
        assert was_asked(1)
        moment += 6
        leave(0)
        assert was_asked(2), "after a moment it is asked again"
        over.set()


def test_fetching_an_unknown_key_does_not_block_other_threads(provider: FakeProvider) -> None:
    keys = json.dumps({"keys": [RSA.as_dict(private=False)]}).encode()
    requested, over = Event(), Event()

    def late(_handler: object) -> Answer:
        requested.set()
        over.wait(20)
        return 200, {}, keys

    stranger = jwt.encode({"alg": "RS256", "kid": "inconnue", "typ": "logout+jwt"}, {}, RSA)
    with listening_ent(None) as elsewhere, ThreadPoolExecutor(1) as pool:
        elsewhere.served["/keys"] = (200, {}, keys)
        provider.metadata_lie = {"jwks_uri": f"http://127.0.0.1:{elsewhere.port}/keys"}
        kit = Provider(registered(provider))
        complete_sign_in(kit)
        elsewhere.served["/keys"] = late
        asking = pool.submit(kit.checks.logout_token, stranger)
        try:
            assert requested.wait(20)
            assert complete_sign_in(kit).claims["sub"] == provider.sub
            assert not asking.done(), "the keys are asked for all the while"
        finally:
            over.set()
        with pytest.raises(CheckError, match="does not publish"):
            asking.result()
