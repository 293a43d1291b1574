"""`idp client test`, against real servers: each fault of a registration is reported."""

import json
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from flask.testing import FlaskClient
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
    nobody_signed_in,
    public_keys,
    trial_ent,
    trial_place,
    trial_published,
    trial_resolver,
    trial_settings,
    tried,
    wrong,
)
from tests.commands.conftest import Run
from tests.protocol.ent_server import FINE, Answer, Behaviour, listening_ent
from tests.relying_party import RelyingParty


def test_a_ready_ent_passes_every_check(act: Run, build: Build, place: Place) -> None:
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
    code, findings = tried(act, ent.client_id)
    assert [finding for finding in findings if not finding["ok"]] == []
    assert code == 0
    assert [finding["check"] for finding in findings] == [
        "enabled", "audience", "school", "metadata", "issuer", "provider_keys", "sign_in", "redirect_uri",
        "post_logout_redirect_uri",
        "home_uri", "initiate_login_uri", "frontchannel_logout_uri", "jwks_uri", "sector_identifier_uri",
        "backchannel_logout_uri",
    ]  # fmt: skip
    assert all(set(finding) == {"check", "ok", "message"} for finding in findings)
    assert {request.method for request in place.ent.asked} == {"GET"}

    place.back.next = [REFUSED]
    answer = act("client", "test", ent.client_id)
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert [line[:2] for line in lines] == ["✓ "] * len(findings)
    assert f"✓ adresse de retour {callback} : répond (400), certificat bon" in lines


def test_an_unknown_client_is_refused(act: Run) -> None:
    answer = act("client", "test", "nobody")
    assert (answer.code, answer.out, answer.err) == (1, "", "Error: no client nobody\n")


def test_a_disabled_client_and_a_missing_school_are_reported(act: Run, build: Build, place: Place) -> None:
    build.school()
    ent = build.ent(host=place.host, uais=[COLLEGE, LYCEE])
    nowhere = build.ent("Horizon", host=place.host, uais=[], audience="everyone")
    registrations.disable(ent.client_id)
    (closed, enable_advice), (school, advice) = wrong(act, ent)
    assert (closed, school) == ("enabled", "school")
    assert f"idp client enable {ent.client_id}" in enable_advice
    assert LYCEE in advice
    assert f"idp school set {LYCEE}" in advice
    client = registrations.get(nowhere.client_id)
    client.audience, client.schools = Audience.FAMILIES, []  # no command creates such a client
    db.session.commit()
    [(check_name, message)] = wrong(act, nowhere)
    assert check_name == "audience"
    assert "aucun établissement" in message


def test_advice_is_reported_without_failure(act: Run, build: Build, place: Place) -> None:
    build.school()
    ent = build.ent(host=place.host, charter="provider")
    registrations.rotate_secret(ent.client_id)
    code, findings = tried(act, ent.client_id)
    by_check = {finding["check"]: finding for finding in findings}
    assert code == 0
    assert "aucune charte publiée" in by_check["charter"]["message"]
    assert "changement de secret en cours" in by_check["secret"]["message"]
    build.publish(ent, "1")
    registrations.rotate_secret(ent.client_id, keep=registrations.FORMER_SECRET_KEPT * 0)
    _, findings = tried(act, ent.client_id)
    by_check = {finding["check"]: finding for finding in findings}
    assert "une version est publiée" in by_check["charter"]["message"]
    assert "secret" not in by_check


@pytest.mark.parametrize("content", [b"no JSON", b"[]", b'{"keys": []}', b'{"keys": [{"kty": "oct", "k": "AAAA"}]}'])
def test_invalid_keys_of_the_ent_are_reported(act: Run, build: Build, place: Place, content: bytes) -> None:
    build.school()
    place.ent.served["/keys.json"] = (200, {}, content)
    ent = build.ent(host=place.host, auth_method="private_key_jwt", jwks_uri=place.ent.uri(path="/keys.json"))
    [(name, message)] = wrong(act, ent)
    assert name == "jwks_uri"
    assert "JSON" in message or "aucune clé publique utilisable" in message


def test_keys_for_another_algorithm_are_reported(act: Run, build: Build, place: Place) -> None:
    build.school()
    keys = {"jwks_uri": place.ent.uri(path="/keys.json"), "auth_alg": "RS256"}
    place.ent.served["/keys.json"] = (200, {}, public_keys())
    ent = build.ent(host=place.host, auth_method="private_key_jwt", **keys)
    [(name, message)] = wrong(act, ent)
    assert name == "jwks_uri"
    assert "pas de clé RS256" in message


def test_a_sector_document_without_a_redirect_uri_is_reported(act: Run, build: Build, place: Place) -> None:
    build.school()
    place.ent.served["/s.json"] = (200, {}, json.dumps([f"https://{place.host}/cb"]).encode())
    ent = build.ent(host=place.host, sector_identifier_uri=place.ent.uri(path="/s.json"))
    place.ent.asked.clear()
    assert wrong(act, ent) == []
    assert [request.path for request in place.ent.asked].count("/s.json") == 1
    answers: list[Answer] = [(200, {}, b'["https://ent.test/cb"]'), (200, {}, b"{"), (404, {}, b"")]
    for answer in answers:
        place.ent.served["/s.json"] = answer
        [(name, message)] = wrong(act, ent)
        assert name == "sector_identifier_uri"
        assert "ne donne pas (200) un tableau JSON" in message


def test_a_sector_of_its_own_is_reported(act: Run, ent: RelyingParty, place: Place) -> None:
    """Several hosts without a sector document, as in a self-registration: reported, but not as a fault."""
    _, findings = tried(act, ent.client_id)
    assert "sector_identifier_uri" not in {finding["check"] for finding in findings}
    uris = [f"https://{place.host}/cb", place.ent.uri("interne.test", "/cb")]
    db.session.execute(update(Client).values(redirect_uris=uris, sector=""))
    db.session.commit()
    _, findings = tried(act, ent.client_id)
    [sector_finding] = [finding for finding in findings if finding["check"] == "sector_identifier_uri"]
    assert sector_finding["ok"]
    assert "seul dans son secteur" in sector_finding["message"]


def test_an_unreachable_sector_document_is_reported(act: Run, build: Build, place: Place, tmp_path: Path) -> None:
    build.school()
    with listening_ent(tmp_path / "ent.test.pem") as gone:
        gone.served["/s.json"] = (200, {}, json.dumps([f"https://{place.host}/cb"]).encode())
        ent = build.ent(host=place.host, sector_identifier_uri=gone.uri(path="/s.json"), subject="public")
    [(name, message)] = wrong(act, ent)
    assert name == "sector_identifier_uri"
    assert "rien n’écoute" in message


def test_the_provider_metadata_is_checked_from_outside(
    act: Run, ent: RelyingParty, place: Place, settings: Settings
) -> None:
    good = place.provider.served[METADATA]
    assert isinstance(good, tuple)
    announced = json.loads(good[2])

    def seen(content: object, status: int = 200) -> list[tuple[str, str]]:
        place.provider.served[METADATA] = (status, {}, json.dumps(content).encode())
        return wrong(act, ent)

    [(name, message)] = seen(announced | {"issuer": f"{settings.issuer}/"})
    assert name == "issuer"
    assert f"{settings.issuer}/" in message
    assert [name for name, _ in seen({"issuer": settings.issuer})] == ["provider_keys"]
    for content, status in (([], 200), (announced, 502)):
        [(name, message)] = seen(content, status)
        assert name == "metadata"
        assert "IDP_ISSUER" in message
    place.provider.served[METADATA] = good
    place.provider.served["/jwks.json"] = (200, {}, public_keys())
    [(name, message)] = wrong(act, ent)
    assert name == "provider_keys"
    assert "idp keys rotate --alg RS256" in message


def test_a_sign_in_request_is_tried_as_the_ent_sends_it(
    act: Run, build: Build, ent: RelyingParty, browser: FlaskClient, place: Place, settings: Settings
) -> None:
    def signed_in(client_id: str) -> str:
        _, findings = tried(act, client_id)
        return "".join(finding["message"] for finding in findings if finding["check"] == "sign_in")

    def answered() -> dict[str, list[str]]:
        """Return what the service itself answers to the last request."""
        path = next(request.path for request in reversed(place.provider.asked) if "/authorize" in request.path)
        location = browser.get(path, base_url=settings.issuer).headers["Location"]
        assert location.startswith(f"{callback}?")
        sent, came_back = parse_qs(urlsplit(path).query), parse_qs(urlsplit(location).query)
        assert came_back["state"] == sent["state"]
        return sent | came_back

    callback = f"https://{place.host}/cb"
    assert f"puis revient à {callback}" in signed_in(ent.client_id)
    assert (answered()["prompt"], answered()["error"]) == (["none"], ["login_required"])
    pushes = build.ent("Horizon", host=place.host, par_required=True)
    place.provider.served["/authorize"] = partial(nobody_signed_in, error="invalid_request")
    assert "comme il faut" in signed_in(pushes.client_id)
    assert answered()["error"] == ["invalid_request"]
    registrations.disable(pushes.client_id)
    assert signed_in(pushes.client_id) == ""


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((200, {}, b""), "voyez le proxy"),
        ((303, {"Location": "https://connexion.test/connexion"}, b""), "voyez le proxy"),
        ((303, {"Location": "CALLBACK?error=login_required"}, b""), "a perdu « state »"),
        ((429, {}, b""), "recommencez dans une minute"),
        (partial(nobody_signed_in, error="invalid_scope"), "refusée : invalid_scope"),
    ],
)
def test_a_sign_in_request_that_fails_is_reported(
    act: Run, ent: RelyingParty, place: Place, answer: Answer | Behaviour, expected: str
) -> None:
    if not callable(answer):
        status, headers, content = answer
        callback = f"https://{place.host}/cb"
        answer = status, {name: value.replace("CALLBACK", callback) for name, value in headers.items()}, content
    place.provider.served["/authorize"] = answer
    [(name, message)] = wrong(act, ent)
    assert name == "sign_in"
    assert expected in message
