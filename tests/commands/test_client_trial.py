"""`idp client test`, against real servers: what an integrator would find by hand is found and said."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from flask import Flask
from joserfc.jwk import ECKey
from sqlalchemy import update

from idp.clients.models import Client
from idp.config import Settings
from idp.db import db
from idp.oidc import outgoing, registration
from tests import signatures
from tests.builders import COLLEGE, LYCEE, Build
from tests.commands.conftest import Run
from tests.databases import settings_for
from tests.protocol.ent_server import FINE, Answer, EntServer, Resolver, authority, listening_ent
from tests.relying_party import RelyingParty

HOSTS = ("ent.test", "connexion.test")
METADATA = "/.well-known/openid-configuration"
REFUSED: Answer = (400, {}, b'{"error": "invalid_request"}')
sqlite_alone = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # nothing of it is the database's


@dataclass
class Place:
    """The provider as it is reached from outside, and the ENT's servers: its pages, and its back channel."""

    provider: EntServer
    ent: EntServer
    back: EntServer

    @property
    def host(self) -> str:
        return f"ent.test:{self.ent.port}"


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    made = Resolver(monkeypatch)
    made.hosts = {host: ["127.0.0.1"] for host in (*HOSTS, "interne.test", "autre.test")}
    return made


@pytest.fixture
def place(resolver: Resolver, tmp_path: Path) -> Iterator[Place]:
    chain = authority(tmp_path, *HOSTS, "interne.test").chain
    with listening_ent(chain) as provider, listening_ent(chain) as ent, listening_ent(chain) as back:
        ent.served = {"/": FINE, "/cb": (400, {}, b"no code"), "/bye": FINE}
        back.next = [REFUSED]
        yield Place(provider, ent, back)


@pytest.fixture
def settings(database_url: str, place: Place, tmp_path: Path) -> Settings:
    issuer = place.provider.uri("connexion.test", "")
    trusted = tmp_path / "ent.test.root.pem"
    return settings_for(database_url, issuer=issuer, ca_bundle=trusted, outgoing_allow=("ent.test",))


@pytest.fixture(autouse=True)
def _published(app: Flask, settings: Settings, place: Place) -> None:
    """What the provider's server gives is what the application gives."""
    for path in (METADATA, "/jwks.json"):
        content = app.test_client().get(path, base_url=settings.issuer).data
        place.provider.served[path] = (200, {"Content-Type": "application/json"}, content)


@pytest.fixture
def ent(build: Build, place: Place) -> RelyingParty:
    build.school()
    return build.ent(host=place.host)


def tried(act: Run, client_id: str) -> tuple[int, list[dict[str, Any]]]:
    answer = act("client", "test", client_id, "--json")
    assert answer.err == ""
    return answer.code, json.loads(answer.out)


def wrong(act: Run, ent: RelyingParty) -> list[tuple[str, str]]:
    """Return the checks that failed, and hold the exit code to them."""
    code, found = tried(act, ent.client_id)
    bad = [(finding["check"], finding["message"]) for finding in found if not finding["ok"]]
    assert code == (1 if bad else 0)
    return bad


def public_keys() -> bytes:
    key = ECKey.import_key(ec.generate_private_key(ec.SECP256R1()).public_key())
    return json.dumps({"keys": [key.as_dict(private=False)]}).encode()


def test_an_ent_that_is_ready(act: Run, build: Build, place: Place) -> None:
    build.school()
    callback, sector = f"https://{place.host}/cb", place.ent.uri(path="/sector.json")
    place.ent.served |= {
        "/sector.json": (200, {}, json.dumps([callback]).encode()),
        "/keys.json": (200, {}, public_keys()),
        "/start": FINE,
        "/front": FINE,
    }
    ent = build.ent(
        host=place.host,
        auth_method="private_key_jwt",
        auth_alg="ES256",
        jwks_uri=place.ent.uri(path="/keys.json"),
        sector_identifier_uri=sector,
        initiate_login_uri=place.ent.uri(path="/start"),
        frontchannel_logout_uri=place.ent.uri(path="/front"),
        backchannel_logout_uri=place.back.uri(),
        userinfo_alg="RS256",
    )
    code, found = tried(act, ent.client_id)
    assert [finding for finding in found if not finding["ok"]] == []
    assert code == 0
    assert [finding["check"] for finding in found] == [
        "enabled", "school", "metadata", "issuer", "provider_keys", "redirect_uri", "post_logout_redirect_uri",
        "home_uri", "initiate_login_uri", "frontchannel_logout_uri", "jwks_uri", "sector_identifier_uri",
        "backchannel_logout_uri",
    ]  # fmt: skip
    assert all(set(finding) == {"check", "ok", "message"} for finding in found)
    assert {asked.method for asked in place.ent.asked} == {"GET"}

    place.back.next = [REFUSED]
    answer = act("client", "test", ent.client_id)
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert [line[:2] for line in lines] == ["✓ "] * len(found)
    assert f"✓ adresse de retour {callback} : répond (400), certificat bon" in lines


def test_the_token_of_the_trial_lacks_a_signature_and_nothing_else(
    act: Run, build: Build, place: Place, settings: Settings
) -> None:
    """Back-Channel Logout 1.0, 2.4: an ENT that refuses it does so for the signature, not for its form."""
    build.school()
    ent = build.ent(host=place.host, backchannel_logout_uri=place.back.uri())
    assert wrong(act, ent) == []
    [asked] = place.back.asked
    [token] = parse_qs(asked.body)["logout_token"]
    header, claims = signatures.read(token)
    assert (header["typ"], header["alg"]) == ("logout+jwt", "RS256")
    assert (claims["iss"], claims["aud"]) == (settings.issuer, ent.client_id)
    assert claims["events"] == {"http://schemas.openid.net/event/backchannel-logout": {}}
    assert "nonce" not in claims
    answer = place.provider.served["/jwks.json"]
    assert isinstance(answer, tuple)
    with pytest.raises(InvalidSignature):
        signatures.verified(token, signatures.by_name(json.loads(answer[2])))


def test_an_unknown_client(act: Run) -> None:
    answer = act("client", "test", "nobody")
    assert (answer.code, answer.out, answer.err) == (1, "", "Error: no client nobody\n")


def test_what_the_database_says(act: Run, build: Build, place: Place) -> None:
    build.school()
    ent = build.ent(host=place.host, uais=[COLLEGE, LYCEE])
    nowhere = build.ent("Horizon", host=place.host, uais=[])
    registration.disable(ent.client_id)
    (closed, told), (school, advice) = wrong(act, ent)
    assert (closed, school) == ("enabled", "school")
    assert f"idp client enable {ent.client_id}" in told
    assert LYCEE in advice
    assert f"idp school set {LYCEE}" in advice
    [(check_name, said)] = wrong(act, nowhere)
    assert check_name == "school"
    assert "aucun établissement" in said


def test_what_is_told_without_being_wrong(act: Run, build: Build, place: Place) -> None:
    build.school()
    ent = build.ent(host=place.host, charter="provider")
    registration.rotate_secret(ent.client_id)
    code, found = tried(act, ent.client_id)
    told = {finding["check"]: finding for finding in found}
    assert code == 0
    assert "aucune charte publiée" in told["charter"]["message"]
    assert "changement de secret en cours" in told["secret"]["message"]
    build.publish(ent, "1")
    registration.rotate_secret(ent.client_id, keep=registration.FORMER_SECRET_KEPT * 0)
    _, found = tried(act, ent.client_id)
    told = {finding["check"]: finding for finding in found}
    assert "une version est publiée" in told["charter"]["message"]
    assert "secret" not in told


@sqlite_alone
def test_a_redirect_is_an_answer_and_is_not_followed(act: Run, ent: RelyingParty, place: Place) -> None:
    place.ent.served["/"] = (302, {"Location": place.back.uri(path="/elsewhere")}, b"")
    assert wrong(act, ent) == []
    assert place.back.asked == []


@sqlite_alone
def test_an_ent_that_fails(act: Run, ent: RelyingParty, place: Place) -> None:
    place.ent.served["/cb"] = (500, {}, b"")
    [(name, said)] = wrong(act, ent)
    assert name == "redirect_uri"
    assert "répond 500" in said


@sqlite_alone
@pytest.mark.parametrize("status", [404, 410])
def test_an_address_with_nothing_behind_it(act: Run, build: Build, place: Place, status: int) -> None:
    """A page may refuse who comes without a code or by GET; one that is not there serves no parent."""
    build.school()
    paths = {"/start": "initiate_login_uri", "/front": "frontchannel_logout_uri", "/cb": "redirect_uri"}
    place.ent.served |= {"/start": (405, {}, b""), "/front": (401, {}, b""), "/home": (403, {}, b"")}
    ent = build.ent(
        host=place.host,
        home_uri=place.ent.uri(path="/home"),
        post_logout_redirect_uris=[place.ent.uri(path="/bye")],
        initiate_login_uri=place.ent.uri(path="/start"),
        frontchannel_logout_uri=place.ent.uri(path="/front"),
    )
    assert wrong(act, ent) == []
    paths |= {"/bye": "post_logout_redirect_uri", "/home": "home_uri"}
    for path, name in paths.items():
        before = place.ent.served[path]
        place.ent.served[path] = (status, {}, b"")
        [(found, said)] = wrong(act, ent)
        assert found == name
        assert f"répond {status}, il n’y a rien à cette adresse : corrigez-la (--{name.replace('_', '-')})" in said
        place.ent.served[path] = before


@sqlite_alone
def test_an_ent_that_is_down_or_has_no_name(act: Run, build: Build, place: Place, tmp_path: Path) -> None:
    build.school()
    with listening_ent(tmp_path / "ent.test.pem") as gone:
        host = f"ent.test:{gone.port}"
    ent = build.ent(host=host, home_uri="https://nulle-part.test/", backchannel_logout_uri=f"https://{host}/bc")
    found = wrong(act, ent)
    assert [name for name, _ in found] == [
        "redirect_uri", "post_logout_redirect_uri", "home_uri", "backchannel_logout_uri",
    ]  # fmt: skip
    assert all("rien n’écoute" in said for name, said in found if name != "home_uri")
    assert "le nom nulle-part.test est inconnu" in found[2][1]


@sqlite_alone
def test_wrong_certificates(act: Run, build: Build, place: Place, tmp_path: Path) -> None:
    build.school()
    folder = tmp_path / "other"
    folder.mkdir()
    with listening_ent(authority(folder, "horizon.test", "ent.test").chain) as stranger, listening_ent(None) as clear:
        ent = build.ent(
            host=place.host,
            home_uri=stranger.uri(path="/"),
            initiate_login_uri=clear.uri(path="/"),
            backchannel_logout_uri=stranger.uri(),
        )
        found = dict(wrong(act, ent))
    assert set(found) == {"home_uri", "initiate_login_uri", "backchannel_logout_uri"}
    assert "IDP_CA_BUNDLE" in found["home_uri"]
    assert "pas de TLS" in found["initiate_login_uri"]
    assert "IDP_CA_BUNDLE" in found["backchannel_logout_uri"]
    assert stranger.asked == []


@sqlite_alone
def test_a_certificate_of_another_name(act: Run, ent: RelyingParty, place: Place, monkeypatch: pytest.MonkeyPatch,
                                       ) -> None:  # fmt: skip
    registered = place.ent.uri("autre.test", "/")
    assert act("client", "set", ent.client_id, "--home-uri", registered).code == 0
    monkeypatch.setenv("IDP_OUTGOING_ALLOW", '["ent.test", "autre.test"]')
    [(name, said)] = wrong(act, ent)
    assert name == "home_uri"
    assert "il en faut un pour autre.test" in said


@sqlite_alone
def test_a_private_address_that_nobody_allowed(act: Run, build: Build, place: Place) -> None:
    build.school()
    ent = build.ent(host=place.host, backchannel_logout_uri=place.back.uri("interne.test"))
    [(name, said)] = wrong(act, ent)
    assert name == "backchannel_logout_uri"
    assert "nommez interne.test dans IDP_OUTGOING_ALLOW" in said
    assert place.back.asked == []


@sqlite_alone
@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (FINE, "ne vérifie pas la signature"),
        ((204, {}, b""), "ne vérifie pas la signature"),
        ((404, {}, b""), "--backchannel-logout-uri"),
        ((302, {"Location": "/login"}, b""), "répond 302"),
        ((403, {}, b""), "jeton CSRF"),
        ((500, {}, b""), "répond 500"),
    ],
)
def test_back_channels_that_answer_wrongly(act: Run, build: Build, place: Place, answer: Answer, told: str) -> None:
    build.school()
    ent = build.ent(host=place.host, backchannel_logout_uri=place.back.uri())
    place.back.next = [answer]
    [(name, said)] = wrong(act, ent)
    assert name == "backchannel_logout_uri"
    assert told in said


@sqlite_alone
def test_a_slow_address_is_told_and_the_others_of_its_host_are_tried(
    act: Run, ent: RelyingParty, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outgoing, "TIMEOUT", 1.5)
    over = threading.Event()

    def never(_: BaseHTTPRequestHandler) -> None:
        over.wait(20)

    place.ent.served["/cb"] = never
    try:
        [(name, said)] = wrong(act, ent)
    finally:
        over.set()
    assert (name, "pas de réponse en" in said) == ("redirect_uri", True)
    assert sorted(one.path for one in place.ent.asked) == ["/", "/bye", "/cb"]


@sqlite_alone
@pytest.mark.parametrize("content", [b"no JSON", b"[]", b'{"keys": []}', b'{"keys": [{"kty": "oct", "k": "AAAA"}]}'])
def test_keys_of_the_ent_that_are_none(act: Run, build: Build, place: Place, content: bytes) -> None:
    build.school()
    place.ent.served["/keys.json"] = (200, {}, content)
    ent = build.ent(host=place.host, auth_method="private_key_jwt", jwks_uri=place.ent.uri(path="/keys.json"))
    [(name, said)] = wrong(act, ent)
    assert name == "jwks_uri"
    assert "JSON" in said or "aucune clé publique utilisable" in said


@sqlite_alone
def test_keys_of_the_ent_for_another_algorithm(act: Run, build: Build, place: Place) -> None:
    build.school()
    keys = {"jwks_uri": place.ent.uri(path="/keys.json"), "auth_alg": "RS256"}
    place.ent.served["/keys.json"] = (200, {}, public_keys())
    ent = build.ent(host=place.host, auth_method="private_key_jwt", **keys)
    [(name, said)] = wrong(act, ent)
    assert name == "jwks_uri"
    assert "pas de clé RS256" in said


@sqlite_alone
def test_a_sector_that_lost_a_redirect_uri(act: Run, build: Build, place: Place) -> None:
    build.school()
    place.ent.served["/s.json"] = (200, {}, json.dumps([f"https://{place.host}/cb"]).encode())
    ent = build.ent(host=place.host, sector_identifier_uri=place.ent.uri(path="/s.json"))
    place.ent.asked.clear()
    assert wrong(act, ent) == []
    assert [asked.path for asked in place.ent.asked].count("/s.json") == 1
    answers: list[Answer] = [(200, {}, b'["https://ent.test/cb"]'), (200, {}, b"{"), (404, {}, b"")]
    for answer in answers:
        place.ent.served["/s.json"] = answer
        [(name, said)] = wrong(act, ent)
        assert name == "sector_identifier_uri"
        assert "ne donne pas (200) un tableau JSON" in said


@sqlite_alone
def test_several_hosts_of_before_the_rule(act: Run, ent: RelyingParty, place: Place) -> None:
    """They work, and no document would keep their subjects: it is said, and is not wrong."""
    _, found = tried(act, ent.client_id)
    assert "sector_identifier_uri" not in {finding["check"] for finding in found}
    uris = [f"https://{place.host}/cb", place.ent.uri("interne.test", "/cb")]
    db.session.execute(update(Client).values(redirect_uris=uris))
    db.session.commit()
    _, found = tried(act, ent.client_id)
    [told] = [finding for finding in found if finding["check"] == "sector_identifier_uri"]
    assert told["ok"]
    assert "seul dans son secteur" in told["message"]


@sqlite_alone
def test_a_sector_that_cannot_be_reached(act: Run, build: Build, place: Place, tmp_path: Path) -> None:
    build.school()
    with listening_ent(tmp_path / "ent.test.pem") as gone:
        gone.served["/s.json"] = (200, {}, json.dumps([f"https://{place.host}/cb"]).encode())
        ent = build.ent(host=place.host, sector_identifier_uri=gone.uri(path="/s.json"), subject="public")
    [(name, said)] = wrong(act, ent)
    assert name == "sector_identifier_uri"
    assert "rien n’écoute" in said


@sqlite_alone
def test_the_provider_seen_from_outside(act: Run, ent: RelyingParty, place: Place, settings: Settings) -> None:
    good = place.provider.served[METADATA]
    assert isinstance(good, tuple)
    announced = json.loads(good[2])

    def seen(content: object, status: int = 200) -> list[tuple[str, str]]:
        place.provider.served[METADATA] = (status, {}, json.dumps(content).encode())
        return wrong(act, ent)

    [(name, said)] = seen(announced | {"issuer": f"{settings.issuer}/"})
    assert name == "issuer"
    assert f"{settings.issuer}/" in said
    assert [name for name, _ in seen({"issuer": settings.issuer})] == ["provider_keys"]
    for content, status in (([], 200), (announced, 502)):
        [(name, said)] = seen(content, status)
        assert name == "metadata"
        assert "IDP_ISSUER" in said
    place.provider.served[METADATA] = good
    place.provider.served["/jwks.json"] = (200, {}, public_keys())
    [(name, said)] = wrong(act, ent)
    assert name == "provider_keys"
    assert "idp keys rotate --alg RS256" in said
