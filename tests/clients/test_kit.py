"""`clients.kit` without a framework: its requests, valid responses, and one false response for each check.

False ID tokens are in test_kit_checks.py, false logout tokens in test_kit_logout_tokens.py.
"""

import base64
import itertools
import json
import time
import warnings
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from joserfc import jwt
from joserfc.jwk import RSAKey

from clients.kit import Provider
from clients.kit.checks import Attempt, CheckError, Checks, Claims, ProviderDownError, ProviderRefusedError
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
from tests.clients.kit_steps import CALLBACK, OFFLINE, catch_failed_check, complete_sign_in, registered
from tests.rows import each_row


def test_a_sign_in_asks_all_that_its_answer_proves(provider: FakeProvider) -> None:
    kit = Provider(registered(provider))
    url, attempt = kit.start_sign_in("/devoirs", login_hint="profil:parent", ui_locales="en")
    parameters = parse_qs(urlsplit(url).query)
    sent = {"response_type": "code", "client_id": CLIENT_ID, "redirect_uri": CALLBACK, "code_challenge_method": "S256"}
    assert {name: parameters[name] for name in sent} == {name: [value] for name, value in sent.items()}
    assert (parameters["login_hint"], parameters["ui_locales"]) == (["profil:parent"], ["en"])
    assert (parameters["state"], parameters["nonce"]) == ([attempt.state], [attempt.nonce])
    assert attempt.code_verifier not in url
    assert {len(value) for value in (attempt.state, attempt.nonce, attempt.code_verifier)} == {43}
    assert attempt.target == "/devoirs"
    _, again = kit.start_sign_in("/devoirs")
    assert not {again.state, again.nonce, again.code_verifier} & {attempt.state, attempt.nonce, attempt.code_verifier}
    person = complete_sign_in(kit)
    assert person.claims["sub"] == person.userinfo["sub"] == provider.sub
    assert person.refresh_token is None


def test_secrets_are_not_in_the_printed_objects(provider: FakeProvider) -> None:
    kit = Provider(registered(provider, scope=OFFLINE))
    person, (_, attempt) = complete_sign_in(kit), kit.start_sign_in()
    printed = repr((kit.registration, person, attempt))
    for secret in (CLIENT_SECRET, person.access_token, person.refresh_token, person.id_token, attempt.code_verifier):
        assert secret
        assert secret not in printed


# --- signatures


@each_row(("algorithm", "registration"), itertools.product(KEYS, KEYS))
def test_the_registered_signature_algorithm_alone_is_accepted(
    provider: FakeProvider, algorithm: str, registration: str
) -> None:
    # OpenID Connect Core 1.0, 3.1.3.7, 7: "The alg value SHOULD be … the algorithm sent by the Client in the
    # id_token_signed_response_alg parameter during Registration".
    provider.keys, provider.signing_key, provider.algorithm = list(KEYS.values()), KEYS[algorithm], algorithm
    kit = Provider(registered(provider, id_token_alg=registration))
    if algorithm == registration:
        assert complete_sign_in(kit).claims["sub"] == provider.sub
    else:
        assert catch_failed_check(lambda: complete_sign_in(kit)) == "alg"


@pytest.mark.parametrize("registration", ["none", "HS256", "", "RS256"])
def test_unsigned_token_is_refused_for_every_registration(provider: FakeProvider, registration: str) -> None:
    kit = Provider(registered(provider, id_token_alg=registration))
    for forge in (unsigned, signed_with_public_key):
        provider.sign = forge
        assert catch_failed_check(lambda: complete_sign_in(kit)) == "alg"


def test_a_key_for_one_signature_checks_no_other(provider: FakeProvider) -> None:
    # RFC 7517, 4.4: "The alg parameter identifies the algorithm intended for use with the key".
    provider.keys, provider.signing_key, provider.header = [KEYS["PS256"]], RSA, {"kid": "ps-1"}
    assert catch_failed_check(lambda: complete_sign_in(Provider(registered(provider)))) == "key"


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
def test_an_invalid_key_is_refused(provider: FakeProvider, lie: Claims, check: str) -> None:
    jwk = change(**lie)(dict(RSA.as_dict(private=False)))
    provider.bodies["/jwks.json"] = (200, json.dumps({"keys": [7, "clé", jwk]}).encode())
    assert catch_failed_check(lambda: complete_sign_in(Provider(registered(provider)))) == check


def test_a_weak_key_is_refused(provider: FakeProvider) -> None:
    # RFC 7518, 3.3: "A key of size 2048 bits or larger MUST be used with these algorithms".
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a warning of the library about the test's key
        weak = RSAKey.generate_key(1024, {"kid": "rsa-1", "use": "sig", "alg": "RS256"}, private=True)
        provider.keys, provider.sign = [weak], lambda claims: jwt.encode({"alg": "RS256", "kid": "rsa-1"}, claims, weak)
    assert catch_failed_check(lambda: complete_sign_in(Provider(registered(provider)))) == "key"


@pytest.mark.parametrize("header", [{"crit": ["exp"], "exp": 1}, {"b64": True, "crit": ["b64"]}])
def test_an_extension_that_is_not_understood_is_refused(provider: FakeProvider, header: Claims) -> None:
    # RFC 7515, 4.1.11: "If any of the listed extension Header Parameters are not understood and supported by the
    # recipient, then the JWS is invalid".
    kit, claims = Provider(registered(provider)), {"iss": provider.issuer}
    parts = ({"alg": "RS256", "kid": "rsa-1", **header}, claims)
    token = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
    provider.sign = lambda _claims: f"{token}.AAAA"
    assert catch_failed_check(lambda: complete_sign_in(kit)) == "crit"


@pytest.mark.parametrize("typ", ["logout+jwt", "at+jwt", "dpop+jwt", 7, ""])
def test_a_token_of_another_type_is_no_id_token(provider: FakeProvider, typ: object) -> None:
    # RFC 8725, 3.12: "Use Mutually Exclusive Validation Rules for Different Kinds of JWTs".
    good = FakeProvider.id_token(provider, {"nonce": "n"}, "at-x").split(".")[1]
    head = base64.urlsafe_b64encode(json.dumps({"alg": "RS256", "kid": "rsa-1", "typ": typ}).encode()).rstrip(b"=")
    signing = f"{head.decode()}.{good}"
    token = f"{signing}.{_signature(signing)}"
    checks = Checks(registered(provider), lambda _afresh: {"keys": [RSA.as_dict(private=False)]})
    expected = "signature" if typ == 7 else "typ"
    assert catch_failed_check(lambda: checks.id_token(token, Attempt("s", "n", "v"), "at-x")) == expected


def _signature(signing: str) -> str:
    assert RSA.private_key is not None
    signature = RSA.private_key.sign(signing.encode(), padding.PKCS1v15(), hashes.SHA256())
    return base64.urlsafe_b64encode(signature).rstrip(b"=").decode()


# --- requested values: max_age, acr_values


@pytest.mark.parametrize(
    ("options", "lie", "check"),
    [
        ({"max_age": "60"}, {"auth_time": int(time.time()) - 3600}, "auth_time"),
        ({"max_age": "60"}, {"auth_time": None}, "auth_time"),
        ({"max_age": "60"}, {"auth_time": "hier"}, "auth_time"),
        ({"acr_values": "a b"}, {"acr": "c"}, "acr"),
        ({"acr_values": "a b"}, {}, "acr"),
        ({"acr_values": "a b"}, {"acr": ["a"]}, "acr"),
    ],
)
def test_a_sign_in_that_differs_from_the_request_is_refused(
    provider: FakeProvider, options: dict[str, str], lie: Claims, check: str
) -> None:
    # OpenID Connect Core 1.0, 3.1.3.7, 12 and 13.
    kit = Provider(registered(provider))
    provider.claims_lie = change(**lie)
    assert catch_failed_check(lambda: complete_sign_in(kit, **options)) == check
    provider.claims_lie = change(acr="b")
    assert complete_sign_in(kit, **options).claims["acr"] == "b"


# --- renewed tokens


def test_tokens_are_renewed_and_the_refresh_token_changes(provider: FakeProvider) -> None:
    kit = Provider(registered(provider, scope=OFFLINE))
    first = complete_sign_in(kit)
    second = kit.renew_tokens(first)
    third = kit.renew_tokens(second)
    assert len({first.refresh_token, second.refresh_token, third.refresh_token}) == 3
    assert len({first.access_token, second.access_token, third.access_token}) == 3
    assert third.claims["nonce"] == first.claims["nonce"], "what the sign-in proved stays known"
    with pytest.raises(ProviderRefusedError, match="invalid_grant"):
        kit.renew_tokens(first)


def test_renewal_keeps_the_tokens_that_the_response_omits(provider: FakeProvider) -> None:
    # RFC 6749, 6: the answer may hold no refresh token; Core 1.0, 12.2: "it might not contain an id_token".
    kit = Provider(registered(provider, scope=OFFLINE))
    first = complete_sign_in(kit)
    provider.token_lie = {"id_token": None, "refresh_token": None}
    second = kit.renew_tokens(first)
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
def test_a_renewed_id_token_with_a_wrong_claim_is_refused(provider: FakeProvider, lie: Claims, check: str) -> None:
    # OpenID Connect Core 1.0, 12.2.
    kit = Provider(registered(provider, scope=OFFLINE))
    person = complete_sign_in(kit)
    provider.claims_lie = change(**lie)
    assert catch_failed_check(lambda: kit.renew_tokens(person)) == check


# --- UserInfo


@pytest.mark.parametrize("algorithm", KEYS)
def test_a_signed_userinfo_is_read(provider: FakeProvider, algorithm: str) -> None:
    key = KEYS[algorithm]
    provider.keys, provider.userinfo_key = [RSA, key], key
    userinfo = complete_sign_in(Provider(registered(provider, userinfo_alg=algorithm))).userinfo
    assert userinfo["given_name"] == "Noémie"
    assert not {"iss", "aud"} & userinfo.keys()


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
def test_a_signed_userinfo_with_a_wrong_claim_is_refused(provider: FakeProvider, lie: Claims, check: str) -> None:
    # OpenID Connect Core 1.0, 5.3.2 and 5.3.4.
    provider.userinfo_key, provider.userinfo_lie = RSA, change(**lie)
    assert catch_failed_check(lambda: complete_sign_in(Provider(registered(provider, userinfo_alg="RS256")))) == check


def test_userinfo_is_of_the_kind_that_was_registered(provider: FakeProvider) -> None:
    assert (
        catch_failed_check(lambda: complete_sign_in(Provider(registered(provider, userinfo_alg="RS256"))))
        == "userinfo_signed"
    )
    provider.userinfo_key = OTHER_RSA
    assert (
        catch_failed_check(lambda: complete_sign_in(Provider(registered(provider, userinfo_alg="RS256"))))
        == "signature"
    )
    provider.userinfo_key = EC
    assert catch_failed_check(lambda: complete_sign_in(Provider(registered(provider, userinfo_alg="RS256")))) == "alg"
    assert catch_failed_check(lambda: complete_sign_in(Provider(registered(provider)))) == "userinfo"


def test_the_access_token_travels_in_a_header_and_no_netrc_takes_its_place(
    provider: FakeProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login quelquun password d-autre\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    kit = Provider(registered(provider))
    person = complete_sign_in(kit)
    kit.charter(person.access_token)
    sent = dict(provider.headers)
    assert sent["/userinfo"] == sent["/charter"] == f"Bearer {person.access_token}"
    basic = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
    assert sent["/token"] == f"Basic {basic}"
    assert sent["/.well-known/openid-configuration"] == sent["/jwks.json"] == ""


# --- the client


def test_the_client_s_name_and_secret_are_encoded_as_a_form_is(provider: FakeProvider) -> None:
    # RFC 6749, 2.3.1: "The client identifier is encoded using the application/x-www-form-urlencoded encoding".
    provider.client_id, provider.client_secret = "ent:é %2B", "s:€+ &="
    kit = Provider(registered(provider, client_id=provider.client_id, client_secret=provider.client_secret))
    assert complete_sign_in(kit).claims["aud"] == provider.client_id


def test_a_public_client_names_itself_in_the_form(provider: FakeProvider) -> None:
    provider.client_secret = ""
    assert complete_sign_in(Provider(registered(provider, client_secret=""))).claims["sub"] == provider.sub
    assert dict(provider.headers)["/token"] == ""


def test_a_wrong_secret_is_the_provider_s_refusal(provider: FakeProvider) -> None:
    with pytest.raises(ProviderRefusedError, match=r"^invalid_client$") as caught:
        complete_sign_in(Provider(registered(provider, client_secret="autre")))
    assert caught.value.check == "token"


# --- the answer (RFC 9207)


def test_an_answer_needs_iss_when_the_provider_advertises_it(provider: FakeProvider) -> None:
    # RFC 9207, 2.4: "If the authorization server … indicates its support for … iss … clients MUST reject
    # authorization responses without the iss parameter".
    kit = Provider(registered(provider))
    assert catch_failed_check(lambda: kit.parse_answer("code=c&state=s")) == "response_iss"
    assert (
        catch_failed_check(lambda: kit.parse_answer("code=c&state=s&iss=https%3A%2F%2Failleurs.example"))
        == "response_iss"
    )
    provider.metadata_lie = {"authorization_response_iss_parameter_supported": None}
    other = Provider(registered(provider))
    assert other.parse_answer("code=c&state=s") == {"code": "c", "state": "s"}
    assert catch_failed_check(lambda: other.parse_answer("code=c&iss=https%3A%2F%2Failleurs.example")) == "response_iss"


def test_an_answer_with_a_repeated_parameter_is_refused(provider: FakeProvider) -> None:
    kit = Provider(registered(provider))
    assert catch_failed_check(lambda: kit.parse_answer("code=c&code=d&state=s")) == "duplicate"
    assert catch_failed_check(lambda: kit.finish_sign_in({"state": "s"}, Attempt("s", "n", "v"))) == "code"
    with pytest.raises(ProviderRefusedError, match=r"^access_denied$"):
        kit.finish_sign_in({"error": "access_denied", "code": "c"}, Attempt("s", "n", "v"))
    assert "/token" not in provider.calls


# --- the charter, the sign-out


def test_the_charter_is_read_and_accepted(provider: FakeProvider) -> None:
    kit = Provider(registered(provider))
    token = complete_sign_in(kit).access_token
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
def test_only_409_means_that_another_charter_is_current(
    provider: FakeProvider, status: int, error: type[CheckError]
) -> None:
    kit = Provider(registered(provider))
    token = complete_sign_in(kit).access_token
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
