"""deploy/nftables.conf in a network of its own, and the numbers that it shares with nginx's limits."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from idp.paths import CHECKOUT
from tests.packaging.test_guide import blocks
from tests.serving.proxy import DEBIAN, RAISED, program, raised

RULES = CHECKOUT / "deploy" / "nftables.conf"
FEW = {"2000": "4", "8000": "8"}
"""The numbers of connections in the test."""


def opened(tmp_path: Path, *plans: tuple[str, str, int]) -> list[int]:
    """Open connections from an IP to an IP and a port, for each plan, in a network with few allowed ones.

    Return how many of the seven that each plan tries were accepted. All stay open until the last plan has ended.
    """
    rules = re.sub(r"(?<=over )\d+", lambda number: FEW[number[0]], RULES.read_text(encoding="utf-8"))
    (tmp_path / "rules").write_text(rules, encoding="utf-8")
    script = Path(__file__).with_name("connections.py")
    command = ["unshare", "--map-root-user", "--net", sys.executable, str(script), str(tmp_path / "rules")]
    done = subprocess.run(
        [*command, program("nft"), program("ip"), json.dumps(plans)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


@pytest.mark.interop
def test_the_rules_are_valid_and_may_be_loaded_again() -> None:
    nft = program("nft")
    commands = f"{nft} --check --file {RULES} && {nft} --file {RULES} && {nft} --file {RULES}"
    command = ["unshare", "--map-root-user", "--net", "sh", "-euc", commands]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.interop
@pytest.mark.row("W-03")
def test_one_network_may_hold_a_number_of_connections_and_others_still_connect(tmp_path: Path) -> None:
    here = {4: "203.0.113.1", 6: "2001:db8:ffff::1"}
    assert opened(
        tmp_path,
        ("203.0.113.9", here[4], 443),
        ("203.0.113.9", here[4], 80),
        ("203.0.113.9", here[4], 8443),
        ("203.0.113.10", here[4], 443),
        ("127.0.0.1", "127.0.0.1", 443),
    ) == [4, 0, 7, 4, 7], "an IPv4, both ports together, no other port; and no limit on this machine"
    assert opened(
        tmp_path,
        ("2001:db8:1:2::1", here[6], 443),
        ("2001:db8:1:2:ffff::9", here[6], 443),
        ("2001:db8:1:3::1", here[6], 443),
        ("2001:db8:1:4::1", here[6], 443),
        ("2001:db8:2:2::1", here[6], 443),
    ) == [4, 0, 4, 0, 4], "a /64; two of them, then the /48 has its number; another /48"


def test_one_network_cannot_hold_all_connections_of_one_worker_of_nginx() -> None:
    configuration = raised(DEBIAN)
    assert raised(configuration) == configuration, "may be done again"
    numbers = {name: int(value) for name, value in re.findall(r"^\s*(worker_\w+) (\d+);", configuration, re.MULTILINE)}
    ipv4, subscriber, site = map(int, re.findall(r"ct count over (\d+)", RULES.read_text(encoding="utf-8")))
    assert ipv4 == subscriber
    assert numbers["worker_connections"] >= 8 * subscriber
    assert numbers["worker_connections"] >= 2 * site
    assert numbers["worker_rlimit_nofile"] >= 2 * numbers["worker_connections"], "a connection, and a file for its body"


def test_the_guide_sets_both_limits() -> None:
    lines = blocks()[9].splitlines()
    assert f"sed -i -f deploy/{RAISED.name} /etc/nginx/nginx.conf" in lines
    assert f"install -D -m 0644 deploy/{RULES.name} /etc/nftables.d/idp.conf" in lines
    assert "nft -f /etc/nftables.d/idp.conf" in lines
