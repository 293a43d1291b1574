"""DPoP proofs with one fault each, by the rules of RFC 9449 4.3, and unusual but valid proofs."""

import base64
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa

from tests.dpop_party import Key, coordinate, whole
from tests.signatures import b64

ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA", "Ed25519")
LARGE = Key.new("RS256")


@dataclass
class Request:
    key: Key
    method: str
    url: str
    token: str | None = None

    @property
    def head(self) -> dict[str, Any]:
        return {"typ": "dpop+jwt", "alg": self.key.alg, "jwk": self.key.jwk}

    @property
    def body(self) -> dict[str, Any]:
        return {"jti": "x", "htm": self.method, "htu": self.url, "iat": now()}

    def proof(self, **changes: Any) -> str:
        return self.key.proof(self.method, self.url, self.token, **changes)

    def signed_by(self, other: Key, **head: Any) -> str:
        """Return a proof with the right `jwk` and the signature of another key."""
        return other.proof(self.method, self.url, self.token, head={"alg": self.key.alg, "jwk": self.key.jwk, **head})


Maker = Callable[[Request], str]


def cut(proof: str) -> list[str]:
    return proof.split(".")


def tampered(proof: str) -> str:
    head, body, signature = cut(proof)
    return f"{head}.{body}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"


def without_signature(at: Request) -> str:
    head, body, _ = cut(at.proof(head={"alg": "none"}))
    return f"{head}.{body}."


def renamed(at: Request) -> str:
    """Return a proof whose `alg` was removed after the signature."""
    head, body, signature = cut(at.proof())
    text = base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)).replace(b'"alg"', b'"alg2"')
    return f"{b64(text)}.{body}.{signature}"


def doubled(at: Request) -> str:
    head, body, _ = cut(at.proof())
    text = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)).replace(b'{"jti"', b'{"htm":"PUT","jti"')
    signed = f"{head}.{b64(text)}"
    return f"{signed}.{b64(at.key.signature(signed.encode()))}"


def small(at: Request) -> str:
    return Key("RS256", rsa.generate_private_key(65537, 1024)).proof(at.method, at.url, at.token)  # noqa: S505


def of_another_curve(at: Request) -> str:
    point = ec.generate_private_key(ec.SECP384R1()).public_key().public_numbers()
    jwk = {"kty": "EC", "crv": "P-384", "x": b64(point.x.to_bytes(48)), "y": b64(point.y.to_bytes(48))}
    return at.proof(head={"jwk": jwk})


def by_ed448(at: Request, alg: str) -> str:
    private = ed448.Ed448PrivateKey.generate()
    jwk = {"kty": "OKP", "crv": "Ed448", "x": b64(private.public_key().public_bytes_raw())}
    head, body, _ = cut(at.proof(head={"alg": alg, "jwk": jwk}))
    signed = f"{head}.{body}"
    return f"{signed}.{b64(private.sign(signed.encode()))}"


def slow(at: Request) -> str:
    """Return a proof of an RSA key with a large exponent, which makes a verification as expensive as a signature."""
    jwk = {"kty": "RSA", "n": LARGE.jwk["n"], "e": whole(2**2047 + 1)}
    return at.proof(head={"alg": "RS256", "jwk": jwk})


def now() -> int:
    return int(time.time())


NEGATIVES: dict[str, dict[str, Maker]] = {
    # 1. There is not more than one DPoP HTTP request header field.
    # 2. The DPoP HTTP request header field value is a single and well-formed JWT.
    "it is not a signed JWT of at most 6000 characters": {
        "two proofs": lambda at: f"{at.proof()}, {at.proof()}",
        "two proofs without a blank": lambda at: f"{at.proof()},{at.proof()}",
        "nothing": lambda _at: "",
        "two parts": lambda at: ".".join(cut(at.proof())[:2]),
        "four parts": lambda at: f"{at.proof()}.x",
        "padding": lambda at: f"{at.proof()}=",
        "a blank in it": lambda at: at.proof().replace(".", " .", 1),
        "a megabyte": lambda at: at.proof(jti="x" * 1_000_000),
        "no signature": without_signature,
    },
    "it is not a well-formed JWT": {
        "a header that is a list": lambda at: at.key.sign([], {}),
        "a body that is no JSON": lambda at: at.key.sign(at.head, b"x"),
        "a body that is a number": lambda at: at.key.sign(at.head, 1),
        "a body in another encoding": lambda at: at.key.sign(at.head, json.dumps(at.body).encode("utf-16")),
        "a body that is too deep": lambda at: at.key.sign(at.head, b"[" * 4000),
        "a body in letters of no alphabet": lambda at: f"{cut(at.proof())[0]}.A.{cut(at.proof())[2]}",
        "a method twice": doubled,
        "an iat that is not a number": lambda at: at.proof(iat=float("nan")),
        "an expiry without end": lambda at: at.proof(exp=float("inf")),
    },
    # 3. All required claims per Section 4.2 are contained in the JWT.
    "jti, htm or htu is missing, or not text": {
        "no jti": lambda at: at.proof(jti=None),
        "no htm": lambda at: at.proof(htm=None),
        "no htu": lambda at: at.proof(htu=None),
        "an empty jti": lambda at: at.proof(jti=""),
        "a jti that is a number": lambda at: at.proof(jti=1),
        "a jti that is too long": lambda at: at.proof(jti="x" * 301),
        "an htm that is a list": lambda at: at.proof(htm=[at.method]),
        "an htu that is a list": lambda at: at.proof(htu=[at.url]),
        "an htu that is too long": lambda at: at.proof(htu=f"{at.url}?{'x' * 2000}"),
    },
    "iat is missing, or not a number": {
        "no iat": lambda at: at.proof(iat=None),
        "an iat that is text": lambda at: at.proof(iat=str(now())),
        "an iat that is true": lambda at: at.proof(iat=True),
    },
    # 4. The typ JOSE Header Parameter has the value dpop+jwt.
    "its type must be dpop+jwt": {
        "no typ": lambda at: at.proof(head={"typ": None}),
        "another typ": lambda at: at.proof(head={"typ": "dpop+jwt+wrongyousee"}),
        "a plain JWT": lambda at: at.proof(head={"typ": "JWT"}),
    },
    "its header has an extension that is not supported": {
        "an extension to understand": lambda at: at.proof(head={"crit": ["exp"], "exp": 1}),
        "a body that is not encoded": lambda at: at.proof(head={"crit": ["b64"], "b64": False}),
    },
    # 5. The alg JOSE Header Parameter indicates a registered asymmetric digital signature algorithm, is not none, is
    # supported by the application, and is acceptable per local policy.
    f"its algorithm must be one of {' '.join(ALGORITHMS)}": {
        "no alg": renamed,
        "alg none": lambda at: at.proof(head={"alg": "none"}),
        "alg None": lambda at: at.proof(head={"alg": "None"}),
        "an alg that is a list": lambda at: at.proof(head={"alg": [at.key.alg]}),
        "a secret as a key": lambda at: at.proof(head={"alg": "HS256", "jwk": {"kty": "oct", "k": "eHh4"}}),
        "alg HS256 over the public key": lambda at: at.proof(head={"alg": "HS256"}),
        "an algorithm that is not served": lambda at: at.proof(head={"alg": "ES512"}),
        "another Edwards curve": lambda at: by_ed448(at, "Ed448"),
        "an alg in small letters": lambda at: at.proof(head={"alg": "ed25519"}),
    },
    # 6. The JWT signature verifies with the public key contained in the jwk JOSE Header Parameter.
    "the key is not one for ES256": {
        "no jwk": lambda at: at.proof(head={"jwk": None}),
        "a key elsewhere": lambda at: at.proof(head={"jwk": None, "jku": "https://127.0.0.1/keys", "kid": "1"}),
        "a key that is text": lambda at: at.proof(head={"jwk": "x"}),
        "a key of another kind": lambda at: at.proof(head={"jwk": LARGE.jwk}),
        "a key of another curve": of_another_curve,
    },
    "the key is not one for EdDSA": {
        "a key of another Edwards curve": lambda at: by_ed448(at, "EdDSA"),
        "a key of another Edwards curve, said to be Ed25519": lambda at: by_ed448(at, "Ed25519"),
        "a key of another kind, said to be Ed25519": lambda at: at.proof(head={"alg": "Ed25519"}),
    },
    "the key lacks members": {
        "a key with a part missing": lambda at: at.proof(head={"jwk": {"kty": "EC", "crv": "P-256", "x": "x"}}),
        "a key with an odd part": lambda at: at.proof(head={"jwk": {**at.key.jwk, "x": ["x"]}}),
        "a key in another alphabet": lambda at: at.proof(head={"jwk": {**at.key.jwk, "x": "é"}}),
    },
    "the key is malformed": {
        "a point that is on no curve": lambda at: at.proof(head={"jwk": {**at.key.jwk, "y": coordinate(5)}}),
        "a key in other letters": lambda at: at.proof(head={"jwk": {**at.key.jwk, "x": "+/="}}),
    },
    "an RSA key must have 2048 to 4096 bits, and a small exponent": {
        "a small RSA key": small,
        "an RSA key of nothing": lambda at: LARGE.proof(
            at.method, at.url, at.token, head={"jwk": {**LARGE.jwk, "n": ""}}
        ),
        "an RSA key that makes us work": slow,
    },
    "its signature is invalid": {
        "a signature that was tampered with": lambda at: tampered(at.proof()),
        "the signature of another key": lambda at: at.signed_by(Key.new()),
        "a signature of another kind": lambda at: at.signed_by(LARGE),
        "a signature of another algorithm": lambda at: LARGE.proof(at.method, at.url, at.token, head={"alg": "PS256"}),
    },
    # 7. The jwk JOSE Header Parameter does not contain a private key.
    "the key must be a public key": {
        "a private key": lambda at: at.proof(head={"jwk": at.key.secret_jwk}),
    },
    # 8. The htm claim matches the HTTP method of the current request.
    "htm is not the method of this request": {
        "another method": lambda at: at.proof(htm="PUT"),
        "the method in small letters": lambda at: at.proof(htm=at.method.lower()),
    },
    # 9. The htu claim matches the HTTP URI value for the HTTP request in which the JWT was received, ignoring any query
    # and fragment parts.
    "htu is not the URL of this request": {
        "another address": lambda at: at.proof(htu=f"{at.url}ohnonotagain"),
        "another host": lambda at: at.proof(htu=at.url.replace("connexion.", "evil.")),
        "another port": lambda at: at.proof(htu=at.url.replace(".test/", ".test:8443/")),
        "another scheme": lambda at: at.proof(htu=at.url.replace("https:", "http:")),
        "a port that is none": lambda at: at.proof(htu=at.url.replace(".test/", ".test:x/")),
        "a host that is none": lambda at: at.proof(htu="https://[/"),
        "somebody before the host": lambda at: at.proof(htu=at.url.replace("https://", "https://evil.test@")),
        "the path alone": lambda at: at.proof(htu=at.url.partition(".test")[2]),
        "a path in capitals": lambda at: at.proof(htu=at.url.upper()),
        "a slash that is none": lambda at: at.proof(htu=at.url.replace(".test/", ".test/%2f")),
        "a line end": lambda at: at.proof(htu=at.url.replace(".test/", ".test\n/")),
        "letters of another alphabet": lambda at: at.proof(htu=at.url.replace("e", "\u0435")),
    },
    # 11. The creation time of the JWT, as determined by … the iat claim …, is within an acceptable window.
    "iat differs too much from the time of this server": {
        "an hour ago": lambda at: at.proof(iat=now() - 3600),
        "in an hour": lambda at: at.proof(iat=now() + 3600),
        "more than a minute ago": lambda at: at.proof(iat=now() - 65),
        "in more than a minute": lambda at: at.proof(iat=now() + 65),
        "at the end of time": lambda at: at.proof(iat=10**300),
        "before time": lambda at: at.proof(iat=-(10**300)),
    },
    "it is not valid now": {
        "expired": lambda at: at.proof(exp=now() - 5),
        "not yet valid": lambda at: at.proof(nbf=now() + 600),
    },
    "nbf and exp must be numbers": {
        "an expiry that is text": lambda at: at.proof(exp="never"),
    },
}
"""Proofs with one fault each, by the description of the fault; the numbers are those of RFC 9449 4.3."""

WITH_A_TOKEN: dict[str, dict[str, Maker]] = {
    # 12. If presented to a protected resource in conjunction with an access token: ensure that the value of the ath
    # claim equals the hash of that access token …
    "ath is not the hash of the access token": {
        "no ath": lambda at: at.proof(ath=None),
        "another ath": lambda at: at.proof(ath=b64(b"x" * 32)),
        "an ath that is a list": lambda at: at.proof(ath=[at.token]),
        "the token itself": lambda at: at.proof(ath=at.token),
    },
}

POSITIVES: dict[str, Maker] = {
    "as it is": lambda at: at.proof(),
    "a query and a fragment": lambda at: at.proof(htu=f"{at.url}?allthedoors#programmed"),
    "scheme and host in capitals": lambda at: at.proof(
        htu=at.url.replace("https://connexion.exemple.test", "HTTPS://CONNEXION.EXEMPLE.TEST")
    ),
    "the default port": lambda at: at.proof(htu=at.url.replace(".test/", ".test:443/")),
    "a letter written otherwise": lambda at: at.proof(htu=at.url.replace(".test/u", ".test/%75")),
    "ten seconds ago": lambda at: at.proof(iat=now() - 10),
    "in ten seconds": lambda at: at.proof(iat=now() + 10),
    "nearly a minute ago": lambda at: at.proof(iat=now() - 55),
    "parts of a second": lambda at: at.proof(iat=time.time()),
    "nbf and exp": lambda at: at.proof(nbf=now(), exp=now() + 300),
    "members that we do not know": lambda at: at.proof(head={"tx_id": 1, "kid": "mine"}, tx_id_key=1, nonce="x"),
    "a key that says what it is for": lambda at: at.proof(
        head={"jwk": {**at.key.jwk, "use": "sig", "alg": at.key.alg, "kid": "1"}}
    ),
}
