"""What the bench counts and measures, its tables, and the pinned files of the peers."""

import json
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import tomllib
from collections import Counter

import psycopg
import pytest
from sqlalchemy import make_url

from bench import machine
from bench.counting.cost import Cost, Request, kind_of
from bench.counting.proxy import CountingProxy, Frontend
from bench.desk import measure
from bench.driver.campaign import Key, Measured
from bench.driver.closed_loop import Flows
from bench.driver.slow import Slowed
from bench.driver.window import Window
from bench.machine import Memory
from bench.peers import canaille
from bench.peers.install import NODE_SOURCES, REQUIREMENTS
from bench.results import figures, goals, table
from tests.rows import each_row

_SSO: Key = ("idp", "sso", 8)
_PEER: Key = ("node-memory", "sso", 8)


def _measured(*rates: float, **others: float) -> Measured:
    return Measured([Window(rate=rate, **others) for rate in rates])  # type: ignore[arg-type]


def test_a_row_has_medians_and_sums() -> None:
    windows = [
        Window(rate=10, p50=3, cpu=1, foreign=0.1, verified=4),
        Window(rate=30, p50=1, cpu=5, foreign=0.3, verified=5, errors=2),
        Window(rate=20, p50=2, cpu=3, foreign=0.2, verified=6, errors=1),
    ]
    row = figures.row(_SSO, Measured(windows, repeated=2))
    assert (row.rate, row.lowest, row.highest) == (20, 10, 30)
    assert (row.p50, row.cpu, row.foreign) == (2, 3, 0.2)
    assert (row.verified, row.errors, row.repeated) == (15, 3, 2)


def test_a_footprint_tells_the_worker_from_the_master() -> None:
    processes = [Memory(1, 60, 20), Memory(2, 140, 90), Memory(3, 12, 3)]
    assert figures.footprint(processes) == figures.Footprint(140, 90, 60)
    assert figures.footprint(processes[:1]) == figures.Footprint(60, 20, None)
    assert figures.footprint([]) is None


def test_the_largest_footprint_is_that_of_one_provider() -> None:
    measured = {
        _SSO: Measured([Window(memory=[Memory(1, 100, 50)]), Window(memory=[Memory(1, 120, 60)])]),
        _PEER: Measured([Window(memory=[Memory(9, 400, 400)])]),
    }
    footprint = figures.largest_footprint(measured, "idp")
    assert footprint is not None
    assert footprint.worker == 120
    assert figures.largest_footprint(measured, "other") is None


@pytest.mark.parametrize(("cost", "is_broken"), [(Cost(5, 4), False), (Cost(6, 4), True), (Cost(5, 5), True)])
def test_a_limit_holds_statements_and_commits(cost: Cost, *, is_broken: bool) -> None:
    limits = goals.LIMITS
    assert limits["login"] == Cost(5, 4)
    assert bool(goals.broken_limits(limits, "login", [Request("POST /a", cost)])) is is_broken
    assert goals.broken_limits(limits, "discovery", [Request("GET /a", cost)]) == []


def test_the_table_of_ratios_names_goals_and_gaps() -> None:
    measured = {_SSO: _measured(10, 12, cpu=1), _PEER: _measured(8, 8, cpu=2), ("idp", "jwks", 8): _measured(5, 5)}
    head, sso, jwks = table.ratios(measured, "idp", ["node-memory", "canaille"]).splitlines()
    assert head.startswith("scenario")
    assert sso.split() == [
        "sso",
        "8",
        "1.38",
        "(1.25–1.50)",
        "–",
        "≥",
        "1.25",
        "of",
        "memory",
        "2.00",
        "(2.00–2.00)",
        "–",
    ]
    assert jwks.split() == ["jwks", "8", "–", "–", "≥", "1", "of", "memory", "–", "–"]


def test_the_table_of_results_has_a_line_for_each_row() -> None:
    rows = [figures.row(_SSO, _measured(1234.5, server=0.987)), figures.row(_PEER, _measured(12.34))]
    head, first, second = table.results(rows).splitlines()
    assert len(head.split()) >= len(first.split())
    assert first.split()[:5] == ["sso", "8", "idp", "1,234", "1,234–1,234"]
    assert "0.99" in first.split()
    assert second.split()[3] == "12.3"


def test_slow_connections_are_compared_with_the_usual() -> None:
    usual = Flows(1, [0.010] * 20)
    lines = table.slowed(usual, [Slowed("headers", Flows(1, [0.015] * 20), 7)])
    assert lines[1].split(": ", 1)[1].startswith("p95 15.0 ms, 1.50 times the usual")
    assert lines[1].endswith("closed 7 of them")


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


_BUSY = """
import subprocess, sys, time
work = "import time; began = time.process_time()\\nwhile time.process_time() - began < 0.3: pass"
subprocess.run([sys.executable, "-c", work], check=True)
print("done", flush=True)
time.sleep(60)
"""


def test_the_time_of_ended_children_counts() -> None:
    process = subprocess.Popen([sys.executable, "-c", _BUSY], stdout=subprocess.PIPE)
    try:
        assert process.stdout
        assert process.stdout.readline() == b"done\n"
        assert 0.3 <= machine.used_seconds(process.pid) < 5
        assert machine.foreign_seconds(process.pid) < machine.foreign_seconds()
        assert machine.family(process.pid) == [process.pid]
        [memory] = machine.memory(process.pid)
        assert memory.pid == process.pid
        assert 1 < memory.pss <= memory.rss < 200
    finally:
        process.kill()
        process.communicate()
    assert machine.used_seconds(process.pid) == 0
    assert machine.memory(process.pid) == []


def test_a_parent_is_known_by_the_name_of_its_child() -> None:
    with open("/proc/self/comm", encoding="utf-8") as file:  # noqa: PTH123 - no file of the project
        name = file.read().strip()
    assert machine.parent_of(os.getpid(), name) == os.getppid()
    assert machine.parent_of(os.getpid(), "postgres") is None


def test_a_core_is_kept_for_the_block_only() -> None:
    before = machine.cores()
    with machine.pinned(before[0]):
        assert machine.cores() == before[:1]
    assert machine.cores() == before


@each_row("name", ["BERNARD", "LEROY", "NGUYENVAN", "BARREAU"])
def test_a_mistyped_name_has_two_neighbours_exchanged(name: str) -> None:
    draw = random.Random(1)
    for _ in range(20):
        typed = measure._mistyped(name, draw)
        assert sorted(typed) == sorted(name)
        assert typed[:2] == name[:2]
        assert sum(a != b for a, b in zip(typed, name, strict=True)) == 2


def test_the_table_names_what_is_above_its_goal() -> None:
    table = measure._table(
        [measure.Measured("search", [10.0] * 19 + [70.0], 50.0), measure.Measured("board", [10.0, 12.0], 100.0)]
    )
    _, search, board = table.splitlines()
    assert search.endswith("above its goal")
    assert "10.0" in search
    assert not board.endswith("above its goal")


_PACKAGE = json.loads((NODE_SOURCES / "package.json").read_text(encoding="utf-8"))
_LOCK = json.loads((NODE_SOURCES / "package-lock.json").read_text(encoding="utf-8"))


def test_npm_packages_are_pinned_with_their_hashes() -> None:
    assert _LOCK["packages"][""]["dependencies"] == _PACKAGE["dependencies"]
    packages = {name: package for name, package in _LOCK["packages"].items() if name}
    assert len(packages) > 20
    assert [name for name, package in packages.items() if not package["integrity"].startswith("sha512-")] == []
    assert [name for name, package in packages.items() if "resolved" in package] == []  # any registry may serve them
    for name, version in _PACKAGE["dependencies"].items():
        assert packages[f"node_modules/{name}"]["version"] == version
    assert _PACKAGE["dependencies"]["oidc-provider"].startswith("9.")


def test_python_packages_are_pinned_with_their_hashes() -> None:
    text = REQUIREMENTS.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert len(lines) > 20
    assert [line for line in lines if not re.match(r"[\w.-]+(\[[\w,-]+\])?==[\w.]+ .*--hash=sha256:\w{64}", line)] == []
    requirements = (REQUIREMENTS.with_suffix(".in")).read_text(encoding="utf-8").splitlines()
    pins = [re.sub(r"\[.*\]", "", line) for line in requirements if not line.startswith("#")]
    assert [pin for pin in pins if not any(line.startswith(f"{pin} ") for line in lines)] == []


def test_the_configuration_of_canaille_is_valid() -> None:
    settings = tomllib.loads(canaille.configuration(8001, "postgresql://u@/d?host=/tmp/a"))
    assert settings["SERVER_NAME"] == "127.0.0.1:8001"
    assert settings["CANAILLE_SQL"]["DATABASE_URI"] == "postgresql+psycopg2://u@/d?host=%2Ftmp%2Fa"
    assert settings["CANAILLE_SQL"]["PASSWORD_HASH_PARAMS"]["argon2__memory_cost"] == 19 * 1024
    [key] = settings["CANAILLE_OIDC"]["ACTIVE_JWKS"]
    assert key["kty"] == "RSA"
    assert "d" in key


@pytest.mark.interop
def test_the_scripts_of_node_are_valid() -> None:
    node = shutil.which("node")
    assert node
    scripts = sorted(NODE_SOURCES.glob("*.mjs"))
    assert [script.stem for script in scripts] == ["hash_rate", "redis_adapter", "server"]
    for script in scripts:
        subprocess.run([node, "--check", script], check=True)
