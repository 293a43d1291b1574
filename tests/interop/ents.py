"""Shared by several recipes: the running ENT and its proxy with TLS."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.commands.processes import PATIENCE, connect, free_port
from tests.interop.installation import HOST, Installation, Registered
from tests.serving.proxy import nginx

_SITE = """\
server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {chain};
    ssl_certificate_key {chain};
    location / {{
        proxy_pass http://127.0.0.1:{upstream};
        proxy_set_header Host $host:$server_port;
        proxy_set_header X-Forwarded-Proto https;
    }}
}}
"""


@dataclass(frozen=True)
class Ent:
    origin: str
    client: Registered
    log: Path

    @property
    def inside(self) -> str:
        return f"{self.origin}/espace"


@dataclass(frozen=True)
class Server:
    """The command of an ENT's server; its folder, environment and port."""

    command: Sequence[str]
    folder: Path
    environment: Mapping[str, str]


@contextmanager
def behind_tls(
    installation: Installation, client: Registered, port: int, server: Server, folder: Path
) -> Iterator[Ent]:
    upstream, log = free_port(), folder / "ent.log"
    command = [part.replace("{port}", str(upstream)) for part in server.command]
    environment = {name: value.replace("{port}", str(upstream)) for name, value in server.environment.items()}
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=server.folder, env=environment, stdout=out, stderr=out)
    try:
        connect(upstream, process, log).close()
        with nginx(folder / "nginx", port, _SITE.format(port=port, upstream=upstream, chain=installation.chain)):
            yield Ent(f"https://{HOST}:{port}", client, log)
    finally:
        process.terminate()
        process.wait(PATIENCE)
