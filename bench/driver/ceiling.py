"""The driver's own ceiling: a server with one canned answer, and how many requests a second the driver gets from it.

A result near the ceiling says more about the driver than about the provider. The canned server is a process of its own,
on the server's core: `python -m bench.driver.ceiling PORT`.
"""

import asyncio
import json
import sys
from typing import Any

from bench.driver.provider import Client, Provider
from bench.driver.relying_party import DISCOVERY
from bench.driver.transport import HOST, runner

CANNED = "canned"


def provider(port: int) -> Provider:
    """Return the canned server as a provider that answers discovery."""
    return Provider(CANNED, port, Client("", "", "", ""), "", "", "", [])


def _document(port: int) -> bytes:
    issuer = f"http://{HOST}:{port}"
    endpoints = ("authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri")
    return json.dumps(
        {"issuer": issuer, "padding": "x" * 1500, **dict.fromkeys(endpoints, f"{issuer}{DISCOVERY}")}
    ).encode()


class _Canned(asyncio.Protocol):
    """Answers each request; the driver sends one at a time, without a body."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection (called by the event loop)."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer (called by the event loop)."""
        if data.endswith(b"\r\n\r\n"):
            self._transport.write(self._answer)


async def _serve(port: int) -> None:
    body = _document(port)
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    answer = head.encode() + body
    server = await asyncio.get_running_loop().create_server(lambda: _Canned(answer), HOST, port)
    await server.serve_forever()


if __name__ == "__main__":
    with runner() as loop:
        loop.run(_serve(int(sys.argv[1])))
