"""A small OpenID provider on loopback with its own signatures, which can send one false value."""

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Thread
from typing import Any
from urllib.parse import unquote_plus, urlencode

from flask import Flask, Response, jsonify, redirect, request
from joserfc import jws, jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey
from werkzeug.serving import make_server
from werkzeug.wrappers import Response as AnyResponse

CLIENT_ID = "ent-de-test"
CLIENT_SECRET = "un-secret-de-test_~."
Claims = dict[str, Any]
RSA = RSAKey.generate_key(2048, {"kid": "rsa-1", "use": "sig", "alg": "RS256"}, private=True)
OTHER_RSA = RSAKey.generate_key(2048, {"kid": "rsa-1", "use": "sig", "alg": "RS256"}, private=True)
EC = ECKey.generate_key("P-256", {"kid": "ec-1", "use": "sig", "alg": "ES256"}, private=True)
PSS = RSAKey.generate_key(2048, {"kid": "ps-1", "use": "sig", "alg": "PS256"}, private=True)
ED = OKPKey.generate_key("Ed25519", {"kid": "ed-1", "use": "sig", "alg": "EdDSA"}, private=True)
KEYS: dict[str, RSAKey | ECKey | OKPKey] = {"RS256": RSA, "PS256": PSS, "ES256": EC, "EdDSA": ED}


def unsigned(claims: Claims) -> str:
    """Return a JWT with the algorithm `none` (RFC 7519, 6)."""
    return f"{_segment({'alg': 'none', 'kid': 'rsa-1'})}.{_segment(claims)}."


def signed_with_public_key(claims: Claims) -> str:
    """Return a JWT whose HMAC secret is the public key. A library that trusts `alg` accepts it."""
    signed = f"{_segment({'alg': 'HS256', 'kid': 'rsa-1'})}.{_segment(claims)}"
    mac = hmac.new(RSA.as_pem(private=False), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def _segment(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@dataclass
class FakeProvider:
    """The state of the provider. Each `*_lie` changes one response."""

    issuer: str = ""
    keys: list[RSAKey | ECKey | OKPKey] = field(default_factory=lambda: [RSA, EC])
    signing_key: RSAKey | ECKey | OKPKey = field(default_factory=lambda: RSA)
    algorithm: str = "RS256"
    header: Claims = field(default_factory=dict)
    metadata_lie: Claims = field(default_factory=dict)
    claims_lie: Callable[[Claims], Claims] = lambda claims: claims
    userinfo_lie: Callable[[Claims], Claims] = lambda claims: claims
    token_lie: Claims = field(default_factory=dict)
    sign: Callable[[Claims], str] | None = None
    answer_lie: dict[str, str | None] = field(default_factory=dict)
    charter_version: str = "2"
    charter_text: str = "# Charte\n\n## 1. Respect\n\n<script>alert(1)</script>\n\n![x](https://mouchard.example/x.png)"
    charter_status: int = 200
    accepted: list[str] = field(default_factory=list)
    token_refused: bool = False
    client_id: str = CLIENT_ID
    client_secret: str = CLIENT_SECRET
    userinfo_key: RSAKey | ECKey | OKPKey | None = None
    refreshes: dict[str, dict[str, str]] = field(default_factory=dict)
    bodies: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    headers: list[tuple[str, str]] = field(default_factory=list)
    away: str = ""
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    requests: list[dict[str, str]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    sub: str = "7c1f0e9ad2b84c55"

    @property
    def charter_claims(self) -> Claims:
        return {"charter_accepted": self.charter_version in self.accepted, "charter_version": self.charter_version}

    def answer(self, code: str) -> dict[str, str]:
        parameters = {"code": code, "state": self.requests[-1]["state"], "iss": self.issuer}
        return {name: value for name, value in {**parameters, **self.answer_lie}.items() if value is not None}

    def id_token(self, parameters: dict[str, str], access_token: str) -> str:
        half = (hashlib.sha512 if self.algorithm == "EdDSA" else hashlib.sha256)(access_token.encode()).digest()
        moment = int(time.time())
        claims: Claims = {
            "iss": self.issuer,
            "sub": self.sub,
            "aud": self.client_id,
            "azp": self.client_id,
            "iat": moment,
            "exp": moment + 300,
            "auth_time": int(parameters.get("auth_time", moment)),
            "nonce": parameters.get("nonce"),
            "at_hash": base64.urlsafe_b64encode(half[: len(half) // 2]).rstrip(b"=").decode(),
            "sid": "sid-1",
            **self.charter_claims,
        }
        claims = self.claims_lie({name: value for name, value in claims.items() if value is not None})
        if self.sign is not None:
            return self.sign(claims)
        header = {"alg": self.algorithm, "kid": self.signing_key.kid, **self.header}
        header = {name: value for name, value in header.items() if value is not None}
        return jwt.encode(header, claims, self.signing_key, algorithms=[self.algorithm])

    def userinfo(self) -> Claims:
        return self.userinfo_lie(
            {
                "sub": self.sub,
                "name": "Noémie LEROY-VANDEPUTTE",
                "given_name": "Noémie",
                "family_name": "LEROY-VANDEPUTTE",
                "email": "noemie.leroy@exemple.fr",
                "email_verified": True,
                "ENTPersonProfils": ["National_2"],
                "FrEduVecteur": ["2|LEROY-VANDEPUTTE|Noémie|701001|0599001N"],
                "uai": ["0599001N"],
                "children": [
                    {
                        "given_name": "Malo",
                        "family_name": "LEROY",
                        "class": "6e 1",
                        "uai": "0599001N",
                        "student_id": "701001",
                    }
                ],
                **self.charter_claims,
            }
        )


@contextmanager
def running_provider() -> Iterator[FakeProvider]:
    provider = FakeProvider()
    server = make_server("127.0.0.1", 0, _application(provider), threaded=True)
    provider.issuer = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _application(provider: FakeProvider) -> Flask:
    app = Flask("fake_provider")

    @app.before_request
    def count() -> tuple[bytes, int] | None:
        provider.calls.append(request.path)
        provider.headers.append((request.path, request.headers.get("Authorization", "")))
        body = provider.bodies.get(request.path)
        return None if body is None else (body[1], body[0])

    @app.get("/.well-known/openid-configuration")
    def discovery() -> Response:
        paths = {
            "authorization_endpoint": "/authorize",
            "token_endpoint": "/token",
            "userinfo_endpoint": "/userinfo",
            "jwks_uri": "/jwks.json",
            "end_session_endpoint": "/logout",
        }
        # `none` and HS256 are listed on purpose: the ENT must not take the algorithm from discovery.
        metadata: Claims = {
            "issuer": provider.issuer,
            "authorization_response_iss_parameter_supported": True,
            "id_token_signing_alg_values_supported": ["RS256", "none", "HS256"],
        }
        metadata |= {name: provider.issuer + path for name, path in paths.items()}
        return jsonify({k: v for k, v in (metadata | provider.metadata_lie).items() if v is not None})

    @app.get("/jwks.json")
    def jwks() -> Response:
        return jsonify({"keys": [key.as_dict(private=False) for key in provider.keys]})

    @app.get("/authorize")
    def authorize() -> AnyResponse:
        parameters = request.args.to_dict()
        if provider.away:
            return redirect(provider.away, 303)
        provider.requests.append(parameters)
        code = secrets.token_urlsafe(16)
        provider.codes[code] = {**parameters, "auth_time": str(int(time.time()))}
        return redirect(f"{parameters['redirect_uri']}?{urlencode(provider.answer(code))}", 303)

    @app.route("/moved/<path:path>", methods=["GET", "POST"])
    def moved(path: str) -> AnyResponse:
        return redirect(f"/{path}", 307)

    @app.get("/logout")
    def logout() -> AnyResponse:
        return redirect(
            f"{request.args['post_logout_redirect_uri']}?{urlencode({'state': request.args['state']})}", 303
        )

    _add_back_channel(app, provider)
    _add_apis(app, provider)
    return app


def _add_back_channel(app: Flask, provider: FakeProvider) -> None:
    @app.post("/token")
    def token() -> tuple[Response, int]:
        if not _is_client(provider):
            return jsonify(error="invalid_client"), 401
        parameters = _renewed(provider) if request.form["grant_type"] == "refresh_token" else _redeemed(provider)
        if parameters is None:
            return jsonify(error="invalid_grant"), 400
        access_token, refresh_token = "at-" + secrets.token_urlsafe(16), "rt-" + secrets.token_urlsafe(16)
        answer = {
            "access_token": access_token,
            "token_type": "Bearer",
            "expires_in": 600,
            "id_token": provider.id_token(parameters, access_token),
        }
        if "offline_access" in parameters["scope"].split():
            answer["refresh_token"] = refresh_token
            provider.refreshes[refresh_token] = {name: parameters[name] for name in ("scope", "auth_time")}
        return jsonify({k: v for k, v in (answer | provider.token_lie).items() if v is not None}), 200


def _is_client(provider: FakeProvider) -> bool:
    basic = request.authorization
    if basic is None:
        return not provider.client_secret and request.form.get("client_id") == provider.client_id
    credentials = (unquote_plus(basic.username or ""), unquote_plus(basic.password or ""))
    return credentials == (provider.client_id, provider.client_secret)


def _redeemed(provider: FakeProvider) -> dict[str, str] | None:
    parameters = provider.codes.pop(request.form["code"], None)
    challenge = hashlib.sha256(request.form.get("code_verifier", "").encode()).digest()
    if parameters is None or parameters["code_challenge"] != base64.urlsafe_b64encode(challenge).rstrip(b"=").decode():
        return None
    return parameters if request.form["redirect_uri"] == parameters["redirect_uri"] else None


def _renewed(provider: FakeProvider) -> dict[str, str] | None:
    return provider.refreshes.pop(request.form["refresh_token"], None)


def _is_bearer() -> bool:
    bearer = request.authorization
    return bearer is not None and bearer.type == "bearer" and str(bearer.token).startswith("at-")


def _add_apis(app: Flask, provider: FakeProvider) -> None:
    @app.get("/userinfo")
    def userinfo() -> tuple[Response, int]:
        if not _is_bearer():
            return jsonify(error="invalid_token"), 401
        if provider.userinfo_key is None:
            return jsonify(provider.userinfo()), 200
        claims = provider.userinfo_lie({**provider.userinfo(), "iss": provider.issuer, "aud": provider.client_id})
        key, alg = provider.userinfo_key, str(provider.userinfo_key.get("alg"))
        token = jws.serialize_compact({"alg": alg, "kid": key.kid}, json.dumps(claims), key, algorithms=[alg])
        return Response(token, content_type="application/jwt"), 200

    @app.get("/charter")
    def charter() -> tuple[Response, int]:
        if not _is_bearer() or provider.token_refused:
            return jsonify(error="invalid_token"), 401
        answer = {
            "version": provider.charter_version,
            "published_at": "2026-08-31T22:30:00+00:00",
            "markdown": provider.charter_text,
            "html": "<script>alert('html')</script>",
            "accepted": provider.charter_version in provider.accepted,
        }
        return jsonify(answer), provider.charter_status

    @app.post("/charter/acceptance")
    def acceptance() -> tuple[Response, int]:
        if not _is_bearer():
            return jsonify(error="invalid_token"), 401
        if provider.charter_status == 404:
            return jsonify(error="no_charter"), 404
        version = request.get_json()["version"]
        if version != provider.charter_version:
            return jsonify(error="conflict"), 409
        provider.accepted.append(version)
        return jsonify({"version": version}), 200
