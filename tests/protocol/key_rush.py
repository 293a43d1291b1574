"""Relying parties that sign people in without a pause, at several nodes of a running service (see test_key_rush).

Each caches the JWKS until a token has an unknown `kid`, then requests it from a node that did not sign the token.
"""

import http.client
import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit
from urllib.request import urlopen

from tests.relying_party import Attempt, RelyingParty
from tests.signatures import PublicKey, at_hash, public_key, unb64, verify

PATIENCE = 60.0
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass
class Tally:
    """The counts of all clients, and a sentence for each fault of the service."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    sign_ins: int = 0
    signed: Counter[tuple[int, str]] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def add(self, port: int, kid: str) -> None:
        """Count one verified sign-in; `port` is that of the node that signed the token."""
        with self.lock:
            self.sign_ins += 1
            self.signed[port, kid] += 1

    def complain(self, fault: str) -> None:
        with self.lock:
            self.faults.append(fault)


class Client(threading.Thread):
    """A relying party with its signed-in browsers, used in turn: a session may send one request per second."""

    def __init__(self, ent: RelyingParty, cookies: Sequence[str], ports: Sequence[int], tally: Tally) -> None:
        super().__init__(daemon=True)
        self.ent, self.ports, self.tally = ent, ports, tally
        self._cookies = itertools.cycle(cookies)
        self.keys: dict[str, PublicKey] = {}
        self.looked_up: list[str] = []
        self.refresh = threading.Event()
        self._host = str(urlsplit(ent.issuer).hostname)
        self._lines = {port: http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE) for port in ports}

    def run(self) -> None:
        number = 0
        while not self.tally.stop.is_set():
            number += 1
            try:
                self.sign_in(self.ports[number % 2], self.ports[number // 2 % 2])
            except Exception as error:  # noqa: BLE001 - the test reports every exception
                self.tally.complain(f"{type(error).__name__}: {error}")

    def leave(self) -> None:
        self.join(PATIENCE)
        for line in self._lines.values():
            line.close()

    def sign_in(self, port: int, signer: int) -> None:
        """Get a code from one node and the tokens from another, and verify them (OpenID Connect Core 3.1.3.7)."""
        if self.refresh.is_set():
            self.refresh.clear()
            self.fetch_keys(port)
        attempt = Attempt()
        status, location, _ = self._send(port, "GET", self.ent.url(attempt), {"Cookie": next(self._cookies)})
        answer = dict(part.split("=", 1) for part in urlsplit(location).query.split("&"))
        if status != 303 or "code" not in answer:
            raise AssertionError(f"authorize: {status} {location}")
        form = {
            "grant_type": "authorization_code",
            "code": answer["code"],
            "redirect_uri": self.ent.redirect_uri,
            "code_verifier": attempt.verifier,
        }
        status, _, body = self._send(signer, "POST", "/token", {**self.ent.basic(), **_FORM}, urlencode(form))
        if status != 200:
            raise AssertionError(f"token: {status} {body[:200]!r}")
        self._verify(json.loads(body), attempt, signer)

    def fetch_keys(self, port: int) -> None:
        status, _, body = self._send(port, "GET", "/jwks.json", {})
        assert status == 200, status
        self.keys = {jwk["kid"]: public_key(jwk) for jwk in json.loads(body)["keys"]}

    def _verify(self, tokens: dict[str, str], attempt: Attempt, signer: int) -> None:
        head, claims, signature = tokens["id_token"].split(".")
        header = json.loads(unb64(head))
        kid = header["kid"]
        if kid not in self.keys:
            self.looked_up.append(kid)
            [other] = [port for port in self.ports if port != signer]
            self.fetch_keys(other)
            if kid not in self.keys:
                raise AssertionError(f"{kid}, with which {signer} signs, is not in the JWKS of {other}")
        verify("RS256", self.keys[kid], f"{head}.{claims}".encode(), unb64(signature))
        payload = json.loads(unb64(claims))
        expected = {"iss": self.ent.issuer, "aud": self.ent.client_id, "nonce": attempt.nonce}
        if any(payload[name] != value for name, value in expected.items()) or payload["exp"] <= time.time():
            raise AssertionError(f"claims: {payload}")
        if payload["at_hash"] != at_hash("RS256", tokens["access_token"]):
            raise AssertionError("at_hash")
        self.tally.add(signer, kid)

    def _send(
        self, port: int, method: str, target: str, headers: dict[str, str], body: str | None = None
    ) -> tuple[int, str, bytes]:
        line = self._lines[port]
        line.request(method, target, body, {"Host": self._host, **headers})
        response = line.getresponse()
        content = response.read()
        return response.status, response.headers.get("Location", ""), content


def published(port: int) -> set[str]:
    with urlopen(f"http://127.0.0.1:{port}/jwks.json") as answer:
        return {jwk["kid"] for jwk in json.load(answer)["keys"]}
