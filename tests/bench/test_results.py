"""What the bench counts, its limits, and the pinned files of the peers."""

import json
import re
import shutil
import subprocess

import psycopg
import pytest
from sqlalchemy import make_url

from bench.counting.cost import Cost, Request, kind_of
from bench.counting.proxy import CountingProxy
from bench.peers.install import NODE_SOURCES, REQUIREMENTS
from bench.results import goals
from tests.rows import each_row


@pytest.mark.parametrize(("cost", "is_broken"), [(Cost(5, 4), False), (Cost(6, 4), True), (Cost(5, 5), True)])
def test_a_limit_holds_statements_and_commits(cost: Cost, *, is_broken: bool) -> None:
    limits = goals.LIMITS
    assert limits["login"] == Cost(5, 4)
    assert bool(goals.broken_limits(limits, "login", [Request("POST /a", cost)])) is is_broken
    assert goals.broken_limits(limits, "discovery", [Request("GET /a", cost)]) == []


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


@pytest.mark.interop
def test_the_scripts_of_node_are_valid() -> None:
    node = shutil.which("node")
    assert node
    scripts = sorted(NODE_SOURCES.glob("*.mjs"))
    assert [script.stem for script in scripts] == ["hash_rate", "redis_adapter", "server"]
    for script in scripts:
        subprocess.run([node, "--check", script], check=True)
