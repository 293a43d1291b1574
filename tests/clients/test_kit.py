"""`clients.kit` without a framework: what it asks, what it believes, and one lie for each check.

The ID token's and the logout token's lies that the sample ENT is told are in test_ent.py and test_ent_backchannel.py.
"""

import base64
import json
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
import requests
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import RSAKey

from clients.kit import Provider, Registration
from clients.kit import provider as kit_provider
from clients.kit.checks import Attempt, CheckError, Checks, Claims, ProviderDownError, ProviderRefusedError, SignedIn
from tests.clients.conftest import change
from tests.clients.fake_provider import (
    CLIENT_ID,
    CLIENT_SECRET,
    EC,
    KEYS,
    OTHER_RSA,
    RSA,
    FakeProvider,
    signed_with_public_key,
    unsigned,
)
from tests.protocol.ent_server import Answer, authority, listening_ent

CALLBACK = "https://passerelle.exemple.fr/callback"
OFFLINE = "openid ent offline_access"


def registered(provider: FakeProvider, **changes: Any) -> Registration:
    agreed = {"issuer": provider.issuer, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    return Registration(**{**agreed, "redirect_uri": CALLBACK, **changes})


def query_of(url: str) -> str:
    """Go where the kit sends the browser; return the query of the answer."""
    answer = requests.get(url, allow_redirects=False, timeout=60)
    location = answer.headers["Location"]
    assert location.startswith(f"{CALLBACK}?")
    return urlsplit(location).query


def signed_in(kit: Provider, **parameters: str) -> SignedIn:
    url, attempt = kit.departure("/devoirs", **parameters)
    answer = kit.answer(query_of(url))
    assert answer["state"] == attempt.state
    return kit.arrival(answer, attempt)


def refused(sign_in: Callable[[], object]) -> str:
    """Return the check that stops it, which names no secret."""
    with pytest.raises(CheckError) as caught:
        sign_in()
    assert not isinstance(caught.value, ProviderDownError | ProviderRefusedError), caught.value
    assert "eyJ" not in str(caught.value)
    assert "at-" not in str(caught.value)
    return caught.value.check


def test_a_sign_in_asks_all_that_its_answer_proves(provider: FakeProvider) -> None:
    kit = Provider(registered(provider))
    url, attempt = kit.departure("/devoirs", login_hint="profil:parent", ui_locales="en")
    asked = parse_qs(urlsplit(url).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["login_hint"] == ["profil:parent"]
    assert asked["ui_locales"] == ["en"]
    assert (asked["state"], asked["nonce"]) == ([attempt.state], [attempt.nonce])
    assert attempt.code_verifier not in url
    assert {len(value) for value in (attempt.state, attempt.nonce, attempt.code_verifier)} == {43}
    assert attempt.target == "/devoirs"
    person = signed_in(kit)
    assert person.claims["sub"] == person.userinfo["sub"] == provider.sub
    assert person.refresh_token is None


def test_secrets_are_not_in_what_is_printed(provider: FakeProvider) -> None:
    kit = Provider(registered(provider, scope=OFFLINE))
    person, (_, attempt) = signed_in(kit), kit.departure()
    printed = repr((kit.registration, person, attempt))
    for secret in (CLIENT_SECRET, person.access_token, person.refresh_token, person.id_token, attempt.code_verifier):
        assert secret
        assert secret not in printed


# --- signatures


@pytest.mark.parametrize("algorithm", KEYS)
@pytest.mark.parametrize("registration", KEYS)
def test_the_registered_signature_is_believed_and_no_other(
    provider: FakeProvider, algorithm: str, registration: str
) -> None:
    """OpenID Connect Core 1.0, 3.1.3.7, 7: "The alg value SHOULD be … the algorithm sent by the Client in the
    id_token_signed_response_alg parameter during Registration".
    """
    provider.keys, provider.signing_key, provider.algorithm = list(KEYS.values()), KEYS[algorithm], algorithm
    kit = Provider(registered(provider, id_token_alg=registration))
    if algorithm == registration:
        assert signed_in(kit).claims["sub"] == provider.sub
    else:
        assert refused(lambda: signed_in(kit)) == "alg"


@pytest.mark.parametrize("registration", ["none", "HS256", ""])
def test_no_registration_makes_a_token_without_a_signature_believed(provider: FakeProvider, registration: str) -> None:
    kit = Provider(registered(provider, id_token_alg=registration))
    for forge in (unsigned, signed_with_public_key):
        provider.sign = forge
        assert refused(lambda: signed_in(kit)) == "alg"


def test_a_key_for_one_signature_checks_no_other(provider: FakeProvider) -> None:
    """RFC 7517, 4.4: "The alg parameter identifies the algorithm intended for use with the key"."""
    pss = KEYS["PS256"]
    provider.keys, provider.signing_key, provider.header = [pss], RSA, {"kid": "ps-1"}
    assert refused(lambda: signed_in(Provider(registered(provider)))) == "key"


@pytest.mark.parametrize(
    ("lie", "check"),
    [
        ({"use": "enc"}, "kid"),
        ({"kty": "EC"}, "key"),
        ({"n": "AQAB"}, "key"),
        ({"n": None}, "key"),
        ({"n": "é" * 342}, "key"),
        ({"e": 65537}, "key"),
        ({"kid": 1}, "kid"),
    ],
)
def test_a_key_that_is_none_is_refused(provider: FakeProvider, lie: Claims, check: str) -> None:
    jwk = change(**lie)(dict(RSA.as_dict(private=False)))
    provider.bodies["/jwks.json"] = (200, json.dumps({"keys": [7, "clé", jwk]}).encode())
    assert refused(lambda: signed_in(Provider(registered(provider)))) == check


def test_a_weak_key_is_refused(provider: FakeProvider) -> None:
    """RFC 7518, 3.3: "A key of size 2048 bits or larger MUST be used with these algorithms"."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library's own, about the key that the test makes
        weak = RSAKey.generate_key(1024, {"kid": "rsa-1", "use": "sig", "alg": "RS256"}, private=True)
        provider.keys, provider.sign = [weak], lambda claims: jwt.encode({"alg": "RS256", "kid": "rsa-1"}, claims, weak)
    assert refused(lambda: signed_in(Provider(registered(provider)))) == "key"


@pytest.mark.parametrize("header", [{"crit": ["exp"], "exp": 1}, {"b64": True, "crit": ["b64"]}])
def test_an_extension_that_is_not_understood_is_refused(provider: FakeProvider, header: Claims) -> None:
    """RFC 7515, 4.1.11: "If any of the listed extension Header Parameters are not understood and supported by the
    recipient, then the JWS is invalid".
    """
    kit, claims = Provider(registered(provider)), {"iss": provider.issuer}
    parts = ({"alg": "RS256", "kid": "rsa-1", **header}, claims)
    token = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
    provider.sign = lambda _claims: f"{token}.AAAA"
    assert refused(lambda: signed_in(kit)) == "crit"


@pytest.mark.parametrize("typ", ["logout+jwt", "at+jwt", "dpop+jwt", 7, ""])
def test_a_token_of_another_type_is_no_id_token(provider: FakeProvider, typ: object) -> None:
    """RFC 8725, 3.12: "Use Mutually Exclusive Validation Rules for Different Kinds of JWTs"."""
    good = FakeProvider.id_token(provider, {"nonce": "n"}, "at-x").split(".")[1]
    head = base64.urlsafe_b64encode(json.dumps({"alg": "RS256", "kid": "rsa-1", "typ": typ}).encode()).rstrip(b"=")
    signing = f"{head.decode()}.{good}"
    token = f"{signing}.{_signature(signing)}"
    checks = Checks(registered(provider), lambda _afresh: {"keys": [RSA.as_dict(private=False)]})
    expected = "signature" if typ == 7 else "typ"
    assert refused(lambda: checks.id_token(token, Attempt("s", "n", "v"), "at-x")) == expected


def _signature(signing: str) -> str:
    assert RSA.private_key is not None
    made = RSA.private_key.sign(signing.encode(), padding.PKCS1v15(), hashes.SHA256())
    return base64.urlsafe_b64encode(made).rstrip(b"=").decode()


# --- what was asked: max_age, acr_values


@pytest.mark.parametrize(
    ("asked", "lie", "check"),
    [
        ({"max_age": "60"}, {"auth_time": int(time.time()) - 3600}, "auth_time"),
        ({"max_age": "60"}, {"auth_time": None}, "auth_time"),
        ({"max_age": "60"}, {"auth_time": "hier"}, "auth_time"),
        ({"acr_values": "a b"}, {"acr": "c"}, "acr"),
        ({"acr_values": "a b"}, {}, "acr"),
        ({"acr_values": "a b"}, {"acr": ["a"]}, "acr"),
    ],
)
def test_a_sign_in_that_is_not_as_asked_is_refused(
    provider: FakeProvider, asked: dict[str, str], lie: Claims, check: str
) -> None:
    """OpenID Connect Core 1.0, 3.1.3.7, 12 and 13."""
    kit = Provider(registered(provider))
    provider.claims_lie = change(**lie)
    assert refused(lambda: signed_in(kit, **asked)) == check
    provider.claims_lie = change(acr="b")
    assert signed_in(kit, **asked).claims["acr"] == "b"


# --- renewed tokens


def test_tokens_are_renewed_and_the_refresh_token_changes(provider: FakeProvider) -> None:
    kit = Provider(registered(provider, scope=OFFLINE))
    first = signed_in(kit)
    second = kit.renewed(first)
    third = kit.renewed(second)
    assert len({first.refresh_token, second.refresh_token, third.refresh_token}) == 3
    assert len({first.access_token, second.access_token, third.access_token}) == 3
    assert third.claims["nonce"] == first.claims["nonce"], "what the sign-in proved stays known"
    with pytest.raises(ProviderRefusedError, match="invalid_grant"):
        kit.renewed(first)


def test_what_a_renewal_leaves_out_stays_as_it_was(provider: FakeProvider) -> None:
    """RFC 6749, 6: the answer may hold no refresh token; Core 1.0, 12.2: "it might not contain an id_token"."""
    kit = Provider(registered(provider, scope=OFFLINE))
    first = signed_in(kit)
    provider.token_lie = {"id_token": None, "refresh_token": None}
    second = kit.renewed(first)
    assert (second.id_token, second.refresh_token) == (first.id_token, first.refresh_token)
    assert second.claims == first.claims
    assert second.access_token != first.access_token


@pytest.mark.parametrize(
    ("lie", "check"),
    [
        ({"iss": "https://ailleurs.example"}, "iss"),
        ({"aud": "autre"}, "aud"),
        ({"sub": "autre"}, "sub"),
        ({"iat": 0}, "iat"),
        ({"exp": 0}, "exp"),
        ({"auth_time": 1}, "auth_time"),
        ({"nonce": "autre"}, "nonce"),
        ({"at_hash": "AAAA"}, "at_hash"),
        ({"azp": "autre"}, "azp"),
    ],
)
def test_a_renewed_id_token_that_lies_is_refused(provider: FakeProvider, lie: Claims, check: str) -> None:
    """OpenID Connect Core 1.0, 12.2."""
    kit = Provider(registered(provider, scope=OFFLINE))
    person = signed_in(kit)
    provider.claims_lie = change(**lie)
    assert refused(lambda: kit.renewed(person)) == check


# --- UserInfo


@pytest.mark.parametrize("algorithm", KEYS)
def test_a_signed_userinfo_is_read(provider: FakeProvider, algorithm: str) -> None:
    key = KEYS[algorithm]
    provider.keys, provider.userinfo_key = [RSA, key], key
    told = signed_in(Provider(registered(provider, userinfo_alg=algorithm))).userinfo
    assert told["given_name"] == "Noémie"
    assert not {"iss", "aud"} & told.keys()


@pytest.mark.parametrize(
    ("lie", "check"),
    [
        ({"iss": "https://ailleurs.example"}, "userinfo_iss"),
        ({"iss": None}, "userinfo_iss"),
        ({"aud": "autre"}, "userinfo_aud"),
        ({"aud": [CLIENT_ID, "autre"]}, "userinfo_aud"),
        ({"aud": None}, "userinfo_aud"),
        ({"sub": "autre"}, "userinfo_sub"),
        ({"sub": None}, "userinfo_sub"),
    ],
)
def test_a_signed_userinfo_that_lies_is_refused(provider: FakeProvider, lie: Claims, check: str) -> None:
    """OpenID Connect Core 1.0, 5.3.2 and 5.3.4."""
    provider.userinfo_key, provider.userinfo_lie = RSA, change(**lie)
    assert refused(lambda: signed_in(Provider(registered(provider, userinfo_alg="RS256")))) == check


def test_userinfo_is_of_the_kind_that_was_registered(provider: FakeProvider) -> None:
    assert refused(lambda: signed_in(Provider(registered(provider, userinfo_alg="RS256")))) == "userinfo_signed"
    provider.userinfo_key = OTHER_RSA
    assert refused(lambda: signed_in(Provider(registered(provider, userinfo_alg="RS256")))) == "signature"
    provider.userinfo_key = EC
    assert refused(lambda: signed_in(Provider(registered(provider, userinfo_alg="RS256")))) == "alg"
    assert refused(lambda: signed_in(Provider(registered(provider)))) == "userinfo"


def test_the_access_token_travels_in_a_header_and_no_netrc_takes_its_place(
    provider: FakeProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login quelquun password d-autre\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    kit = Provider(registered(provider))
    person = signed_in(kit)
    kit.charter(person.access_token)
    sent = dict(provider.headers)
    assert sent["/userinfo"] == sent["/charter"] == f"Bearer {person.access_token}"
    basic = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
    assert sent["/token"] == f"Basic {basic}"
    assert sent["/.well-known/openid-configuration"] == sent["/jwks.json"] == ""


# --- the client


def test_the_client_s_name_and_secret_are_encoded_as_a_form_is(provider: FakeProvider) -> None:
    """RFC 6749, 2.3.1: "The client identifier is encoded using the application/x-www-form-urlencoded encoding"."""
    provider.client_id, provider.client_secret = "ent:é %2B", "s:€+ &="
    kit = Provider(registered(provider, client_id=provider.client_id, client_secret=provider.client_secret))
    assert signed_in(kit).claims["aud"] == provider.client_id


def test_a_public_client_names_itself_in_the_form(provider: FakeProvider) -> None:
    provider.client_secret = ""
    assert signed_in(Provider(registered(provider, client_secret=""))).claims["sub"] == provider.sub
    assert dict(provider.headers)["/token"] == ""


def test_a_wrong_secret_is_the_provider_s_refusal(provider: FakeProvider) -> None:
    with pytest.raises(ProviderRefusedError, match=r"^invalid_client$") as caught:
        signed_in(Provider(registered(provider, client_secret="autre")))
    assert caught.value.check == "token"


# --- the answer (RFC 9207)


def test_an_answer_names_the_provider_where_it_says_that_it_does(provider: FakeProvider) -> None:
    """RFC 9207, 2.4: "If the authorization server … indicates its support for … iss … clients MUST reject
    authorization responses without the iss parameter".
    """
    kit = Provider(registered(provider))
    assert refused(lambda: kit.answer("code=c&state=s")) == "response_iss"
    assert refused(lambda: kit.answer("code=c&state=s&iss=https%3A%2F%2Failleurs.example")) == "response_iss"
    provider.metadata_lie = {"authorization_response_iss_parameter_supported": None}
    other = Provider(registered(provider))
    assert other.answer("code=c&state=s") == {"code": "c", "state": "s"}
    assert refused(lambda: other.answer("code=c&iss=https%3A%2F%2Failleurs.example")) == "response_iss"


def test_an_answer_says_everything_once(provider: FakeProvider) -> None:
    kit = Provider(registered(provider))
    assert refused(lambda: kit.answer("code=c&code=d&state=s")) == "duplicate"
    assert refused(lambda: kit.arrival({"state": "s"}, Attempt("s", "n", "v"))) == "code"
    with pytest.raises(ProviderRefusedError, match=r"^access_denied$"):
        kit.arrival({"error": "access_denied", "code": "c"}, Attempt("s", "n", "v"))
    assert "/token" not in provider.calls


# --- the charter, the sign-out


def test_the_charter_is_read_and_accepted(provider: FakeProvider) -> None:
    kit = Provider(registered(provider))
    token = signed_in(kit).access_token
    charter = kit.charter(token)
    assert charter is not None
    assert (charter.version, charter.accepted, charter.published_at[:10]) == ("2", False, "2026-08-31")
    assert kit.accept_charter(token, "1") is False
    assert kit.accept_charter(token, "2") is True
    again = kit.charter(token)
    assert again is not None
    assert again.accepted
    provider.charter_status = 404
    assert kit.charter(token) is None
    with pytest.raises(ProviderRefusedError, match=r"^no_charter$"):
        kit.accept_charter(token, "2")
    with pytest.raises(ProviderRefusedError, match=r"^invalid_token$"):
        kit.charter("périmé")


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, ProviderRefusedError), (403, ProviderDownError), (404, ProviderRefusedError), (422, ProviderDownError)],
)
def test_another_charter_is_current_is_said_by_409_alone(
    provider: FakeProvider, status: int, error: type[CheckError]
) -> None:
    kit = Provider(registered(provider))
    token = signed_in(kit).access_token
    provider.bodies["/charter/acceptance"] = (status, b'{"error": "invalid_request"}')
    with pytest.raises(error):
        kit.accept_charter(token, "2")
    provider.bodies["/charter/acceptance"] = (409, b"{}")
    assert kit.accept_charter(token, "2") is False


def test_the_sign_out_names_the_session_and_the_way_back(provider: FakeProvider) -> None:
    kit = Provider(registered(provider, post_logout_redirect_uri="https://passerelle.exemple.fr/"))
    url = kit.sign_out_url("eyJ.x.y", "état")
    assert url is not None
    assert dict(parse_qsl(urlsplit(url).query)) == {
        "id_token_hint": "eyJ.x.y",
        "client_id": CLIENT_ID,
        "state": "état",
        "post_logout_redirect_uri": "https://passerelle.exemple.fr/",
    }
    assert "post_logout" not in str(Provider(registered(provider)).sign_out_url("eyJ.x.y", "s"))
    provider.metadata_lie = {"end_session_endpoint": None}
    assert Provider(registered(provider)).sign_out_url("eyJ.x.y", "s") is None


# --- HTTP


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


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("broken", BROKEN)
def test_an_answer_in_another_language_is_a_provider_that_is_down(
    provider: FakeProvider, path: str, broken: str
) -> None:
    provider.bodies[path] = BROKEN[broken]
    kit = Provider(registered(provider))
    with pytest.raises(ProviderDownError):
        kit.charter(signed_in(kit).access_token)


@pytest.mark.parametrize(
    ("endpoint", "path"), [("token_endpoint", "token"), ("userinfo_endpoint", "userinfo"), ("jwks_uri", "jwks.json")]
)
def test_no_redirect_is_followed(provider: FakeProvider, endpoint: str, path: str) -> None:
    """The code, the secret and the tokens go where discovery says, and nowhere else."""
    provider.metadata_lie = {endpoint: f"{provider.issuer}/moved/{path}"}
    with pytest.raises(ProviderDownError, match="307"):
        signed_in(Provider(registered(provider)))
    assert f"/{path}" not in provider.calls


@pytest.mark.parametrize("lie", ["http://ailleurs.example/token", "https://a@b.example/", "/token", "", 7, None])
def test_an_address_that_cannot_be_talked_to_is_refused(provider: FakeProvider, lie: object) -> None:
    for endpoint in ("authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri"):
        provider.metadata_lie = {endpoint: lie}
        assert refused(lambda: signed_in(Provider(registered(provider)))) == "metadata"
    provider.metadata_lie = {"end_session_endpoint": "javascript:alert(1)"}
    assert refused(lambda: signed_in(Provider(registered(provider)))) == "metadata"


def test_a_provider_that_says_nothing_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, provider: FakeProvider
) -> None:
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
    """OpenID Connect Core 1.0, 2: the issuer is "a case-sensitive URL using the https scheme"."""
    with pytest.raises(CheckError):
        Provider(registered(provider, issuer=issuer)).metadata()


# --- memory


def test_nothing_is_remembered_between_two_runs_and_little_within_one(
    provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = 1000.0
    monkeypatch.setattr(kit_provider, "monotonic", lambda: moment)
    kit = Provider(registered(provider))
    signed_in(kit)
    signed_in(kit)
    assert [provider.calls.count(path) for path in PATHS[:2]] == [1, 1]
    signed_in(Provider(registered(provider)))
    assert [provider.calls.count(path) for path in PATHS[:2]] == [2, 2]
    moment += 3601
    provider.keys = []
    assert refused(lambda: signed_in(kit)) == "kid", "a key that was withdrawn is believed for an hour at most"


def test_an_unknown_key_is_asked_for_at_once_and_then_not_for_ten_seconds(
    provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = 1000.0
    monkeypatch.setattr(kit_provider, "monotonic", lambda: moment)
    kit = Provider(registered(provider))
    signed_in(kit)
    provider.header = {"kid": "inconnue"}
    for _ in range(5):
        assert refused(lambda: signed_in(kit)) == "kid"
    assert provider.calls.count("/jwks.json") == 2
    new = RSAKey.generate_key(2048, {"kid": "rsa-2", "use": "sig", "alg": "RS256"}, private=True)
    provider.header, provider.keys, provider.signing_key = {}, [new], new
    assert refused(lambda: signed_in(kit)) == "kid"
    moment += 11
    assert signed_in(kit).claims["sub"] == provider.sub


def test_a_key_that_nobody_has_heard_of_does_not_shut_the_others_out(
    provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever posts logout tokens chooses their `kid`: when the keys cannot be read anew, the known ones stay good."""
    moment = 1000.0
    monkeypatch.setattr(kit_provider, "monotonic", lambda: moment)
    kit = Provider(registered(provider))
    signed_in(kit)
    provider.bodies["/jwks.json"] = (503, b"")
    provider.header = {"kid": "inconnue"}
    for _ in range(3):
        with pytest.raises(ProviderDownError):
            signed_in(kit)
    assert provider.calls.count("/jwks.json") == 2, "asked once more, and not again for a moment"
    provider.header = {}
    assert signed_in(kit).claims["sub"] == provider.sub
    assert provider.calls.count("/jwks.json") == 2
    moment += 6
    provider.header = {"kid": "inconnue"}
    provider.bodies.clear()
    assert refused(lambda: signed_in(kit)) == "kid"


def test_those_who_come_while_the_provider_is_silent_wait_for_one_answer_and_not_for_one_each(
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
                kit.departure()
            return caught.value.check

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(leave, range(8))) == ["discovery"] * 8
        assert len(silent.asked) == 1
        moment += 6
        leave(0)
        assert len(silent.asked) == 2, "after a moment it is asked again"
        over.set()


def test_nobody_waits_for_the_keys_that_an_unknown_name_asks_for(provider: FakeProvider) -> None:
    keys = json.dumps({"keys": [RSA.as_dict(private=False)]}).encode()
    asked, over = Event(), Event()

    def late(_handler: object) -> Answer:
        asked.set()
        over.wait(20)
        return 200, {}, keys

    stranger = jwt.encode({"alg": "RS256", "kid": "inconnue", "typ": "logout+jwt"}, {}, RSA)
    with listening_ent(None) as elsewhere, ThreadPoolExecutor(1) as pool:
        elsewhere.served["/keys"] = (200, {}, keys)
        provider.metadata_lie = {"jwks_uri": f"http://127.0.0.1:{elsewhere.port}/keys"}
        kit = Provider(registered(provider))
        signed_in(kit)
        elsewhere.served["/keys"] = late
        asking = pool.submit(kit.checks.logout_token, stranger)
        try:
            assert asked.wait(20)
            assert signed_in(kit).claims["sub"] == provider.sub
            assert not asking.done(), "the keys are asked for all the while"
        finally:
            over.set()
        with pytest.raises(CheckError, match="does not publish"):
            asking.result()


# --- whatever comes


CHECKS = Checks(
    Registration(issuer="https://connexion.exemple.fr", client_id="ent", redirect_uri=CALLBACK),
    lambda _afresh: {"keys": [RSA.as_dict(private=False)]},
)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
NAMES = (
    "iss",
    "sub",
    "aud",
    "azp",
    "exp",
    "iat",
    "nbf",
    "nonce",
    "at_hash",
    "sid",
    "jti",
    "events",
    "auth_time",
    "acr",
)
READERS: list[Callable[[object], object]] = [
    lambda token: CHECKS.id_token(token, Attempt("s", "n", "v", "", "60", "a"), "at-x"),
    lambda token: CHECKS.renewal(token, {"sub": "x"}, "at-x"),
    CHECKS.logout_token,
]


@given(st.text() | st.from_regex(r"[\w.=-]*", fullmatch=True) | JSON)
def test_what_is_no_token_is_refused_and_nothing_worse(token: object) -> None:
    for read in READERS:
        with pytest.raises(CheckError):
            read(token)


@given(st.dictionaries(st.sampled_from(NAMES), JSON), st.dictionaries(st.sampled_from(["typ", "cty"]), st.text()))
def test_whatever_a_signed_token_says_it_is_refused_and_nothing_worse(claims: Claims, header: Claims) -> None:
    now = int(time.time())
    good = {"iss": "https://connexion.exemple.fr", "aud": "ent", "iat": now, "exp": now + 60} | claims
    token = jwt.encode({**header, "alg": "RS256", "kid": "rsa-1"}, good, RSA, algorithms=["RS256"])
    for read in READERS:
        with pytest.raises(CheckError):
            read(token)


@given(JSON)
def test_whatever_userinfo_says_it_is_refused_and_nothing_worse(told: object) -> None:
    with pytest.raises(CheckError):
        CHECKS.userinfo(told, "quelqu-un")
