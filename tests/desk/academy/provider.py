"""An OpenID provider of an académie for tests, written without the product's code: RS256, code flow with PKCE.

It serves discovery, the authorization endpoint, the token endpoint and its keys on 127.0.0.1. Attributes of `Provider`
make it misbehave.
"""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

CLIENT_ID, CLIENT_SECRET, ACR = "bureau scolaire", "s3cret: é & +du bureau", "https://academie.test/acr/deux-facteurs"
KEY, OTHER_KEY = (rsa.generate_private_key(65537, 2048) for _ in range(2))


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(claims: dict[str, Any], key: rsa.RSAPrivateKey = KEY, **header: Any) -> str:
    head = {"alg": "RS256", "kid": "cle-1", "typ": "JWT", **header}
    text = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(claims).encode())}"
    return f"{text}.{b64(key.sign(text.encode(), padding.PKCS1v15(), SHA256()))}"


def unsigned(claims: dict[str, Any]) -> str:
    header = json.dumps({"alg": "none"})
    return f"{b64(header.encode())}.{b64(json.dumps(claims).encode())}."


def jwk(key: rsa.RSAPrivateKey = KEY) -> dict[str, Any]:
    numbers = key.public_key().public_numbers()
    n, e = (b64(value.to_bytes((value.bit_length() + 7) // 8)) for value in (numbers.n, numbers.e))
    return {"kty": "RSA", "kid": "cle-1", "use": "sig", "alg": "RS256", "n": n, "e": e}


Answer = tuple[int, bytes]
Claims = dict[str, Any]


@dataclass
class Provider:
    """The provider's state.

    Attributes:
        subject: the person who signs in.
        acr: the value of the claim `acr`.
        change: changes the claims before they are signed.
        sign: makes the token of the claims.
        answers: answers in place of the real ones, by path.
        requests: the authorization requests.
    """

    issuer: str = ""
    subject: str = "agent-0042"
    acr: Any = ACR
    keys: Any = field(default_factory=lambda: {"keys": [jwk()]})
    metadata: dict[str, Any] = field(default_factory=dict)
    change: Callable[[Claims], None] = lambda _claims: None
    sign: Callable[[Claims], str] = signed
    answers: dict[str, Callable[[], Answer]] = field(default_factory=dict)
    requests: list[dict[str, str]] = field(default_factory=list)
    auth_time: float | None = None
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    tokens: int = 0

    def authorize(self, url: str) -> dict[str, str]:
        """Check an authorization request, let the person sign in; return the parameters of the response."""
        asked = dict(parse_qsl(urlsplit(url).query, strict_parsing=True))
        assert url.startswith(f"{self.issuer}/authorize?tenant=1&"), url
        assert asked["response_type"] == "code"
        assert asked["client_id"] == CLIENT_ID
        assert asked["scope"] == "openid"
        assert asked["code_challenge_method"] == "S256"
        assert asked["acr_values"] == ACR
        assert min(len(asked[name]) for name in ("state", "nonce", "code_challenge")) == 43
        self.requests.append(asked)
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        return {"code": code, "state": asked["state"], "iss": self.issuer}

    def answer(self, path: str, headers: dict[str, str], body: bytes) -> Answer:
        if path in self.answers:
            return self.answers[path]()
        if path == "/.well-known/openid-configuration":
            return _json(self._metadata())
        if path == "/jwks":
            return _json(self.keys)
        if path == "/token":
            return self._token(headers, dict(parse_qsl(body.decode(), strict_parsing=True)))
        return 404, b"nothing here"

    def _metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize?tenant=1",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "authorization_response_iss_parameter_supported": True,
            **self.metadata,
        }

    def _token(self, headers: dict[str, str], form: dict[str, str]) -> Answer:
        scheme, _, credentials = headers.get("Authorization", "").partition(" ")
        pair = base64.b64decode(credentials).decode().split(":")
        asked = self.codes.pop(form["code"], None)
        challenge = b64(hashlib.sha256(form["code_verifier"].encode()).digest())
        is_right = (
            scheme == "Basic"
            and [unquote_plus(part) for part in pair] == [CLIENT_ID, CLIENT_SECRET]
            and asked is not None
            and form["grant_type"] == "authorization_code"
            and form["redirect_uri"] == asked["redirect_uri"]
            and challenge == asked["code_challenge"]
        )
        if not is_right or asked is None:
            return _json({"error": "invalid_grant"}, 400)
        self.tokens += 1
        claims = {
            "iss": self.issuer,
            "sub": self.subject,
            "aud": CLIENT_ID,
            "exp": int(time.time()) + 300,
            "iat": int(time.time()),
            "nonce": asked["nonce"],
            "acr": self.acr,
        }
        if self.auth_time is not None or "max_age" in asked:
            claims["auth_time"] = int(time.time() if self.auth_time is None else self.auth_time)
        self.change(claims)
        return _json({"access_token": "opaque", "token_type": "Bearer", "id_token": self.sign(claims)})


def _json(content: Any, status: int = 200) -> Answer:
    return status, json.dumps(content).encode()


@contextmanager
def serving() -> Iterator[Provider]:
    """Serve a provider in a thread until the end of the block."""
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._serve(b"")

        def do_POST(self) -> None:
            self._serve(self.rfile.read(int(self.headers["Content-Length"])))

        def _serve(self, body: bytes) -> None:
            status, content = provider.answer(urlsplit(self.path).path, dict(self.headers), body)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            with suppress(OSError):  # the desk may have given up
                self.end_headers()
                self.wfile.write(content)

        def log_message(self, *_arguments: Any) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider.issuer = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def path(answer: dict[str, str]) -> str:
    return f"/connexion/academie/retour?{urlencode(answer)}"
