"""The load driver: it refuses what a relying party would refuse, reads HTTP, and repeats disturbed windows."""

import asyncio
from dataclasses import replace
from itertools import cycle

import pytest

from bench.driver.campaign import Plan, quietest
from bench.driver.provider import Person
from bench.driver.relying_party import Attempt, Party, WrongAnswerError
from bench.driver.scenarios import SCENARIOS, Login, LoginPage, Refresh, Scenario, SingleSignOn, sign_in
from bench.driver.transport import HOST, Browser, Connection, CutConnectionError, InProcess, runner
from bench.driver.window import Window, with_sessions
from tests.bench.fake_provider import FakeProvider, provider
from tests.rows import each_row


async def _flow(kind: type[Scenario], fake: FakeProvider, times: int = 1) -> list[str]:
    fault, fake.fault = fake.fault, ""
    transport = InProcess(fake)
    party = await Party.discover(provider(at_hash=True), transport)
    browser = Browser(transport)
    await sign_in(party, browser, party.provider.people[0], Attempt())
    client = kind(party, transport, cycle([Person("p", browser.cookies)]))
    await client.begin()
    fake.paths.clear()
    fake.fault = fault
    for _ in range(times):
        await client.flow()
    _, faults = await party.verify_samples(transport)
    return faults


def _run(kind: type[Scenario], fault: str = "", times: int = 1) -> list[str]:
    with runner() as loop:
        return loop.run(_flow(kind, FakeProvider(fault), times))


@each_row("kind", SCENARIOS)
def test_a_right_provider_has_no_fault(kind: type[Scenario]) -> None:
    assert _run(kind, times=30) == []


def test_a_login_sends_every_page_and_follows_each_redirect() -> None:
    fake = FakeProvider()
    with runner() as loop:
        loop.run(_flow(Login, fake))
    assert fake.paths == ["GET /authorize", "GET /form", "POST /form", "POST /form", "POST /token", "GET /keys"]


def test_a_sign_on_shows_no_page() -> None:
    fake = FakeProvider()
    with runner() as loop:
        loop.run(_flow(SingleSignOn, fake))
    assert fake.paths == ["GET /authorize", "POST /token", "GET /userinfo", "GET /keys"]


@each_row(
    ("fault", "kind"),
    [
        ("no code", SingleSignOn),
        ("a wrong state", SingleSignOn),
        ("a wrong issuer", Login),
        ("a redirect elsewhere", Login),
        ("no form", Login),
        ("no form", LoginPage),
        ("a refused code", Login),
        ("no access_token", SingleSignOn),
        ("no id_token", SingleSignOn),
        ("no refresh_token", Login),
        ("no sub", SingleSignOn),
        ("no id_token", Refresh),
        ("no refresh_token", Refresh),
        ("no rotation", Refresh),
    ],
)
def test_a_wrong_answer_is_an_error(fault: str, kind: type[Scenario]) -> None:
    with pytest.raises(WrongAnswerError):
        _run(kind, fault)


@each_row(
    "fault",
    [
        "an expired ID token",
        "an ID token with another key",
        *(f"an ID token with a wrong {name}" for name in ("iss", "aud", "nonce", "at_hash")),
    ],
)
def test_a_bad_id_token_is_an_error(fault: str) -> None:
    # the first sample is the good ID token of the preparation
    faults = _run(Login, fault, times=30)
    assert faults
    assert all("ID token is not valid" in each for each in faults)


@each_row("fault", ["another issuer in discovery", "an endpoint elsewhere"])
def test_a_provider_elsewhere_is_refused(fault: str) -> None:
    with runner() as loop, pytest.raises(WrongAnswerError):
        loop.run(Party.discover(provider(), InProcess(FakeProvider(fault))))


def test_people_with_cookies_are_not_signed_in_again() -> None:
    with_cookies = [Person("p", {"session": "1"})]
    known = replace(provider(), people=with_cookies)
    fake = FakeProvider()

    async def people() -> object:
        party = await Party.discover(known, InProcess(fake))
        return await with_sessions(party)

    with runner() as loop:
        assert loop.run(people()) == with_cookies
    assert fake.paths == ["GET /.well-known/openid-configuration"]


@each_row(
    ("answer", "is_cut"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", True),
        (b"", True),
        (b"SMTP ready\r\n\r\n", False),
    ],
)
def test_a_connection_that_ends_before_the_answer_does_is_cut(answer: bytes, *, is_cut: bool) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async def run() -> None:
        async with await asyncio.start_server(serve, HOST, 0) as listening:
            connection = Connection(listening.sockets[0].getsockname()[1])
            try:
                await connection.send("GET", "/page", {}, None)
            finally:
                connection.close()

    with runner() as loop, pytest.raises(ConnectionError) as raised:
        loop.run(run())
    assert isinstance(raised.value, CutConnectionError) is is_cut


PLAN = Plan(seconds=1, rounds=1, most_foreign=0.2, retries=2)


@each_row(
    ("foreign", "errors", "rate", "repeated"),
    [((0.2,), 0, 1, 0), ((0.9, 0.1), 0, 2, 1), ((0.9, 0.3, 0.5), 0, 2, 2), ((0.9,), 1, 1, 0)],
)
def test_a_disturbed_window_without_errors_is_repeated_twice_at_most_and_the_quietest_is_kept(
    foreign: tuple[float, ...], errors: int, rate: float, repeated: int
) -> None:
    windows = iter([Window(rate=index, foreign=share, errors=errors) for index, share in enumerate(foreign, 1)])
    window, repetitions = quietest(PLAN, lambda: next(windows))
    assert (window.rate, window.errors, repetitions) == (rate, errors, repeated)
