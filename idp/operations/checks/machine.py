"""Checks of this machine: the rate of hashes, disks, modes of secrets and of files that the service reads."""

import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

from sqlalchemy import make_url

from idp.accounts.passwords.hasher import Hasher
from idp.config import settings_file
from idp.operations.checks.finding import FULL, LITTLE, MIB, Finding, Site, judged
from idp.services import services

_CREATE = "create the file, or correct its path"
COMPILE = "argon2 compiled for this CPU is about twice as fast, see docs/exploitation.md, step 5"
SERVICE_USER = "idp"
"""The user of the units in `deploy/`."""
_FILES_OF_LIBPQ = ("sslrootcert", "sslcert", "sslkey", "sslcrl", "passfile")


def check_hash_rate(_site: Site) -> Iterator[Finding]:
    """Measure how many sign-ins by password a core allows."""
    rate, advice = hash_rate(services().hasher)
    yield judged("password hashes", rate, (bool(advice), "warning", advice))


def hash_rate(hasher: Hasher) -> tuple[str, str]:
    """Return how many hashes a core computes in a second, in words, and the advice to compile argon2 if it is not."""
    # The wheels of the registry are for every Linux (PEP 600, PEP 656), and so for the oldest CPU.
    wheel = distribution("argon2-cffi-bindings").read_text("WHEEL") or ""
    is_for_any_cpu = "manylinux" in wheel or "musllinux" in wheel
    return f"{hasher.rate():.0f} a second on one core", COMPILE if is_for_any_cpu else ""


def check_disks(_site: Site) -> Iterator[Finding]:
    """Check the free space for temporary files."""
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    yield judged(
        "disk of temporary files",
        f"{folder}: {free // MIB} MiB free",
        (free < FULL, "fault", "make room"),
        (free < LITTLE, "warning", "make room"),
    )


def check_modes(site: Site) -> Iterator[Finding]:
    """Check that only the service reads the files with secrets."""
    for file in map(Path, site.secret_files):
        try:
            mode = stat.S_IMODE(file.stat().st_mode)
        except OSError as error:
            yield Finding("permissions", f"{file}: {error.strerror}", "fault", _CREATE)
            continue
        is_open, advice = bool(mode & (stat.S_IRWXO | stat.S_IWGRP)), f"it holds secrets: chmod o=,g-w {file}"
        yield judged("permissions", f"{file}: mode {mode:04o}", (is_open, "fault", advice))


def check_readable(site: Site, user: str = SERVICE_USER) -> Iterator[Finding]:
    """Check that the user of the service can read the files that the settings name; only root can try it."""
    try:
        service = pwd.getpwnam(user)
    except KeyError:
        return
    if os.geteuid() != 0:
        return
    files = _named_files(site)
    unreadable = [(setting, file) for setting, file in files if not _can_read(service, file)]
    for setting, file in unreadable:
        if _is_missing(file):
            yield Finding("permissions", f"{file} ({setting}): it does not exist", "fault", _CREATE)
            continue
        advice = f"let {user} read it and enter its folder, such as: chgrp {user} {file}; chmod g+r {file}"
        yield Finding("permissions", f"{file} ({setting}): the user {user} cannot read it", "fault", advice)
    if files and not unreadable:
        yield Finding("permissions", f"the user {user} can read the files that the settings name")


def _named_files(site: Site) -> list[tuple[str, Path]]:
    """Return the files that the service opens after its start as `SERVICE_USER`, each with the setting's name."""
    settings = site.settings
    query = make_url(settings.database_url).query
    named = [
        ("IDP_CONFIG", settings_file()),
        ("IDP_SECRET_KEY_FILE", settings.secret_key_file),
        ("IDP_CA_BUNDLE", settings.ca_bundle),
        ("IDP_BREACHED_PASSWORDS", settings.breached_passwords),
        ("IDP_THEME", settings.theme),
        *((f"{name} in IDP_DATABASE_URL", query[name]) for name in _FILES_OF_LIBPQ if name in query),
    ]
    files = [(setting, Path(str(file))) for setting, file in named if file and file != "system"]
    return files + [("IDP_THEME", file) for file in (settings.theme.rglob("*") if settings.theme else ())]


def _can_read(user: pwd.struct_passwd, file: Path) -> bool:
    """Return whether a user can read a file, or a folder; the kernel decides, which knows all folders and ACLs."""
    groups = os.getgrouplist(user.pw_name, user.pw_gid)
    tried = subprocess.run(  # noqa: S603 - a name and a path of the settings, without a shell
        ["test", "-r", str(file)],  # noqa: S607 - of the system's path
        check=False,
        cwd="/",
        user=user.pw_uid,
        group=user.pw_gid,
        extra_groups=groups,
    )
    return tried.returncode == 0


def _is_missing(file: Path) -> bool:
    try:
        file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False
