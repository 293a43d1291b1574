"""What the ENTs of several recipes have in common: a name, a page for parents, and a proxy with TLS in front."""

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
    """A running ENT, which writes to `log`."""

    origin: str
    client: Registered
    log: Path

    @property
    def inside(self) -> str:
        """The page that only parents see."""
        return f"{self.origin}/espace"


@dataclass(frozen=True)
class Server:
    """How an ENT's server is started: in `folder`, with the port where it must listen in its environment or command."""

    command: Sequence[str]
    folder: Path
    environment: Mapping[str, str]


@contextmanager
def behind_tls(
    installation: Installation, client: Registered, port: int, server: Server, folder: Path
) -> Iterator[Ent]:
    """Run an ENT's server, and on `port` a proxy with TLS in front of it; `{port}` stands for the server's own."""
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
