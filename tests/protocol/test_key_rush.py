"""A hundred sign-ins during key rotations (ten thousand in the long run), at two running nodes."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from idp.config import Settings
from idp.db import db, retry_unit_of_work
from idp.oidc.keys import rotation
from idp.oidc.models import SigningKey
from idp.sessions import manager
from idp.sessions.models import PASSWORD
from idp.throttle import limits
from tests.builders import Build
from tests.commands.processes import connect, free_port, running
from tests.protocol.key_rush import Client, Tally, published
from tests.relying_party import RelyingParty

CLIENTS, ACCOUNTS = 4, 2
PATIENCE = 180.0


@pytest.fixture
def ports(settings: Settings, tmp_path: Path) -> Iterator[list[int]]:
    """Two nodes of the service, as `idp serve` runs them."""
    with ExitStack() as stack:
        numbers = []
        for number in range(2):
            port, log = free_port(), tmp_path / f"node-{number}.log"
            process = stack.enter_context(
                running(settings, log, "serve", "--bind", f"127.0.0.1:{port}", "--workers", "1", "--threads", "8")
            )
            connect(port, process, log).close()
            numbers.append(port)
        yield numbers
        for number in range(2):
            log = tmp_path / f"node-{number}.log"
            assert "Traceback" not in log.read_text()


@pytest.fixture
def clients(build: Build, ent: RelyingParty, ports: list[int]) -> Iterator[list[Client]]:
    tally, crowd = Tally(), []
    child = build.child()
    for _ in range(CLIENTS):
        accounts = [build.active(children=[child]) for _ in range(ACCOUNTS)]
        cookies = [
            manager.open_session(account, ["pwd"], manager.Browser("", ""), former=None, acr=PASSWORD)
            for account in accounts
            for _ in range(limits.MOST_SESSIONS)
        ]
        crowd.append(Client(ent, [f"__Host-ss={cookie}" for cookie in cookies], ports, tally))
    db.session.commit()
    db.session.remove()
    for client in crowd:
        client.fetch_keys(ports[0])
        client.start()
    yield crowd
    tally.stop.set()
    for client in crowd:
        client.leave()


def wait_for(tally: Tally, what: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not what():
        assert not tally.faults, tally.faults[:5]
        assert time.monotonic() < until, (tally.sign_ins, tally.signed)
        time.sleep(0.05)


def pass_time(time: timedelta) -> None:
    def step() -> None:
        for key in db.session.scalars(select(SigningKey)):
            key.created_at -= time
            key.active_from -= time

    retry_unit_of_work(step)


@pytest.mark.row("D-04")
@pytest.mark.parametrize("sign_ins", [120, pytest.param(10_000, marks=pytest.mark.long)])
def test_no_sign_in_fails_across_rotations(
    settings: Settings, clients: list[Client], ports: list[int], sign_ins: int
) -> None:
    # OpenID Connect Core 1.0, 10.1.1.
    tally = clients[0].tally
    careful, lazy = clients[: CLIENTS // 2], clients[CLIENTS // 2 :]
    [first] = clients[0].keys

    def everywhere(kid: str) -> bool:
        return all(tally.signed[port, kid] for port in ports)

    wait_for(tally, lambda: everywhere(first) and tally.sign_ins >= sign_ins // 5)
    second = rotation.rotate(settings).kid
    wait_for(tally, lambda: all(second in published(port) for port in ports))
    for client in careful:
        client.refresh.set()  # as clients that cache the JWKS for an hour do within the next day
    wait_for(tally, lambda: all(second in client.keys for client in careful))
    wait_for(tally, lambda: tally.sign_ins >= 2 * sign_ins // 5)
    assert not any(tally.signed[port, second] for port in ports), "published, not yet in use"
    pass_time(timedelta(days=1))
    wait_for(tally, lambda: everywhere(second) and tally.sign_ins >= 3 * sign_ins // 5)
    assert [client.looked_up for client in careful] == [[]] * len(careful), "who looks once a day meets no unknown key"
    third = rotation.rotate(settings, at_once=True).kid
    wait_for(tally, lambda: everywhere(third) and tally.sign_ins >= 4 * sign_ins // 5)
    pass_time(timedelta(days=31))
    assert rotation.tend(settings)
    wait_for(tally, lambda: tally.sign_ins >= sign_ins and published(ports[0]) == {third})
    tally.stop.set()
    for client in clients:
        client.join(PATIENCE)
        client.fetch_keys(ports[0])
        assert set(client.keys) == {third}, "the others are gone"
    assert tally.faults == []
    assert tally.sign_ins >= sign_ins
    assert {kid for _, kid in tally.signed} == {first, second, third}
    for client in careful:
        assert client.looked_up == [third]
    for client in lazy:
        assert client.looked_up == [second, third], "one look each"
