"""The load driver: it refuses what a relying party would refuse, reads HTTP, and repeats disturbed windows."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import cycle
from typing import Any

import pytest

from bench.driver import slow, transport
from bench.driver.campaign import Plan, _steps, quietest
from bench.driver.closed_loop import ClosedLoop, Errors, Flows
from bench.driver.forms import fill_in
from bench.driver.provider import Person
from bench.driver.relying_party import Attempt, Party, WrongAnswerError
from bench.driver.scenarios import SCENARIOS, Login, LoginPage, Refresh, Scenario, SingleSignOn, sign_in
from bench.driver.transport import HOST, Answer, Browser, Connection, CutConnectionError, InProcess, runner
from bench.driver.window import Processes, Window, with_sessions
from tests.bench.fake_provider import FakeProvider, provider
from tests.rows import each_row


async def _flow(kind: type[Scenario], fake: FakeProvider, times: int = 1) -> list[str]:
    """Run a scenario's flows; return the faults of its ID tokens."""
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


def test_a_form_is_filled_in_with_its_hidden_fields() -> None:
    page = b"""<form action="/search"><input name="q"></form>
    <FORM method='post' action='/in?a=1&amp;b=2'><input type=hidden name=t value="x&quot;y">
    <input name="user" value="old"><input type="checkbox" name="stay"><button name="go">In</button></FORM>"""
    form = fill_in(page, {"user": "ann", "secret": "s"})
    assert form is not None
    assert form.action == "/in?a=1&b=2"
    assert form.fields == {"t": 'x"y', "user": "ann"}
    assert fill_in(page, {"secret": "s"}) is None


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


_PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\n\r\nok"
_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n"


class _Server:
    """Answers each request with the next of some answers, in two parts; counts connections and keeps requests."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = list(answers)
        self.connections = 0
        self.requests: list[bytes] = []
        self.tasks: list[asyncio.Task[Any] | None] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.tasks.append(asyncio.current_task())
        while self._answers:
            try:
                self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            except asyncio.IncompleteReadError:
                break
            answer = self._answers.pop(0)
            writer.write(answer[:7])
            await writer.drain()
            await asyncio.sleep(0.01)
            writer.write(answer[7:])
        writer.close()
        await writer.wait_closed()


def _with(server: _Server, work: Callable[[Connection], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        listening = await asyncio.start_server(server.serve, HOST, 0)
        connection = Connection(listening.sockets[0].getsockname()[1])
        try:
            return await work(connection)
        finally:
            connection.close()
            listening.close()
            await asyncio.gather(*filter(None, server.tasks), return_exceptions=True)

    with runner() as loop:
        return loop.run(run())


async def _get(connection: Connection) -> Answer:
    return await connection.send("GET", "/page?q=1", {"X-A": "b"}, None)


@each_row("answer", [_PLAIN, _CHUNKED])
def test_an_answer_is_read_whole(answer: bytes) -> None:
    got = _with(_Server(answer), _get)
    assert (got.status, got.body) == (200, b"ok")


def test_a_connection_is_kept() -> None:
    async def twice(connection: Connection) -> None:
        await _get(connection)
        await _get(connection)

    server = _Server(_PLAIN, _PLAIN)
    _with(server, twice)
    assert server.connections == 1
    assert server.requests[0].startswith(b"GET /page?q=1 HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"\r\nX-A: b\r\n" in server.requests[0]


def test_a_connection_that_the_server_closes_is_opened_again() -> None:
    async def twice(connection: Connection) -> Answer:
        await _get(connection)
        return await _get(connection)

    server = _Server(_PLAIN.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), _PLAIN)
    assert _with(server, twice).body == b"ok"
    assert server.connections == 2


@each_row("answer", [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", b""])
def test_a_connection_that_ends_before_the_answer_does_is_cut(answer: bytes) -> None:
    with pytest.raises(CutConnectionError):
        _with(_Server(answer), _get)


def test_an_answer_of_another_protocol_is_an_error_and_no_cut_connection() -> None:
    with pytest.raises(ConnectionError, match="malformed response") as raised:
        _with(_Server(b"SMTP ready\r\n\r\n"), _get)
    assert not isinstance(raised.value, CutConnectionError)


def test_a_server_that_does_not_answer_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "PATIENCE", 0.1)
    with pytest.raises(ConnectionError, match=r"no response to GET /page$") as raised:
        _with(_Server(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", b""), _get)
    assert not isinstance(raised.value, CutConnectionError)


def test_a_browser_keeps_and_deletes_cookies() -> None:
    async def thrice(connection: Connection) -> dict[str, str]:
        browser = Browser(connection)
        for _ in range(3):
            await browser.get("/")
        return browser.cookies

    deleted = _PLAIN.replace(b"a=1", b"a=")
    server = _Server(_PLAIN, deleted, _PLAIN.replace(b"Set-Cookie", b"X"))
    assert _with(server, thrice) == {"b": "2"}
    assert b"\r\nCookie: a=1; b=2\r\n" in server.requests[1]
    assert b"\r\nCookie: b=2\r\n" in server.requests[2]


_COUNT = 60


@each_row(("kind", "beginning"), [("headers", b"GET /keys HTTP/1.1\r\n"), ("bodies", b"POST /token HTTP/1.1\r\n")])
def test_slow_connections_never_end_their_requests(kind: str, beginning: bytes) -> None:
    received: dict[int, bytes] = {}
    tasks: list[asyncio.Task[Any] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.current_task())
        number = len(received)
        received[number] = b""
        while number % 2 and (data := await reader.read(1000)):
            received[number] += data
        writer.close()  # every second one at once

    async def run() -> int:
        party = await Party.discover(provider(), InProcess(FakeProvider()))
        server = await asyncio.start_server(serve, HOST, 0)
        port = server.sockets[0].getsockname()[1]
        async with slow._slow_connections(port, party, kind, _COUNT) as trickles:
            await asyncio.sleep(2.2)
            closed = sum(trickle.is_closed for trickle in trickles)
        server.close()
        await asyncio.gather(*filter(None, tasks), return_exceptions=True)
        return closed

    with runner() as loop:
        assert loop.run(run()) == _COUNT / 2
    assert len(received) == _COUNT
    for number in range(1, _COUNT, 2):
        head, _, body = received[number].partition(b"\r\n\r\n")
        assert head.startswith(beginning)
        slowly = body.removeprefix(b"code=") if kind == "bodies" else head.rpartition(b"X-Slow: ")[2]
        assert 1 <= len(slowly) <= 4
        assert set(slowly) == set(b"a")


PLAN = Plan(seconds=1, rounds=1, most_foreign=0.2, retries=2)


class _Sleeper(Scenario):
    name = "sleeper"
    flows = 0

    async def flow(self) -> None:
        await asyncio.sleep(0.01)
        self.flows += 1


class _Wrong(_Sleeper):
    async def flow(self) -> None:
        await asyncio.sleep(0)
        raise WrongAnswerError("never right")


class _NeverReady(_Sleeper):
    async def begin(self) -> None:
        raise WrongAnswerError("not ready")


def _clients(kind: type[Scenario], count: int = 4) -> list[Scenario]:
    known = provider()
    endpoints = ("authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri")
    party = Party(known, {"issuer": known.issuer, **dict.fromkeys(endpoints, f"{known.issuer}/x")})
    people = cycle(known.people)
    return [kind(party, InProcess(None), people) for _ in range(count)]


def _window(clients: list[Scenario], errors: Errors, seconds: float) -> Flows:
    async def run() -> Flows:
        async with ClosedLoop(clients, errors) as loop:
            await loop.window(0.05)
            return await loop.window(seconds)

    with runner() as loop:
        return loop.run(run())


def test_a_window_has_the_flows_that_ended_in_it() -> None:
    clients, errors = _clients(_Sleeper), Errors()
    flows = _window(clients, errors, 0.3)
    assert errors.count == 0
    assert 0.3 <= flows.seconds < 1
    done = sum(client.flows for client in clients if isinstance(client, _Sleeper))
    assert 0 < len(flows.durations) < done  # those of the warm-up, and after the window, do not count
    assert min(flows.durations) >= 0.009


def test_a_run_with_wrong_answers_only_ends_early() -> None:
    errors = Errors()
    flows = _window(_clients(_Wrong), errors, 60)
    assert flows.seconds < 30
    assert errors.count >= 200
    assert errors.first == "never right"


def test_a_client_that_is_not_ready_is_an_error_and_does_not_start() -> None:
    clients, errors = _clients(_NeverReady), Errors()
    assert _window(clients, errors, 0.1).durations == []
    assert errors.count == 4


def test_rates_and_percentiles() -> None:
    flows = Flows(2, [number / 1000 for number in range(1, 101)])
    assert flows.rate == 50
    assert flows.percentile(50) == pytest.approx(50.5)
    assert flows.percentile(95) == pytest.approx(95.95)
    assert Flows(2, [0.004]).percentile(95) == 4
    assert Flows(2, []).percentile(50) == 0


def test_providers_take_turns_in_each_round() -> None:
    first, second = provider(), replace(provider(left_out=frozenset({"login"})), name="other")
    running = [(each, Processes(1)) for each in (first, second)]
    steps = [(kind.name, clients, each.name) for kind, clients, each, _ in _steps(2, [Login, Refresh], running)]
    once = [
        ("login", 8, "fake"),
        ("refresh", 8, "fake"),
        ("refresh", 8, "other"),
        ("refresh", 16, "fake"),
        ("refresh", 16, "other"),
    ]
    assert steps == once * 2


def _attempts(*foreign: float, errors: int = 0) -> tuple[Window, int]:
    windows = iter([Window(rate=index, foreign=share, errors=errors) for index, share in enumerate(foreign, 1)])
    return quietest(PLAN, lambda: next(windows))


@each_row(
    ("foreign", "errors", "rate", "repeated"),
    [((0.2,), 0, 1, 0), ((0.9, 0.1), 0, 2, 1), ((0.9, 0.3, 0.5), 0, 2, 2), ((0.9,), 1, 1, 0)],
)
def test_a_disturbed_window_without_errors_is_repeated_twice_at_most_and_the_quietest_is_kept(
    foreign: tuple[float, ...], errors: int, rate: float, repeated: int
) -> None:
    window, repetitions = _attempts(*foreign, errors=errors)
    assert (window.rate, window.errors, repetitions) == (rate, errors, repeated)
