"""The systemd units of deploy/: hardened, valid, and with the settings of one file."""

import re
import subprocess
from pathlib import Path

import pytest

from idp.paths import CHECKOUT
from tests.rows import each_row
from tests.serving.proxy import program

pytestmark = pytest.mark.interop
DEPLOY = CHECKOUT / "deploy"
SERVICES = sorted(DEPLOY.glob("*.service"))
MOST_EXPOSED = 3.0
"""Of 10; a unit without any protection has 9.6."""


@each_row("unit", SERVICES)
def test_a_unit_is_hardened(unit: Path) -> None:
    command = [program("systemd-analyze"), "security", "--offline=true", "--no-pager", str(unit)]
    analysis = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", analysis)
    assert exposure, analysis
    assert float(exposure[1]) <= MOST_EXPOSED, analysis


@each_row("unit", SERVICES)
def test_a_unit_reads_the_settings_of_the_command_line(unit: Path) -> None:
    text = unit.read_text(encoding="utf-8")
    assert "\nEnvironmentFile=/etc/idp/environment\n" in text
    assert "\nUser=idp\n" in text


def test_all_units_have_the_same_protection() -> None:
    """A line that is added to one unit alone would be missing where nobody looks."""
    protections = {
        unit.name: re.findall(r"^UMask=(?:.*\n)+?(?=\n|\Z)", unit.read_text("utf-8"), re.MULTILINE) for unit in SERVICES
    }
    assert len(protections) == 4
    first, *others = protections.values()
    assert len(first[0].splitlines()) > 20
    assert all(other == first for other in others)


@each_row("name", ["idp-serve", "idp-desk", "idp-worker"])
def test_a_unit_that_fails_is_started_again_for_as_long_as_it_takes_and_at_most_twelve_times_a_minute(
    name: str,
) -> None:
    lines = (DEPLOY / f"{name}.service").read_text(encoding="utf-8").splitlines()
    assert {"Restart=on-failure", "RestartSec=5", "StartLimitIntervalSec=0"} <= set(lines)


@each_row("name", ["idp-serve", "idp-desk"])
def test_a_worker_that_the_kernel_kills_does_not_end_its_server(name: str) -> None:
    assert "\nOOMPolicy=continue\n" in (DEPLOY / f"{name}.service").read_text(encoding="utf-8")


def test_systemd_understands_all_units(tmp_path: Path) -> None:
    """A wrong name of an option would be ignored with a warning, and leave a unit without its protection."""
    for unit in (*SERVICES, DEPLOY / "idp-purge.timer"):
        text = unit.read_text(encoding="utf-8").replace("/opt/idp/bin/idp", "/bin/true")
        (tmp_path / unit.name).write_text(text, encoding="utf-8")
    command = [program("systemd-analyze"), "verify", "--man=no", *map(str, sorted(tmp_path.iterdir()))]
    verified = subprocess.run(command, capture_output=True, text=True, check=False)
    complaints = [line for line in verified.stderr.splitlines() if line.startswith(str(tmp_path))]
    assert complaints == [], verified.stderr
