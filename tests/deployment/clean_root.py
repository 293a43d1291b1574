"""A minimal Debian with Python, which .ci/install made, and the podman that runs it as an image."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
from sqlalchemy import make_url

from idp.paths import CHECKOUT

_PATIENCE = 600
BASE = "localhost/scolarite-services-base"
_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
"""The certification authorities of this machine: where a proxy inspects TLS, the build in the image needs them."""


def run(*command: str | Path, cwd: Path = CHECKOUT, env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, errors="replace", timeout=_PATIENCE, check=False
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done.stdout


@cache
def tools() -> dict[str, str]:
    names = ("BASE_ROOT", "KUBERNETES_TOOLS", "KUBERNETES_API", "COMPOSE_SPECIFICATION", "MAILPIT")
    shown = "".join(f"echo ${name};" for name in names)
    values = run("bash", "-c", f"source .ci/tools; {shown}").splitlines()
    return dict(zip(names, values, strict=True))


def tool(name: str) -> Path:
    path = Path(tools()[name])
    if not path.exists():
        pytest.skip(f"{path} is missing (.ci/install makes it)")
    return path


def _runtime() -> str | None:
    """Return runc if it is here: it runs where crun finds both versions of control groups, as on some machines."""
    return "runc" if shutil.which("runc") else None


def podman(*arguments: str) -> str:
    if shutil.which("podman") is None:
        pytest.skip("podman is not installed (.ci/install brings it)")
    return run("podman", *([f"--runtime={runtime}"] if (runtime := _runtime()) else []), *arguments)


def configuration(folder: Path) -> Path:
    """Write a configuration (containers.conf) for a program that starts podman itself."""
    file = folder / "containers.conf"
    limits = json.dumps([limit.partition("=")[2] for limit in _LIMITS])
    runtime = f'[engine]\nruntime = "{_runtime()}"\n' if _runtime() else ""
    file.write_text(f"[containers]\ndefault_ulimits = {limits}\n{runtime}", encoding="utf-8")
    return file


def base() -> str:
    root = tool("BASE_ROOT")
    name = f"{BASE}:{root.stat().st_mtime_ns}"
    if name not in podman("images", "--format", "{{.Repository}}:{{.Tag}}"):
        podman("import", str(root), name)
    return name


def built(tag: str, context: Path = CHECKOUT, containerfile: str = "deploy/Containerfile", *more: str) -> str:
    """Build an image on the minimal Debian; return its name."""
    options = ["--build-arg", f"BASE={base()}", "--network", "host", "--isolation", "chroot", "--tag", tag, *more]
    if Path(_AUTHORITIES).exists():
        options += ["--volume", f"{_AUTHORITIES}:{_AUTHORITIES}:ro"]
        options += [f"--build-arg={variable}={_AUTHORITIES}" for variable in ("SSL_CERT_FILE", "PIP_CERT")]
    file = context / containerfile
    ignored = file.with_name(f"{file.name}.dockerignore")
    options += ["--ignorefile", str(ignored)] if ignored.exists() else []
    podman("build", "--file", str(file), *options, str(context))
    return tag


_LIMITS = [f"--ulimit={name}=1024:1024" for name in ("nofile", "nproc")]
"""No limit above those of this machine."""


def _restricted(settings: Mapping[str, str]) -> list[str]:
    environment = [f"--env={name}={value}" for name, value in settings.items()]
    folder = make_url(settings.get("IDP_DATABASE_URL", "postgresql:///")).query.get("host", "")
    # The server that the tests started has a socket in a folder that other users may not read.
    files = (
        [f"--volume={socket}:{socket}" for socket in Path(str(folder)).glob(".s.PGSQL.[0-9]*[0-9]")] if folder else []
    )
    hardened = ["--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
    return [*hardened, "--network=host", *_LIMITS, *files, *environment]


def in_image(image: str, settings: Mapping[str, str], *command: str, entrypoint: tuple[str, ...] = ()) -> str:
    options = [f"--entrypoint={json.dumps(entrypoint)}"] if entrypoint else []
    return podman("run", "--rm", *_restricted(settings), *options, image, *command)


@contextmanager
def container(image: str, settings: Mapping[str, str], *command: str) -> Iterator[str]:
    name = podman("run", "--detach", *_restricted(settings), image, *command).strip()
    try:
        yield name
    finally:
        podman("rm", "--force", name)


@contextmanager
def machine(folder: Path) -> Iterator[Callable[..., str]]:
    """Start the minimal Debian without network, with `folder` as /packages; yield what runs a command there."""
    options = ["--network=none", *_LIMITS, f"--volume={folder}:/packages:ro"]
    name = podman("run", "--detach", *options, base(), "sleep", "infinity").strip()

    def root(*command: str) -> str:
        return podman("exec", name, *command)

    try:
        yield root
    finally:
        podman("rm", "--force", "--time", "0", name)
