"""`idp client test`, against real servers: what an integrator would find by hand is found and said."""

import json
from pathlib import Path

import pytest
from sqlalchemy import update

from idp.clients.models import Audience, Client
from idp.config import Settings
from idp.db import db
from idp.registration import registrations
from tests.builders import COLLEGE, LYCEE, Build
from tests.commands.client_trial import (  # noqa: F401 - fixtures too
    METADATA,
    REFUSED,
    Place,
    public_keys,
    sqlite_alone,
    trial_ent,
    trial_place,
    trial_published,
    trial_resolver,
    trial_settings,
    tried,
    wrong,
)
from tests.commands.conftest import Run
from tests.protocol.ent_server import FINE, Answer, listening_ent
from tests.relying_party import RelyingParty


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
        "enabled", "audience", "school", "metadata", "issuer", "provider_keys", "redirect_uri",
        "post_logout_redirect_uri",
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


def test_an_unknown_client(act: Run) -> None:
    answer = act("client", "test", "nobody")
    assert (answer.code, answer.out, answer.err) == (1, "", "Error: no client nobody\n")


def test_what_the_database_says(act: Run, build: Build, place: Place) -> None:
    build.school()
    ent = build.ent(host=place.host, uais=[COLLEGE, LYCEE])
    nowhere = build.ent("Horizon", host=place.host, uais=[], audience="everyone")
    registrations.disable(ent.client_id)
    (closed, told), (school, advice) = wrong(act, ent)
    assert (closed, school) == ("enabled", "school")
    assert f"idp client enable {ent.client_id}" in told
    assert LYCEE in advice
    assert f"idp school set {LYCEE}" in advice
    client = registrations.get(nowhere.client_id)
    client.audience, client.schools = Audience.FAMILIES, []  # no command makes such a one
    db.session.commit()
    [(check_name, said)] = wrong(act, nowhere)
    assert check_name == "audience"
    assert "aucun établissement" in said


def test_what_is_told_without_being_wrong(act: Run, build: Build, place: Place) -> None:
    build.school()
    ent = build.ent(host=place.host, charter="provider")
    registrations.rotate_secret(ent.client_id)
    code, found = tried(act, ent.client_id)
    told = {finding["check"]: finding for finding in found}
    assert code == 0
    assert "aucune charte publiée" in told["charter"]["message"]
    assert "changement de secret en cours" in told["secret"]["message"]
    build.publish(ent, "1")
    registrations.rotate_secret(ent.client_id, keep=registrations.FORMER_SECRET_KEPT * 0)
    _, found = tried(act, ent.client_id)
    told = {finding["check"]: finding for finding in found}
    assert "une version est publiée" in told["charter"]["message"]
    assert "secret" not in told


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
def test_a_sector_of_its_own_is_said(act: Run, ent: RelyingParty, place: Place) -> None:
    """Several hosts and no document, as an ENT registers itself: it is said, and is not wrong."""
    _, found = tried(act, ent.client_id)
    assert "sector_identifier_uri" not in {finding["check"] for finding in found}
    uris = [f"https://{place.host}/cb", place.ent.uri("interne.test", "/cb")]
    db.session.execute(update(Client).values(redirect_uris=uris, sector=""))
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
