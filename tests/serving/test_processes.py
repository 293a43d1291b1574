"""The processes of `idp serve`: what is lost when one of them is killed, or when all are restarted one by one."""

import os
import re
import signal
import socket
import stat
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address
from itertools import count, cycle
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from idp.config import Settings
from idp.paths import CHECKOUT
from idp.serving import commands, server
from tests import forked, next_release
from tests.applications import lent
from tests.builders import Build
from tests.commands.processes import PATIENCE, connect, free_port, read_all, running
from tests.databases import postgresql_copy, settings_for
from tests.interop.visitor import Visitor
from tests.protocol.ent_server import authority
from tests.relying_party import Attempt, RelyingParty
from tests.serving.proxy import NODE, adapted, nginx, supplied
from tests.waiting import is_alive, wait_for

LAST = b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.fixture
def served(shared: Path, tmp_path: Path) -> Iterator[tuple[int, forked.Program, Path]]:
    """A server with two workers that have answered a request each."""
    port, log = free_port(), tmp_path / "log"
    arguments = ("serve", "--bind", f"127.0.0.1:{port}", "--workers", "2", "--threads", "4")
    with postgresql_copy(shared) as url, running(settings_for(url), log, *arguments) as process:
        wait_for(lambda: len(workers(process.pid)) == 2)
        for _ in range(20):
            answer(port, process, log)
        yield port, process, log


def workers(parent: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def answer(port: int, process: forked.Program, log: Path, path: bytes = b"/healthz") -> bytes:
    """Return the answer to one request; empty if its worker was killed meanwhile."""
    try:
        with connect(port, process, log) as connection:
            connection.sendall(LAST % path)
            return read_all(connection)
    except ConnectionResetError:
        return b""


@pytest.mark.row("W-03")
def test_a_killed_worker_is_replaced_and_the_others_answer(served: tuple[int, forked.Program, Path]) -> None:
    port, process, log = served
    killed, other = workers(process.pid)
    os.kill(killed, signal.SIGKILL)
    lost = sum(not answer(port, process, log).startswith(b"HTTP/1.1 200 ") for _ in range(40))
    assert lost <= 2, "only connections that the killed worker had"
    wait_for(lambda: len(workers(process.pid)) == 2 and killed not in workers(process.pid))
    assert other in workers(process.pid)
    for _ in range(20):
        assert answer(port, process, log).startswith(b"HTTP/1.1 200 ")
    process.terminate()
    assert process.wait(PATIENCE) == 0


KEPT_ALIVE = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
TAKES_LONG = b"POST /token HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n"


def reach(port: int) -> bytes:
    """Return what the server sends until it closes the connection; nothing if it takes none.

    Raises:
        ConnectionResetError: it took the connection and cut it.
    """
    try:
        connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    except ConnectionRefusedError:
        return b""
    with connection:
        connection.sendall(KEPT_ALIVE)
        return read_all(connection) or b"cut"


def test_a_server_that_stops_is_not_ready_then_takes_no_connection_and_cuts_none(shared: Path, tmp_path: Path) -> None:
    # As systemd does, all processes get the signal. The listener must not outlast the last connection it takes.
    port, log = free_port(), tmp_path / "log"
    arguments = ("serve", "--bind", f"127.0.0.1:{port}", "--workers", "2", "--threads", "4")
    with postgresql_copy(shared) as url, running(settings_for(url, drain_seconds=1), log, *arguments) as process:
        answer(port, process, log)
        wait_for(lambda: len(workers(process.pid)) == 2)
        with connect(port, process, log) as in_hand:
            in_hand.sendall(TAKES_LONG)
            assert in_hand.recv(100).startswith(b"HTTP/1.1 100 ")
            for pid in (process.pid, *workers(process.pid)):
                os.kill(pid, signal.SIGTERM)
            wait_for(lambda: b'"stopping"' in answer(port, process, log, b"/readyz"))
            with ThreadPoolExecutor(8) as clients:
                answers = list(clients.map(partial(reach_until_refused, port), range(8)))
            assert process.poll() is None, "a request is in hand"
            in_hand.sendall(b"x")
            assert b"HTTP/1.1 " in read_all(in_hand)
        assert process.wait(15) == 0, "before the parent loses patience"
    for each in answers:
        assert len(each) > 1, "connections are taken during the delay"
        assert all(text.startswith(b"HTTP/1.1 200 ") and b"connection: close" in text.lower() for text in each)


def reach_until_refused(port: int, _number: int) -> list[bytes]:
    answers = []
    while text := reach(port):
        answers.append(text)
    return answers


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_workers_that_are_still_starting_end_at_once(tmp_path: Path, stop: signal.Signals) -> None:
    (ready := tmp_path / "ready").mkdir()
    arguments = (str(ready), "--bind", f"127.0.0.1:{free_port()}")
    with forked.Program("tests.serving.slow_start", *arguments) as process:
        wait_for(lambda: process.poll() is not None or len(list(ready.iterdir())) == 2)
        assert process.poll() is None, process.stderr
        process.send_signal(stop)
        assert process.wait(15) == 0, "before the parent loses patience"


def test_workers_end_when_their_parent_is_killed(served: tuple[int, forked.Program, Path]) -> None:
    _, process, _ = served
    left = workers(process.pid)
    process.kill()
    process.wait(PATIENCE)
    wait_for(lambda: not any(map(is_alive, left)))


def test_the_socket_file_of_a_killed_server_is_replaced_and_that_of_a_running_one_is_not(
    shared: Path, tmp_path: Path
) -> None:
    path, log = tmp_path / "s", tmp_path / "log"
    arguments = ("serve", "--bind", f"unix:{path}", "--workers", "1", "--threads", "2")
    with socket.socket(socket.AF_UNIX) as abandoned:
        abandoned.bind(str(path))
    with postgresql_copy(shared) as url, running(settings_for(url), log, *arguments) as process:
        wait_for(lambda: path.is_socket() and _answers(path))
        assert stat.S_IMODE(path.stat().st_mode) == 0o666
        with running(settings_for(url), tmp_path / "second", *arguments) as second:
            assert second.wait(PATIENCE) == 1
        shown = (tmp_path / "second").read_text()
        assert shown == f"Error: cannot listen on unix:{path} (Address already in use)\n"
        process.terminate()
        assert process.wait(PATIENCE) == 0


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(str(path)) == 0


_NGINX = (CHECKOUT / "deploy/nginx.conf").read_text(encoding="utf-8")
_DRAIN_SECONDS = 3
"""Half of the default; the times of nginx are shortened as well."""
_HOMES, _PARENTS = 4, 25
"""Each home signs its parents in by turns: an account has a limit of sign-ins an hour."""
_LOOPBACK = IPv4Address("127.0.1.0")
_FLOWS = count(1)
"""Each flow has an IP of its own, as families do: nginx limits the forms of one IP."""


def test_a_server_accepts_for_longer_than_nginx_keeps_a_connection_or_shuns_a_node() -> None:
    [kept] = re.findall(r"keepalive_timeout (\d+)s;\n}", _NGINX)
    [shunned] = re.findall(r"fail_timeout=(\d+)s;", _NGINX)
    assert Settings.model_fields["drain_seconds"].default > max(int(kept), int(shunned))


def test_supervisors_wait_for_longer_than_a_server_takes_to_stop() -> None:
    longest = Settings.model_fields["drain_seconds"].default + server._MOST_SECONDS + commands._STOP_SECONDS
    for name in ("deploy/idp-serve.service", "deploy/idp-desk.service", "docs/mise-a-jour.md"):
        [seconds] = re.findall(r"TimeoutStopSec=(\d+)", (CHECKOUT / name).read_text(encoding="utf-8"))
        assert int(seconds) > longest, name
    compose = (CHECKOUT / "deploy/compose.yaml").read_text(encoding="utf-8")
    for name in ("provider", "desk"):
        [seconds] = re.findall(rf"^  {name}:\n(?:    .*\n)*?    stop_grace_period: (\d+)s$", compose, re.MULTILINE)
        assert int(seconds) > longest, name
    pod = (CHECKOUT / "deploy/helm/templates/_pod.tpl").read_text(encoding="utf-8")
    [before] = re.findall(r"preStop: {sleep: {seconds: (\d+)}}", pod)
    [seconds] = re.findall(r"terminationGracePeriodSeconds: (\d+)", pod)
    assert int(seconds) > int(before) + longest, "the pause before SIGTERM counts"


@dataclass(frozen=True)
class Node:
    """A node of the service, of which one process after the other runs."""

    settings: Settings
    port: int
    log: Path

    @contextmanager
    def running(self) -> Iterator[forked.Program]:
        with running(self.settings, self.log, *self._arguments()) as process:
            self._await()
            yield process

    @contextmanager
    def running_next_release(self, sources: Path) -> Iterator[None]:
        command, variables = next_release.command(*self._arguments()), next_release.variables(sources, self.settings)
        with self.log.open("ab") as log:
            process = subprocess.Popen(command, cwd=sources, env=variables, stdout=log, stderr=log)
        try:
            self._await()
            assert process.poll() is None, self.log.read_text()
            yield
        finally:
            process.terminate()
            process.wait(PATIENCE)

    def _arguments(self) -> tuple[str, ...]:
        return ("serve", "--bind", f"127.0.0.1:{self.port}", "--workers", "1", "--threads", "8")

    def _await(self) -> None:
        wait_for(self.is_ready, tell=self.log.read_text)

    def is_ready(self) -> bool:
        try:
            return requests.get(f"http://127.0.0.1:{self.port}/readyz", timeout=PATIENCE).ok
        except requests.ConnectionError:
            return False


@dataclass(frozen=True)
class Home:
    """Parents who sign in again and again at `ent`, one after the other."""

    usernames: tuple[str, ...]
    ent: RelyingParty
    trusted: Path

    def sign_in(self, username: str) -> str:
        """Sign in with a new browser at a new IP, and get tokens; return nothing, or what failed."""
        visitor, attempt = Visitor(self.trusted, str(_LOOPBACK + next(_FLOWS))), Attempt()
        visitor.stops_at = self.ent.redirect_uri
        try:
            visitor.open(self.ent.issuer + self.ent.url(attempt))
            visitor.sign_in(username)
            if not visitor.steps or not visitor.steps[-1].startswith(self.ent.redirect_uri):
                return f"{visitor.page.status_code} {visitor.heading} at {visitor.page.url}"
            [code] = parse_qs(urlsplit(visitor.steps[-1]).query)["code"]
            answer = self._redeem(code, attempt)
        except (AssertionError, requests.RequestException) as fault:
            return repr(fault)
        finally:
            visitor.close()
        return "" if "id_token" in answer.text else f"{answer.status_code} {answer.text}"

    def _redeem(self, code: str, attempt: Attempt) -> requests.Response:
        values = {"code": code, "redirect_uri": self.ent.redirect_uri, "code_verifier": attempt.verifier}
        return requests.post(
            f"{self.ent.issuer}/token",
            data={"grant_type": "authorization_code", **values},
            headers=self.ent.basic(),
            verify=str(self.trusted),
            timeout=PATIENCE,
        )

    def sign_in_until(self, end: threading.Event) -> list[str]:
        results: list[str] = []
        usernames = cycle(self.usernames)
        while not end.is_set():
            results.append(self.sign_in(next(usernames)))
        return results


@pytest.mark.interop
def test_no_flow_fails_while_two_nodes_are_upgraded_one_after_the_other(shared: Path, tmp_path: Path) -> None:
    port, ports = free_port(), (free_port(), free_port())
    certified, end, sources = authority(tmp_path, "localhost"), threading.Event(), next_release.sources(tmp_path)
    both = "\n".join(f"server 127.0.0.1:{each} fail_timeout=1s;" for each in ports)
    shortened = {NODE.replace("8000", str(ports[0])): both, "keepalive_timeout 5s;": "keepalive_timeout 1s;"}
    with ExitStack() as stack:
        url = stack.enter_context(postgresql_copy(shared))
        values = {"issuer": f"https://localhost:{port}", "trusted_proxies": 1, "drain_seconds": _DRAIN_SECONDS}
        settings = settings_for(url, **values)
        homes = _homes(settings, certified.trusted)
        site = adapted(supplied(tmp_path, port, ports[0], certified.chain), shortened)
        proxy_log = stack.enter_context(nginx(tmp_path / "nginx", port, site))
        nodes = [Node(settings, each, tmp_path / f"{each}.log") for each in ports]
        processes = [stack.enter_context(node.running()) for node in nodes]
        signing_in = stack.enter_context(ThreadPoolExecutor(_HOMES))
        stack.callback(end.set)
        flows = [signing_in.submit(home.sign_in_until, end) for home in homes]
        next_release.run(sources, settings, "db", "upgrade")
        assert [node.is_ready() for node in nodes] == [True, True], "on the tables of the next release"
        for node, process in zip(nodes, processes, strict=True):
            process.terminate()
            assert process.wait(PATIENCE) == 0
            stack.enter_context(node.running_next_release(sources))
        end.set()
        results = [result for flow in flows for result in flow.result()]
    assert [result for result in results if result] == []
    assert len(results) > 20
    assert "prematurely closed" not in proxy_log.read_text(), "no connection is cut, even where nginx can try again"
    assert "reset by peer" not in proxy_log.read_text()


def _homes(settings: Settings, trusted: Path) -> list[Home]:
    with lent(settings, own=True):
        build = Build(settings)
        ent = build.ent()
        usernames = [tuple(build.active().username for _ in range(_PARENTS)) for _ in range(_HOMES)]
    return [Home(names, ent, trusted) for names in usernames]
