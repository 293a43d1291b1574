"""A request that can be changed before it is sent, and the ways to make it invalid."""

import base64
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote_from_bytes, urlsplit

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.pages import form_token

FORM = "application/x-www-form-urlencoded"


@dataclass
class Shot:
    """One request: its target, its content, and the browser that sends it.

    `right` is the expected response to the unchanged request: the status, and the beginning of a redirect's URL.
    """

    method: str
    path: str
    query: list[tuple[str, str]] = field(default_factory=list)
    form: list[tuple[str, str]] | None = None
    json: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    browser: FlaskClient | None = field(default=None, repr=False)
    right: tuple[int, str] | None = (200, "")
    cookies: bool = True
    raw: bytes | None = None
    raw_query: bytes | None = None

    @property
    def pairs(self) -> list[tuple[str, str]]:
        return self.query if self.form is None else self.form

    def encoded(self) -> tuple[bytes, bytes, str]:
        body, kind = b"", ""
        if self.json is not None:
            body, kind = json.dumps(self.json).encode(), "application/json"
        elif self.form is not None:
            body, kind = _encoded(self.form), FORM
        query = _encoded(self.query) if self.raw_query is None else self.raw_query
        return query, body if self.raw is None else self.raw, self.headers.get("Content-Type", kind)


def opening(url: str, browser: FlaskClient, right: tuple[int, str] = (200, "")) -> Shot:
    parts = urlsplit(url)
    return Shot("GET", parts.path, parse_qsl(parts.query), browser=browser, right=right)


def filled(
    page: TestResponse, browser: FlaskClient, fields: dict[str, str], right: tuple[int, str] = (200, "")
) -> Shot:
    shot = opening(page.request.full_path, browser, right)
    shot.method, shot.form = "POST", [("csrf_token", form_token(page)), *fields.items()]
    return shot


def _encoded(pairs: list[tuple[str, str]]) -> bytes:
    return "&".join(
        "=".join(quote_from_bytes(t.encode("utf-8", "surrogatepass")) for t in pair) for pair in pairs
    ).encode()


Bend = Callable[[random.Random, Shot], None]
ODD = [
    *("", " ", "\x00", "\r\nX: y", "é", "😀", "\u202e", "\ud800", "%", "%ff", "+", "&a=b", "../..", "//evil.test"),
    *("javascript:alert(1)", "https://evil.test/cb", "' OR 1=1 --", "{{7*7}}", "${7*7}", "<script>alert(1)</script>"),
    *('"', "\\", "none", "S256", "plain", "code", "token", "openid", "-1", "0", "1e9", "NaN", "null", "[]", "{}"),
    *("[" * 3000, '{"a":' * 1000, "9" * 4000, "a" * 9000, "e\u0301" * 3000, "a b " * 800, "=" * 50, "." * 50, "a.b.c"),
    *("urn:ietf:params:oauth:request_uri:x", "eyJhbGciOiJub25lIn0.e30.", "Bearer x", "2038-01-19", "fr-FR fr en *"),
]
NAMES = [
    *("client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce", "prompt", "max_age"),
    *("code_challenge", "code_challenge_method", "login_hint", "id_token_hint", "ui_locales", "acr_values", "claims"),
    *("request", "request_uri", "registration", "dpop_jkt", "display", "grant_type", "code", "code_verifier"),
    *("client_secret", "client_assertion", "client_assertion_type", "refresh_token", "access_token", "token"),
    *("token_type_hint", "post_logout_redirect_uri", "logout_hint", "demande", "csrf_token", "profil", "identifiant"),
    *("mot-de-passe", "adresse", "version", "resource", "audience", "subject_token", "nouveau", "confirmation"),
    *("endpoint", "_external", "_scheme", "_anchor", "_method", "self"),  # arguments of Flask's url_for
    *("actuel", "mail", "accepte", "renvoyer", "garder", "toutes", "connexion", "fait", "suite", "autre"),
]
HEADERS = [
    *("Authorization", "Cookie", "Host", "Accept", "Accept-Language", "Content-Type", "Content-Encoding", "DPoP"),
    *("Origin", "Referer", "User-Agent", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded"),
    *("Range", "If-None-Match", "If-Modified-Since", "X-HTTP-Method-Override", "Expect", "Sec-Purpose"),
]
HEADER_VALUES = [
    *("Basic Og==", "Basic %%%", "Basic //8=", "Bearer x", "DPoP x", "bearer", "idp=1; lang=%00", "__Host-tx=.x.y"),
    *("__Host-ss=" + "x" * 43, "fr;q=x", "bytes=5-2,0-", "W/", "gzip", "100-continue"),
]
METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "get"]
KINDS = [
    *(FORM, "application/json", "multipart/form-data; boundary=x", "text/plain", "application/jwt", "a/b; charset=x"),
    "",
]
_JSON: list[Any] = [None, True, 0, -1, 1e308, 10**40, "", "é", [], {}, [[]], {"": None}, "x" * 5000, ["a"] * 500]


def _replace(draw: random.Random, shot: Shot) -> None:
    if shot.pairs:
        place = draw.randrange(len(shot.pairs))
        shot.pairs[place] = (shot.pairs[place][0], odd_text(draw))


def _bitten(draw: random.Random, value: str) -> str:
    at = draw.randrange(len(value))
    return value[:at] + draw.choice("AZaz09-_.=/ é\x00") + value[at + 1 :]


def _bite(draw: random.Random, shot: Shot) -> None:
    """Change one character of one value, so that a late check refuses it."""
    pairs = draw.choice([shot.pairs, shot.pairs, shot.query])  # the URL of a form contains the request in progress
    places = [place for place, (_, value) in enumerate(pairs) if value]
    if places:
        place = draw.choice(places)
        pairs[place] = (pairs[place][0], _bitten(draw, pairs[place][1]))


def _segment(draw: random.Random, shot: Shot) -> None:
    """Change the last part of the path, which may be the token of a link."""
    head, _, last = shot.path.rpartition("/")
    changed = _bitten(draw, last) if last and draw.random() < 0.5 else odd_text(draw)[:4000]
    shot.path = f"{head}/{quote_from_bytes(changed.encode('utf-8', 'surrogatepass'))}"


def _drop(draw: random.Random, shot: Shot) -> None:
    if shot.pairs:
        shot.pairs.pop(draw.randrange(len(shot.pairs)))


def _double(draw: random.Random, shot: Shot) -> None:
    if shot.pairs:
        shot.pairs.append(draw.choice(shot.pairs))


def _add(draw: random.Random, shot: Shot) -> None:
    shot.pairs.insert(draw.randint(0, len(shot.pairs)), (draw.choice(NAMES), odd_text(draw)))


def _crowd(draw: random.Random, shot: Shot) -> None:
    shot.pairs.extend((f"n{i}", "") for i in range(draw.choice([20, 60, 3000])))


def _elsewhere(draw: random.Random, shot: Shot) -> None:
    """Move a parameter from the body to the query, or the reverse."""
    if shot.pairs:
        pair = shot.pairs.pop(draw.randrange(len(shot.pairs)))
        if shot.form is None:
            shot.form = [pair]
        else:
            shot.query.append(pair)


def _method(draw: random.Random, shot: Shot) -> None:
    shot.method = draw.choice(METHODS)


def _kind(draw: random.Random, shot: Shot) -> None:
    shot.headers["Content-Type"] = draw.choice(KINDS)


def _header(draw: random.Random, shot: Shot) -> None:
    value = draw.choice([draw.choice(HEADER_VALUES), odd_text(draw)]).encode("utf-8", "replace").decode("latin-1")
    shot.headers[draw.choice(HEADERS)] = "".join(c for c in value if c not in "\r\n\x00")[:8000]


def _no_header(draw: random.Random, shot: Shot) -> None:
    if shot.headers:
        shot.headers.pop(draw.choice(list(shot.headers)))


def _path(draw: random.Random, shot: Shot) -> None:
    shot.path += draw.choice(["/", "//", "/..", "%00", "/x", "%2e%2e/", ";a=b", "é"])


def _anywhere(draw: random.Random, shot: Shot) -> None:
    path = draw.choice([draw.randbytes(draw.randint(1, 60)), b"../../etc/passwd", b"/evil.test", b"\x00"])
    shot.path = draw.choice(["/", "/static/", "/.well-known/"]) + quote_from_bytes(path)


def _raw(draw: random.Random, shot: Shot) -> None:
    body = bytearray(shot.encoded()[1] or b"a=b")
    for _ in range(draw.randint(1, 8)):
        body[draw.randrange(len(body))] = draw.randrange(256)
    shot.raw = bytes(body) * draw.choice([1, 1, 1, 40])


def _raw_body(draw: random.Random, shot: Shot) -> None:
    shot.raw = draw.choice([draw.randbytes(draw.randint(0, 100)), b"[" * 60_000, b'{"a":' * 10_000, b"a" * 70_000])


def _raw_query(draw: random.Random, shot: Shot) -> None:
    few = bytes(draw.choice(b"abc=&&%%;+0f/?[]\"'<") for _ in range(draw.randint(0, 40)))
    shot.raw_query = few * draw.choice([1, 1, 1, 1000])


def _json_node(draw: random.Random, shot: Shot) -> None:
    """Put an unusual value into the JSON, or add one."""
    if isinstance(shot.json, dict) and shot.json:
        name = draw.choice(list(shot.json))
        shot.json = {**shot.json, name: draw.choice([*_JSON, odd_text(draw), [odd_text(draw)]])}
    elif shot.json is not None:
        shot.json = draw.choice(_JSON)


def _token(draw: random.Random, shot: Shot) -> None:
    """Change a value that looks like a JWT: another header, another body, no signature."""
    places = [place for place, (_, value) in enumerate(shot.pairs) if value.count(".") == 2]
    if places:
        place = draw.choice(places)
        shot.pairs[place] = (shot.pairs[place][0], bent_jwt(draw, shot.pairs[place][1]))
    for name in ("DPoP", "Authorization"):
        if shot.headers.get(name, "").count(".") == 2 and draw.random() < 0.5:
            shot.headers[name] = bent_jwt(draw, shot.headers[name])


def _stranger(_draw: random.Random, shot: Shot) -> None:
    shot.cookies = False


BENDS: list[Bend] = [
    *(_replace, _replace, _bite, _bite, _drop, _double, _add, _add, _elsewhere, _method, _kind, _header, _header),
    *(_no_header, _path, _segment, _anywhere, _raw, _raw_body, _raw_query, _json_node, _json_node, _token, _token),
    *(_crowd, _stranger),
]


def odd_text(draw: random.Random) -> str:
    if draw.random() < 0.7:
        return draw.choice(ODD)
    return "".join(
        chr(draw.choice([draw.randrange(128), draw.randrange(0x2FFF), 0x1F600])) for _ in range(draw.randint(1, 40))
    )


def bent_jwt(draw: random.Random, token: str) -> str:
    head, body, signature = token.split(".")
    try:
        header = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    except ValueError:
        header = {}
    header = header if isinstance(header, dict) else {}
    more: list[dict[str, Any]] = [
        *({"alg": alg} for alg in ("none", "nOnE", "HS256", "RS512", "ES256K", "Ed25519", "", None, 5, ["RS256"])),
        *({"kid": kid} for kid in ("../../x", "' OR 1=1", "x" * 3000, None, 7, {"a": 1})),
        {"crit": ["x"]},
        {"jku": "https://evil.test/k"},
        {"x5c": ["MIIB"]},
        {"jwk": {"kty": "oct", "k": "AA"}},
        {"typ": None},
        {"zip": "DEF"},
        {"b64": False},
    ]
    head = _b64(json.dumps({**header, **draw.choice(more)}).encode()) if draw.random() < 0.6 else head
    body = draw.choice([body, body, "", "e30", _b64(b"[]"), _b64(b"\xff"), body[:-1], body + "=", _b64(b"[" * 5000)])
    signature = draw.choice([signature, signature, "", "AA", signature[:-2], signature + "A", "é"])
    return f"{head}.{body}.{signature}"


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
