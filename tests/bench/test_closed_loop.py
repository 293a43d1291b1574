"""Windows of the closed loop, and when a disturbed window is repeated."""

import asyncio
from dataclasses import replace
from itertools import cycle

import pytest

from bench.driver.campaign import Plan, _steps, quietest
from bench.driver.closed_loop import ClosedLoop, Errors, Flows
from bench.driver.relying_party import Party, WrongAnswerError
from bench.driver.scenarios import Login, Refresh, Scenario
from bench.driver.transport import InProcess, runner
from bench.driver.window import Processes, Window
from tests.bench.fake_provider import provider

PLAN = Plan(seconds=1, rounds=1, most_foreign=0.2, retries=2)


class _Sleeper(Scenario):
    """A flow of a hundredth of a second."""

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


def test_a_quiet_window_is_not_repeated() -> None:
    window, repeated = _attempts(0.2)
    assert (window.rate, repeated) == (1, 0)


def test_a_disturbed_window_is_repeated_until_it_is_quiet() -> None:
    window, repeated = _attempts(0.9, 0.1)
    assert (window.rate, repeated) == (2, 1)


def test_repetitions_are_bounded_and_the_quietest_is_kept() -> None:
    window, repeated = _attempts(0.9, 0.3, 0.5)
    assert (window.rate, repeated) == (2, 2)


def test_a_window_with_errors_is_never_repeated() -> None:
    window, repeated = _attempts(0.9, errors=1)
    assert (window.errors, repeated) == (1, 0)
