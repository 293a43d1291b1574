"""`idp client test`, against real servers: each fault of a registration, a page or a certificate is reported."""

import json
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.exceptions import InvalidSignature
from flask.testing import FlaskClient
from sqlalchemy import update

from idp.clients.models import Audience, Client
from idp.config import Settings
from idp.db import db
from idp.http_client import outgoing
from idp.registration import registrations
from tests import signatures
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
from tests.protocol.ent_server import FINE, Answer, Behaviour, authority, listening_ent
from tests.relying_party import RelyingParty
from tests.rows import each_row


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


def check_fault(act: Run, ent: RelyingParty, check: str, words: str) -> None:
    """Check that the trial finds one fault, with these words."""
    [(name, message)] = wrong(act, ent)
    assert (name, words in message) == (check, True), message


def test_a_disabled_client_and_a_missing_school_are_reported(act: Run, build: Build, place: Place) -> None:
    build.school()
    ent = build.ent(host=place.host, uais=[COLLEGE, LYCEE])
    nowhere = build.ent("Horizon", host=place.host, uais=[], audience="everyone")
    registrations.disable(ent.client_id)
    (closed, enable_advice), (school, advice) = wrong(act, ent)
    assert (closed, school) == ("enabled", "school")
    assert f"idp client enable {ent.client_id}" in enable_advice
    assert f"idp school set {LYCEE}" in advice
    client = registrations.get(nowhere.client_id)
    client.audience, client.schools = Audience.FAMILIES, []  # no command creates such a client
    db.session.commit()
    check_fault(act, nowhere, "audience", "aucun établissement")


def test_advice_is_reported_without_failure(act: Run, build: Build, place: Place) -> None:
    build.school()
    ent = build.ent(host=place.host, charter="provider")

    def advice() -> dict[str, str]:
        code, findings = tried(act, ent.client_id)
        assert code == 0
        return {finding["check"]: finding["message"] for finding in findings}

    registrations.rotate_secret(ent.client_id)
    assert "aucune charte publiée" in advice()["charter"]
    assert "changement de secret en cours" in advice()["secret"]
    build.publish(ent, "1")
    registrations.rotate_secret(ent.client_id, keep=registrations.FORMER_SECRET_KEPT * 0)
    assert "une version est publiée" in advice()["charter"]
    assert "secret" not in advice()


@each_row(
    ("content", "fault"),
    [
        (b"no JSON", "JSON"),
        (b"[]", "JSON"),
        (b'{"keys": []}', "aucune clé publique utilisable"),
        (b'{"keys": [{"kty": "oct", "k": "AAAA"}]}', "aucune clé publique utilisable"),
        (public_keys(), "pas de clé RS256"),
    ],
)
def test_invalid_keys_of_the_ent_are_reported(act: Run, build: Build, place: Place, content: bytes, fault: str) -> None:
    build.school()
    place.ent.served["/keys.json"] = (200, {}, content)
    keys = {"jwks_uri": place.ent.uri(path="/keys.json"), "auth_alg": "RS256"}
    ent = build.ent(host=place.host, auth_method="private_key_jwt", **keys)
    check_fault(act, ent, "jwks_uri", fault)


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
        check_fault(act, ent, "sector_identifier_uri", "ne donne pas (200) un tableau JSON")


def test_a_sector_of_its_own_is_reported(act: Run, ent: RelyingParty, place: Place) -> None:
    """Several hosts without a sector document, as in a self-registration: reported, but not as a fault."""
    uris = [f"https://{place.host}/cb", place.ent.uri("interne.test", "/cb")]
    db.session.execute(update(Client).values(redirect_uris=uris, sector=""))
    db.session.commit()
    [finding] = [each for each in tried(act, ent.client_id)[1] if each["check"] == "sector_identifier_uri"]
    assert (finding["ok"], "seul dans son secteur" in finding["message"]) == (True, True)


def test_an_unreachable_sector_document_is_reported(act: Run, build: Build, place: Place, tmp_path: Path) -> None:
    build.school()
    with listening_ent(tmp_path / "ent.test.pem") as gone:
        gone.served["/s.json"] = (200, {}, json.dumps([f"https://{place.host}/cb"]).encode())
        ent = build.ent(host=place.host, sector_identifier_uri=gone.uri(path="/s.json"), subject="public")
    check_fault(act, ent, "sector_identifier_uri", "rien n’écoute")


def test_the_provider_metadata_is_checked_from_outside(
    act: Run, ent: RelyingParty, place: Place, settings: Settings
) -> None:
    good = place.provider.served[METADATA]
    assert isinstance(good, tuple)
    announced = json.loads(good[2])
    for content, status, check, words in (
        (announced | {"issuer": f"{settings.issuer}/"}, 200, "issuer", f"{settings.issuer}/"),
        ({"issuer": settings.issuer}, 200, "provider_keys", ""),
        ([], 200, "metadata", "IDP_ISSUER"),
        (announced, 502, "metadata", "IDP_ISSUER"),
    ):
        place.provider.served[METADATA] = (status, {}, json.dumps(content).encode())
        check_fault(act, ent, check, words)
    place.provider.served |= {METADATA: good, "/jwks.json": (200, {}, public_keys())}
    check_fault(act, ent, "provider_keys", "idp keys rotate --alg RS256")


def test_a_sign_in_request_is_tried_as_the_ent_sends_it(
    act: Run, build: Build, ent: RelyingParty, browser: FlaskClient, place: Place, settings: Settings
) -> None:
    def signed_in(client_id: str) -> str:
        _, findings = tried(act, client_id)
        return "".join(finding["message"] for finding in findings if finding["check"] == "sign_in")

    def answered() -> dict[str, list[str]]:
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
    check_fault(act, ent, "sign_in", expected)


def test_the_token_of_the_trial_lacks_only_a_signature(
    act: Run, build: Build, place: Place, settings: Settings
) -> None:
    """Back-Channel Logout 1.0, 2.4: a refusal must be due to the signature, not to the format."""
    build.school()
    ent = build.ent(host=place.host, backchannel_logout_uri=place.back.uri())
    assert wrong(act, ent) == []
    [request] = place.back.asked
    [token] = parse_qs(request.body)["logout_token"]
    header, claims = signatures.read(token)
    assert (header["typ"], header["alg"]) == ("logout+jwt", "RS256")
    assert (claims["iss"], claims["aud"]) == (settings.issuer, ent.client_id)
    assert claims["events"] == {"http://schemas.openid.net/event/backchannel-logout": {}}
    assert "nonce" not in claims
    answer = place.provider.served["/jwks.json"]
    assert isinstance(answer, tuple)
    with pytest.raises(InvalidSignature):
        signatures.verified(token, signatures.by_name(json.loads(answer[2])))


def test_a_redirect_is_accepted_and_not_followed(act: Run, ent: RelyingParty, place: Place) -> None:
    place.ent.served["/"] = (302, {"Location": place.back.uri(path="/elsewhere")}, b"")
    assert wrong(act, ent) == []
    assert place.back.asked == []


def test_an_error_of_the_ent_is_reported(act: Run, ent: RelyingParty, place: Place) -> None:
    place.ent.served["/cb"] = (500, {}, b"")
    check_fault(act, ent, "redirect_uri", "répond 500")


@pytest.mark.parametrize("status", [404, 410])
def test_a_missing_page_is_reported(act: Run, build: Build, place: Place, status: int) -> None:
    """A page may refuse a request without a code; a missing page is a fault."""
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
        check_fault(act, ent, name, f"corrigez-la (--{name.replace('_', '-')})")
        place.ent.served[path] = before


def test_an_unreachable_or_unresolvable_ent_is_reported(act: Run, build: Build, place: Place, tmp_path: Path) -> None:
    build.school()
    with listening_ent(tmp_path / "ent.test.pem") as gone:
        host = f"ent.test:{gone.port}"
    ent = build.ent(host=host, home_uri="https://nulle-part.test/", backchannel_logout_uri=f"https://{host}/bc")
    failures = wrong(act, ent)
    assert [name for name, _ in failures] == [
        "redirect_uri", "post_logout_redirect_uri", "home_uri", "backchannel_logout_uri",
    ]  # fmt: skip
    assert all("rien n’écoute" in message for name, message in failures if name != "home_uri")
    assert "le nom nulle-part.test est inconnu" in failures[2][1]


def test_invalid_certificates_are_reported(act: Run, build: Build, place: Place, tmp_path: Path) -> None:
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
        messages = dict(wrong(act, ent))
    assert set(messages) == {"home_uri", "initiate_login_uri", "backchannel_logout_uri"}
    assert "IDP_CA_BUNDLE" in messages["home_uri"]
    assert "pas de TLS" in messages["initiate_login_uri"]
    assert "IDP_CA_BUNDLE" in messages["backchannel_logout_uri"]
    assert stranger.asked == []


def test_a_certificate_for_another_host_is_reported(
    act: Run, ent: RelyingParty, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered = place.ent.uri("autre.test", "/")
    assert act("client", "set", ent.client_id, "--home-uri", registered).code == 0
    monkeypatch.setenv("IDP_OUTGOING_ALLOW", '["ent.test", "autre.test"]')
    check_fault(act, ent, "home_uri", "il en faut un pour autre.test")


def test_a_private_ip_that_is_not_allowed_is_reported(act: Run, build: Build, place: Place) -> None:
    build.school()
    ent = build.ent(host=place.host, backchannel_logout_uri=place.back.uri("interne.test"))
    check_fault(act, ent, "backchannel_logout_uri", "nommez interne.test dans IDP_OUTGOING_ALLOW")
    assert place.back.asked == []


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (FINE, "ne vérifie pas la signature"),
        ((204, {}, b""), "ne vérifie pas la signature"),
        ((404, {}, b""), "--backchannel-logout-uri"),
        ((302, {"Location": "/login"}, b""), "répond 302"),
        ((403, {}, b""), "jeton CSRF"),
        ((500, {}, b""), "répond 500"),
    ],
)
def test_wrong_answers_of_the_back_channel_are_reported(
    act: Run, build: Build, place: Place, answer: Answer, expected: str
) -> None:
    build.school()
    ent = build.ent(host=place.host, backchannel_logout_uri=place.back.uri())
    place.back.next = [answer]
    check_fault(act, ent, "backchannel_logout_uri", expected)


def test_a_slow_url_is_reported_and_other_urls_of_its_host_are_tried(
    act: Run, ent: RelyingParty, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outgoing, "TIMEOUT", 1.5)
    over = threading.Event()

    def never(_: BaseHTTPRequestHandler) -> None:
        over.wait(20)

    place.ent.served["/cb"] = never
    try:
        check_fault(act, ent, "redirect_uri", "pas de réponse en")
    finally:
        over.set()
    assert sorted(request.path for request in place.ent.asked) == ["/", "/bye", "/cb"]


def test_the_trial_reports_a_wider_audience(act: Run, build: Build, place: Place) -> None:
    build.school()
    own = build.ent(host=place.host)
    everyone = build.ent("Cantines", place.host, uais=[], audience="everyone", release_username=True)
    messages = {finding["check"]: finding["message"] for finding in tried(act, own.client_id)[1]}
    assert messages["audience"] == "public : les familles de ses établissements, personne d’autre"
    assert "release_username" not in messages
    code, findings = tried(act, everyone.client_id)
    messages = {finding["check"]: finding["message"] for finding in findings}
    assert (code, "school" in messages) == (0, False)
    assert "TOUS les parents de l’académie" in messages["audience"]
    assert "--no-release-username" in messages["release_username"]
