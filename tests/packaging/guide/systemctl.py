#!/usr/bin/env python3
"""Do what the guide asks of `systemctl`, in a root file system without systemd: read units, start their commands."""

import os
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

UNITS = [Path("/etc/systemd/system"), Path("/usr/lib/systemd/system")]
"""The folders of the administrator and of packages; a unit in the first hides one in the second."""
RUNNING = Path("/run")
"""The folder of the numbers of processes."""


def start(unit: str) -> None:
    """Start the command of a unit as its user, with the variables of its file alone; run a timer's service once."""
    name = Path(unit).with_suffix(".service")
    file = next(folder / name for folder in UNITS if (folder / name).exists())
    lines = file.read_text(encoding="utf-8").splitlines()
    options = dict(line.split("=", 1) for line in lines if "=" in line)
    variables = dict(
        line.split("=", 1)
        for line in Path(options["EnvironmentFile"]).read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    )
    user = options["User"]
    command = ["setpriv", "--reuid", user, "--regid", user, "--clear-groups", *shlex.split(options["ExecStart"])]
    log = Path("/var/log", unit).with_suffix(".log").open("ab")
    process = subprocess.Popen(
        command, env={"PATH": os.environ["PATH"], **variables}, stdout=log, stderr=log, cwd="/", start_new_session=True
    )
    (RUNNING / Path(unit).stem).write_text(str(process.pid))
    if options.get("Type") == "oneshot" and process.wait() != 0:
        sys.exit(f"{unit} failed")


def stop(unit: str) -> None:
    """Stop a unit by SIGTERM, and wait until it has ended; a unit that was not started stays as it is."""
    file = RUNNING / Path(unit).stem
    if not file.exists():
        return
    number = int(file.read_text())
    file.unlink()
    with suppress(ProcessLookupError):  # the service of a timer has ended
        os.kill(number, signal.SIGTERM)
    while Path("/proc", str(number)).exists():
        time.sleep(0.05)


def change(verb: str, units: list[str]) -> None:
    for unit in units:
        if verb in {"stop", "restart"}:
            stop(unit)
        if verb != "stop":
            start(unit)


def main(*arguments: str) -> None:
    verb, *units = [argument for argument in arguments if not argument.startswith("--")]
    match verb, units:
        case "daemon-reload", []:
            pass
        case "restart", ["postgresql"]:
            subprocess.run(["service", "postgresql", "restart"], check=True)
        case "reload", ["nginx"]:
            is_running = subprocess.run(["pgrep", "nginx"], check=False, stdout=subprocess.DEVNULL).returncode == 0
            subprocess.run(["nginx", *(["-s", "reload"] if is_running else [])], check=True)
        case "enable", ["nftables.service"]:
            pass  # at the next start of the machine
        case "stop" | "start" | "enable" | "restart", [*_]:
            change(verb, units)
        case _:
            sys.exit(f"systemctl {arguments}: the test does not know this")


main(*sys.argv[1:])
