"""`clients.kit` refuses each false value by its own check: ID tokens, keys, vectors and arbitrary input; its folder."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st
from joserfc import jwt

from clients.kit import Provider, Registration, provider as kit_provider
from clients.kit.checks import Attempt, CheckError, Checks, ProviderDownError, Vector, parse_vectors
from idp.accounts.models import Degree
from idp.clients.released import guardian_vector
from idp.paths import CHECKOUT
from tests.architecture.tree import imported
from tests.clients.conftest import change
from tests.clients.fake_provider import (
    CLIENT_ID,
    EC,
    KEYS,
    OTHER_RSA,
    RSA,
    Claims,
    FakeProvider,
    signed_with_public_key,
    unsigned,
)
from tests.clients.kit_steps import CALLBACK, catch_failed_check, complete_sign_in, registered
from tests.rows import each_row


def _failed_check(provider: FakeProvider) -> str:
    return catch_failed_check(lambda: complete_sign_in(Provider(registered(provider))))


LIES: dict[str, tuple[Callable[[Claims], Claims], str]] = {
    "another issuer": (change(iss="https://ailleurs.example"), "iss"),
    "the issuer with a slash": (lambda c: c | {"iss": c["iss"] + "/"}, "iss"),
    "no issuer": (change(iss=None), "iss"),
    "another audience": (change(aud="autre-ent"), "aud"),
    "our audience among others": (change(aud=[CLIENT_ID, "autre-ent"]), "aud"),
    "no audience": (change(aud=None), "aud"),
    "an empty audience": (change(aud=[]), "aud"),
    "another authorized party": (change(azp="autre-ent"), "azp"),
    "expired": (change(exp=int(time.time()) - 3600), "exp"),
    "no expiry": (change(exp=None), "exp"),
    "an expiry in words": (change(exp="demain"), "exp"),
    "an expiry that is a boolean": (change(exp=True), "exp"),
    "issued an hour ago": (change(iat=int(time.time()) - 3600), "iat"),
    "issued tomorrow": (change(iat=int(time.time()) + 86400), "iat"),
    "not a number": (change(iat=float("nan")), "iat"),
    "no issue date": (change(iat=None), "iat"),
    "not valid yet": (change(nbf=int(time.time()) + 3600), "nbf"),
    "another nonce": (change(nonce="autre"), "nonce"),
    "no nonce": (change(nonce=None), "nonce"),
    "a nonce that is a list": (change(nonce=["x"]), "nonce"),
    "nobody": (change(sub=None), "sub"),
    "an empty person": (change(sub=""), "sub"),
    "a person too long": (change(sub="x" * 256), "sub"),
    "another access token": (change(at_hash="AAAAAAAAAAAAAAAAAAAAAA"), "at_hash"),
}


@each_row("lie", LIES)
def test_an_id_token_with_a_wrong_claim_is_refused(provider: FakeProvider, lie: str) -> None:
    provider.claims_lie, check = LIES[lie]
    assert _failed_check(provider) == check
    assert "/userinfo" not in provider.calls, "no access token is used before the ID token is believed"


def _with_another_payload(claims: Claims) -> str:
    header, _, signature = jwt.encode({"alg": "RS256", "kid": RSA.kid}, claims, RSA).split(".")
    return f"{header}.{unsigned(claims | {'sub': 'autre'}).split('.')[1]}.{signature}"


SIGNATURES: dict[str, tuple[dict[str, object], str]] = {
    "a key of the same name that is not published": ({"signing_key": OTHER_RSA}, "signature"),
    "no signature": ({"sign": unsigned}, "alg"),
    "our public key as a shared secret": ({"sign": signed_with_public_key}, "alg"),
    "a signature cut off": ({"sign": lambda _claims: "a.b"}, "id_token"),
    "five parts": ({"sign": lambda _claims: "a.b.c.d.e"}, "id_token"),
    "a key that is published nowhere": ({"header": {"kid": "inconnue"}}, "kid"),
    "a key of another kind": ({"header": {"kid": "ec-1"}}, "key"),
    "another signature than the one registered": ({"signing_key": EC, "algorithm": "ES256"}, "alg"),
    "no key's name": ({"header": {"kid": ""}}, "kid"),
    "a payload of another token": ({"sign": _with_another_payload}, "signature"),
}


@pytest.mark.parametrize("forgery", SIGNATURES)
def test_an_invalid_signature_is_refused(provider: FakeProvider, forgery: str) -> None:
    changes, check = SIGNATURES[forgery]
    for name, value in changes.items():
        setattr(provider, name, value)
    assert _failed_check(provider) == check


@each_row("sub", ["quelqu-un-d-autre", None])
def test_userinfo_about_somebody_else_is_refused(provider: FakeProvider, sub: str | None) -> None:
    provider.userinfo_lie = change(sub=sub)
    assert _failed_check(provider) == "userinfo_sub"


@each_row("lie", [{"id_token": None}, {"id_token": 5}])
def test_a_token_response_without_id_token_is_refused(provider: FakeProvider, lie: Claims) -> None:
    provider.token_lie = lie
    assert _failed_check(provider) == "id_token"


@each_row("lie", [{"access_token": None}, {"token_type": "DPoP"}, {"access_token": "é"}])
def test_a_token_response_without_a_bearer_token_is_refused(provider: FakeProvider, lie: Claims) -> None:
    provider.token_lie = lie
    with pytest.raises(ProviderDownError):
        complete_sign_in(Provider(registered(provider)))


def test_a_description_of_another_provider_is_refused_and_not_remembered(provider: FakeProvider) -> None:
    kit = Provider(registered(provider))
    provider.metadata_lie = {"issuer": "https://ailleurs.example"}
    assert catch_failed_check(kit.start_sign_in) == "metadata_issuer"
    provider.metadata_lie = {}
    assert complete_sign_in(kit).claims["sub"] == provider.sub


@pytest.mark.parametrize(
    ("published", "outcome"),
    [
        ([RSA], "believed"),
        ([RSA, EC, KEYS["PS256"]], "believed"),
        ([RSA, {**OTHER_RSA.as_dict(private=False), "use": "enc"}], "believed"),
        ([RSA, {**OTHER_RSA.as_dict(private=False), "kid": "rsa-2"}], "kid"),
        ([RSA, {"kty": "RSA", "n": "AQAB", "e": "AQAB"}], "kid"),
        ([{**RSA.as_dict(private=False), "kid": None}], "believed"),
        ([{**RSA.as_dict(private=False), "kid": None, "alg": None, "use": None}], "believed"),
        ([EC, KEYS["PS256"]], "kid"),
        ([], "kid"),
        ([OTHER_RSA], "signature"),
    ],
)
def test_a_token_without_kid_is_accepted_when_one_key_fits(
    provider: FakeProvider, published: list[Any], outcome: str
) -> None:
    # OpenID Connect Core 1.0, 10.1: "If there are multiple keys in the referenced JWK Set document, a kid value MUST
    # be provided in the JOSE Header".
    jwks = [key if isinstance(key, dict) else key.as_dict(private=False) for key in published]
    jwks = [{name: value for name, value in key.items() if value is not None} for key in jwks]
    provider.bodies["/jwks.json"] = (200, json.dumps({"keys": jwks}).encode())
    provider.header = {"kid": None}
    kit = Provider(registered(provider))
    if outcome == "believed":
        assert complete_sign_in(kit).claims["sub"] == provider.sub
    else:
        assert catch_failed_check(lambda: complete_sign_in(kit)) == outcome


def test_a_token_without_kid_finds_the_key_that_took_the_place_of_another(
    provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    # OpenID Connect Core 1.0, 10.1.1: the provider rotates keys; without `kid` the kit requests them again.
    moment = 1000.0
    monkeypatch.setattr(kit_provider, "monotonic", lambda: moment)
    provider.header = {"kid": None}
    kit = Provider(registered(provider))
    complete_sign_in(kit)
    provider.keys, provider.signing_key = [OTHER_RSA], OTHER_RSA
    moment += 11
    assert complete_sign_in(kit).claims["sub"] == provider.sub


def read(*values: Any) -> list[Vector]:
    return parse_vectors({"FrEduVecteur": list(values)})


def test_a_parent_has_one_for_each_child_and_school() -> None:
    first, second = read("2|LEROY-VANDEPUTTE|Noémie|701001|0599001N", "1|LEROY-VANDEPUTTE|Noémie|A-12|0620001A")
    assert first == ("2", "LEROY-VANDEPUTTE", "Noémie", "701001", "0599001N")
    assert (second.profile, second.family_name, second.given_name) == ("1", "LEROY-VANDEPUTTE", "Noémie")
    assert (second.student_id, second.uai) == ("A-12", "0620001A")


@pytest.mark.parametrize("value", ["4|||701294|0790031E", "3|LEROY|Malo|701294|0790031E"])
def test_a_pupil_has_one_often_without_names(value: str) -> None:
    assert [vector.student_id for vector in read(value)] == ["701294"]
    with pytest.raises(CheckError):
        read(value, value)
    with pytest.raises(CheckError):
        read(value, "2|LEROY|Noémie|701001|0599001N")


def test_names_are_kept_letter_by_letter() -> None:
    [vector] = read("2| d’ARC |Jehanne  Marie-Ève|1|0599001N")
    assert (vector.family_name, vector.given_name) == (" d’ARC ", "Jehanne  Marie-Ève")


def test_missing_claim_is_an_empty_list() -> None:
    assert parse_vectors({}) == []
    assert read() == []


@each_row(
    "value",
    [
        "",
        "2",
        "2|LEROY|Noémie|701001",
        "2|LEROY|Noémie|701001|",
        "2|LEROY|Noémie||0599001N",
        "2|LEROY|Noémie| |0599001N",
        "2||Noémie|701001|0599001N",
        "2|LEROY||701001|0599001N",
        "5|LEROY|Noémie|701001|0599001N",
        "0|LEROY|Noémie|701001|0599001N",
        "22|LEROY|Noémie|701001|0599001N",
        "2|LEROY|Noémie|701001|0599001N|x",
        "2|LEROY|Noémie|701001|0599001",
        "2|LEROY|Noémie|701001|0599001n",
        "2|LEROY|Noémie|701001|0599001N\n",
        "2;LEROY;Noémie;701001;0599001N",
        None,
        7,
        ["2", "LEROY", "Noémie", "701001", "0599001N"],
    ],
)
def test_invalid_vector_is_refused(value: object) -> None:
    with pytest.raises(CheckError) as caught:
        read("2|LEROY|Noémie|701001|0599001N", value)
    assert caught.value.check == "FrEduVecteur"


@each_row("given_claim", [None, "", 7, {}])
def test_a_claim_that_is_no_list_of_vectors_is_refused(given_claim: object) -> None:
    with pytest.raises(CheckError):
        parse_vectors({"FrEduVecteur": given_claim})


NAMES = st.text(min_size=1, max_size=20).filter(lambda name: bool(name.replace("|", "").strip()))


@given(st.sampled_from(Degree), NAMES, NAMES, st.from_regex(r"[0-9A-Z-]{1,12}", fullmatch=True))
def test_vectors_of_the_provider_are_parsed(degree: Degree, family: str, given_name: str, student: str) -> None:
    text = guardian_vector(degree, family_name=family, given_name=given_name, student_id=student, uai="0599001N")
    [vector] = read(text)
    assert vector.profile == {Degree.PRIMARY: "1", Degree.SECONDARY: "2"}[degree]
    assert (vector.family_name, vector.given_name) == (family.replace("|", " "), given_name.replace("|", " "))
    assert (vector.student_id, vector.uai) == (student, "0599001N")


KIT = CHECKOUT / "clients" / "kit"
REFERENCE = CHECKOUT / "clients" / "reference"
FILES = sorted(KIT.glob("**/*.py"))


def test_kit_is_shorter_than_650_lines() -> None:
    lengths = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {"checks.py", "provider.py", "flask_ent.py"} <= lengths.keys()
    assert sum(lengths.values()) < 650, lengths


def test_kit_imports_two_libraries_and_flask_in_one_module() -> None:
    allowed = {*sys.stdlib_module_names, "requests", "joserfc"}
    imports = {path.name: {name.partition(".")[0] for _, name in imported(path)} for path in FILES}
    own = {path.stem for path in FILES}  # relative imports are listed without their dot
    assert {name: needed - allowed - own for name, needed in imports.items() if needed - allowed - own} == {
        "flask_ent.py": {"flask"}
    }


def test_the_reference_imports_the_kit_alone() -> None:
    allowed = {*sys.stdlib_module_names, "requests"}
    for path in REFERENCE.glob("*.py"):
        foreign = {name for _, name in imported(path) if name.partition(".")[0] not in allowed}
        assert all(name.startswith(("clients.kit", "clients.reference")) for name in foreign), foreign


def test_kit_works_under_another_package_name(tmp_path: Path) -> None:
    shutil.copytree(KIT, tmp_path / "vendored" / "oidc", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "vendored" / "__init__.py").touch()
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "import vendored.oidc.flask_ent, sys; print('idp' in sys.modules)"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("False\n", "")
    assert (tmp_path / "vendored" / "oidc" / "py.typed").exists()


CHECKS = Checks(
    Registration(issuer="https://connexion.exemple.fr", client_id="ent", redirect_uri=CALLBACK),
    lambda _afresh: {"keys": [RSA.as_dict(private=False)]},
)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
CLAIM_NAMES = (
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
    lambda token: CHECKS.renewed_id_token(token, {"sub": "x"}, "at-x"),
    CHECKS.logout_token,
]


@given(st.text() | st.from_regex(r"[\w.=-]*", fullmatch=True) | JSON)
def test_value_that_is_no_token_raises_check_error(token: object) -> None:
    for read in READERS:
        with pytest.raises(CheckError):
            read(token)


@given(st.dictionaries(st.sampled_from(CLAIM_NAMES), JSON), st.dictionaries(st.sampled_from(["typ", "cty"]), st.text()))
def test_signed_token_with_nonsense_raises_check_error(claims: Claims, header: Claims) -> None:
    now = int(time.time())
    good = {"iss": "https://connexion.exemple.fr", "aud": "ent", "iat": now, "exp": now + 60} | claims
    token = jwt.encode({**header, "alg": "RS256", "kid": "rsa-1"}, good, RSA, algorithms=["RS256"])
    for read in READERS:
        with pytest.raises(CheckError):
            read(token)


@given(JSON)
def test_userinfo_with_nonsense_raises_check_error(userinfo: object) -> None:
    with pytest.raises(CheckError):
        CHECKS.userinfo(userinfo, "quelqu-un")
