"""`idp client test` on the URIs of an ENT: pages, certificates, back channel."""

import json
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from cryptography.exceptions import InvalidSignature

from idp.config import Settings
from idp.http_client import outgoing
from tests import signatures
from tests.builders import Build
from tests.commands.client_trial import (  # noqa: F401 - fixtures too
    Place,
    trial_ent,
    trial_place,
    trial_published,
    trial_resolver,
    trial_settings,
    wrong,
)
from tests.commands.conftest import Run
from tests.protocol.ent_server import FINE, Answer, authority, listening_ent
from tests.relying_party import RelyingParty


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
    [(name, message)] = wrong(act, ent)
    assert name == "redirect_uri"
    assert "répond 500" in message


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
        [(check_name, message)] = wrong(act, ent)
        assert check_name == name
        assert f"répond {status}, il n’y a rien à cette adresse" in message
        assert f"corrigez-la (--{name.replace('_', '-')})" in message
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
    [(name, message)] = wrong(act, ent)
    assert name == "home_uri"
    assert "il en faut un pour autre.test" in message


def test_a_private_ip_that_is_not_allowed_is_reported(act: Run, build: Build, place: Place) -> None:
    build.school()
    ent = build.ent(host=place.host, backchannel_logout_uri=place.back.uri("interne.test"))
    [(name, message)] = wrong(act, ent)
    assert name == "backchannel_logout_uri"
    assert "nommez interne.test dans IDP_OUTGOING_ALLOW" in message
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
    [(name, message)] = wrong(act, ent)
    assert name == "backchannel_logout_uri"
    assert expected in message


def test_a_slow_url_is_reported_and_other_urls_of_its_host_are_tried(
    act: Run, ent: RelyingParty, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outgoing, "TIMEOUT", 1.5)
    over = threading.Event()

    def never(_: BaseHTTPRequestHandler) -> None:
        over.wait(20)

    place.ent.served["/cb"] = never
    try:
        [(name, message)] = wrong(act, ent)
    finally:
        over.set()
    assert (name, "pas de réponse en" in message) == ("redirect_uri", True)
    assert sorted(request.path for request in place.ent.asked) == ["/", "/bye", "/cb"]
