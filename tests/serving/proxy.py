"""nginx with the configurations of deploy/, as a separate instance on loopback."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from idp.paths import CHECKOUT
from tests.commands.processes import PATIENCE, connect, free_port

PORT = "listen 443 ssl http2;"
RAISED = CHECKOUT / "deploy" / "nginx-connections.sed"
DEBIAN = """\
user www-data;
worker_processes auto;
pid /run/nginx.pid;

events {
\tworker_connections 768;
\t# multi_accept on;
}
"""
"""The part of Debian's nginx.conf that stands before `http`."""
_AROUND = """\
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log info;
worker_processes 1;
events {{
    worker_connections 768;
}}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxied;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    access_log off;
    # from Debian's nginx.conf: the site must not inherit it
    gzip on;
    gzip_proxied any;
    ssl_protocols TLSv1 TLSv1.1 TLSv1.2 TLSv1.3;
    ssl_prefer_server_ciphers on;
{site}
}}
"""
_OPENSSL = """\
openssl_conf = start
[start]
ssl_conf = ssl
[ssl]
system_default = lenient
[lenient]
MinProtocol = TLSv1
CipherString = ALL:@SECLEVEL=0
"""
"""A permissive configuration of OpenSSL, so that only the site's configuration refuses old protocols."""


def program(name: str) -> str:
    """Return the path of a server's program; skip the test without it."""
    path = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin"]))
    if path is None:
        pytest.skip(f"{name} is not installed (.ci/install brings it)")
    return path


def raised(configuration: str) -> str:
    """Return nginx's own configuration with the limits that the guide sets."""
    command = ["sed", "-f", str(RAISED)]
    return subprocess.run(command, input=configuration, capture_output=True, text=True, check=True).stdout


@contextmanager
def nginx(folder: Path, port: int, site: str) -> Iterator[Path]:
    """Run nginx in `folder` with the `http` content `site`, which listens on `port`; yield its log.

    nginx runs as the user of the test; if that is root, its workers run as Debian's `www-data` or `nobody`.
    """
    folder.mkdir(exist_ok=True)
    configuration, log = folder / "nginx.conf", folder / "nginx.log"
    configuration.write_text(raised(_AROUND).format(folder=folder, site=site))
    (folder / "openssl.cnf").write_text(_OPENSSL)
    command = [program("nginx"), "-p", str(folder), "-e", str(log), "-c", str(configuration)]
    environment = {**os.environ, "OPENSSL_CONF": str(folder / "openssl.cnf")}
    with (folder / "nginx.out").open("wb") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
    try:
        connect(port, process, log).close()
        yield log
    finally:
        process.terminate()
        process.wait(PATIENCE)


def adapted(text: str, changes: Mapping[str, str]) -> str:
    """Return a configuration with `changes`; each replaced text must occur once."""
    for ours, theirs in changes.items():
        assert text.count(ours) == 1, f"{ours!r} stands {text.count(ours)} times"
        text = text.replace(ours, theirs)
    return text


NODE = "server 127.0.0.1:8000 fail_timeout=3s;"


def supplied(folder: Path, port: int, upstream: int, chain: Path, plain: int | None = None) -> str:
    """Return deploy/nginx.conf for a service on port `upstream`; `chain` holds the certificate and its key.

    Requests without TLS come to port `plain` of 127.0.0.1, if it is given.
    """
    plain = plain or free_port()
    changes = {
        "    listen 80;\n": f"    listen 127.0.0.1:{plain};\n",
        "    listen [::]:80;\n": "",
        "    listen 80 default_server;\n": f"    listen 127.0.0.1:{plain} default_server;\n",
        "    listen [::]:80 default_server;\n": "",
        PORT.replace(";", " default_server;"): f"listen 127.0.0.1:{port} ssl http2 default_server;",
        "    listen [::]:443 ssl http2 default_server;\n": "",
        "server_name connexion.exemple.fr bureau.exemple.fr;": "server_name localhost;",
        NODE: NODE.replace("8000", str(upstream)),
        "/var/log/nginx/idp.log": str(folder / "idp.log"),
        "server_name connexion.exemple.fr;": "server_name localhost;",
    }
    return _read("nginx.conf", folder, port, chain, changes)


def supplied_desk(folder: Path, port: int, upstream: int, chain: Path) -> str:
    """Return deploy/nginx-desk.conf for a desk on port `upstream`, which stands beside that of `supplied`."""
    changes = {
        "server 127.0.0.1:8003 fail_timeout=3s;": f"server 127.0.0.1:{upstream} fail_timeout=3s;",
        "/var/log/nginx/idp-desk.log": str(folder / "idp-desk.log"),
        "server_name bureau.exemple.fr;": "server_name localhost;",
    }
    return _read("nginx-desk.conf", folder, port, chain, changes)


def _read(name: str, folder: Path, port: int, chain: Path, changes: Mapping[str, str]) -> str:
    text = (CHECKOUT / "deploy" / name).read_text(encoding="utf-8")
    of_all_servers = {
        "/etc/idp/tls/fullchain.pem": str(chain),
        "/etc/idp/tls/key.pem": str(chain),
        "/var/log/nginx/idp-error.log": str(folder / "idp-error.log"),
    }
    for ours, theirs in of_all_servers.items():
        assert ours in text
        text = text.replace(ours, theirs)
    of_the_site = {
        PORT: f"listen 127.0.0.1:{port} ssl http2;",
        "    listen [::]:443 ssl http2;\n": "",
        "root /usr/local/share/idp;": f"root {CHECKOUT / 'deploy'};",
        # browsers send the port, because it is not 443
        "proxy_set_header Host $host;": "proxy_set_header Host $host:$server_port;",
    }
    return adapted(text, {**changes, **of_the_site})


def curl_post(url: str, body: Path, trusted: Path, *more: str) -> tuple[str, str]:
    """Send a body as curl does, by HTTP/2 unless `more` has another option; return the head and the page."""
    command = [program("curl"), "-s", "-D", "-", "--http2", "--cacert", str(trusted), "-H", "Expect:", *more]
    command += ["--data-binary", f"@{body}", url]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE).stdout
    head, _, page = answer.partition("\n\n")
    return head, page


def titles_of(page: str) -> list[str]:
    return [text for tag in ("title", "h1") for text in re.findall(f"<{tag}>(.*)</{tag}>", page)]
