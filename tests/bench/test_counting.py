"""Statements are counted in what a driver really sends: with prepared statements, in pieces, with pings."""

import struct
from collections import Counter

import psycopg
import pytest
from sqlalchemy import make_url

from bench.counting.cost import Cost, kind_of
from bench.counting.proxy import CountingProxy, Frontend
from tests.rows import each_row


def _message(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("!I", len(content) + 4) + content


_STARTUP = _message(b"", struct.pack("!I", 196608) + b"user\0x\0\0")
_ENCRYPTION = _message(b"", struct.pack("!I", 80877103))


def _counted(stream: bytes, size: int) -> Counter[str]:
    counts: Counter[str] = Counter()
    frontend = Frontend(counts)
    for start in range(0, len(stream), size):
        frontend.feed(stream[start : start + size])
    return counts


@each_row("size", [1, 3, 1000])
def test_simple_and_prepared_statements_are_counted(size: int) -> None:
    stream = _ENCRYPTION + _STARTUP + _message(b"Q", b"BEGIN\0") + _message(b"Q", b"SELECT 1\0")
    stream += _message(b"P", b"s1\0INSERT INTO a VALUES ($1)\0" + struct.pack("!H", 0))
    for _ in range(3):
        stream += _message(b"B", b"\0s1\0" + struct.pack("!HHH", 0, 0, 0)) + _message(
            b"E", b"\0" + struct.pack("!I", 0)
        )
    stream += _message(b"S", b"") + _message(b"Q", b"COMMIT\0") + _message(b"X", b"")
    assert _counted(stream, size) == {"control": 2, "pings": 1, "statements": 3}


@each_row(
    ("statement", "kind"),
    [
        ("SELECT 1", "pings"),
        (" ; ", "pings"),
        ("", "pings"),
        ("SELECT 1 FROM account", "statements"),
        ("begin isolation level serializable", "control"),
        ("ROLLBACK", "control"),
        ("WITH a AS (SELECT 1) INSERT INTO b SELECT * FROM a", "statements"),
        ("beginning", "statements"),
    ],
)
def test_a_statement_has_its_kind(statement: str, kind: str) -> None:
    assert kind_of(statement) == kind


def test_the_proxy_counts_at_a_real_server(database_url: str) -> None:
    plain = make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with CountingProxy(plain) as proxy, psycopg.connect(proxy.url, autocommit=True) as connection:
        connection.execute("CREATE TEMPORARY TABLE counted (n int)")
        before = proxy.so_far()
        with connection.transaction():
            connection.execute("INSERT INTO counted VALUES (%s)", [1])
            connection.execute("INSERT INTO counted VALUES (%s)", [2], prepare=True)
        row = connection.execute("SELECT count(*) FROM counted", prepare=True).fetchone()
        cost = proxy.so_far() - before
    assert row == (2,)
    assert (cost.statements, cost.control) == (3, 2)
    assert cost.commits >= 1  # other tests may write on the same server


def test_a_proxy_without_a_server_says_so() -> None:
    with pytest.raises(psycopg.OperationalError), CountingProxy("postgresql://x@127.0.0.1:1/x"):
        pass


def test_costs_are_subtracted() -> None:
    assert Cost(3, 2, 1, 1) - Cost(1, 1, 1, 0) == Cost(2, 1, 0, 1)
