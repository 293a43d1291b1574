"""The wider limit of an IPv6 /48, and the budgets that a process counts in its memory."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from idp.throttle import counters, guard, limits
from idp.throttle.guard import Granted, Wait
from idp.throttle.limits import SITE_FACTOR, Backoff, Budget, Window

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
FEW = Budget("few", (Window(2, MINUTE),), by_network=True)
SLOW = Backoff("slow", 2, (MINUTE,), quiet=timedelta(hours=1), by_network=True)
TWO_A_MINUTE = Budget("one", (Window(2, MINUTE),))


pytestmark = pytest.mark.usefixtures("app")


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


@pytest.mark.row("I-10")
@pytest.mark.parametrize("limit", [FEW, SLOW], ids=lambda limit: limit.name)
def test_networks_of_a_48_share_a_budget(clock: time_machine.Traveller, limit: limits.Limit) -> None:
    for number in range(2 * SITE_FACTOR):
        assert isinstance(guard.take(limit, f"2001:db8:7:{number:x}::1"), Granted)
    assert guard.take(limit, "2001:db8:7:ffff::1") == Wait(60, limit)
    assert guard.cached_wait((limit, "2001:db8:7:eeee::1")), "a refusal of the /48 is remembered for all of it"
    assert isinstance(guard.take(limit, "2001:db8:8::1"), Granted), "the next /48 has a budget of its own"
    assert isinstance(guard.take(limit, "192.0.2.7"), Granted)


@pytest.mark.row("I-10")
def test_a_network_of_a_48_leaves_budget_for_the_others(clock: time_machine.Traveller) -> None:
    for _ in range(10):
        guard.take(FEW, "2001:db8:7:1::1")
    for number in range(2, 2 * SITE_FACTOR):
        assert isinstance(guard.take(FEW, f"2001:db8:7:{number:x}::1"), Granted), number


@pytest.mark.parametrize("limit", [FEW, SLOW], ids=lambda limit: limit.name)
def test_a_right_try_takes_itself_back_from_the_48_and_no_other(
    clock: time_machine.Traveller, limit: limits.Limit
) -> None:
    for number in range(2 * SITE_FACTOR - 1):
        guard.take(limit, f"2001:db8:7:{number:x}::1")
    for _ in range(3):
        assert isinstance(guard.take(limit, "2001:db8:7:aaaa::1"), Granted)
        guard.settle_success((limit, "2001:db8:7:aaaa::1"))
    assert isinstance(guard.take(limit, "2001:db8:7:bbbb::1"), Granted)
    assert isinstance(guard.take(limit, "2001:db8:7:cccc::1"), Wait)


def test_every_name_of_a_counter_fits_its_column() -> None:
    for limit in limits.TABLE:
        for counter in guard._counters(limit, "2001:db8::1"):
            assert len(counter.name) <= 40


def test_a_budget_in_memory_refuses_excess_requests_until_its_window_ends(clock: time_machine.Traveller) -> None:
    assert [counters.take_in_memory((TWO_A_MINUTE, "a")) for _ in range(4)] == [0, 0, 60, 60]
    clock.shift(59)
    assert (counters.take_in_memory((TWO_A_MINUTE, "a")), counters.take_in_memory((TWO_A_MINUTE, "b"))) == (1, 0)
    clock.shift(1)
    assert [counters.take_in_memory((TWO_A_MINUTE, "a")) for _ in range(3)] == [0, 0, 60]


def test_a_refused_request_counts_in_no_budget(clock: time_machine.Traveller) -> None:
    for _ in range(2):
        counters.take_in_memory((FEW, "192.0.2.7"))
    for _ in range(5):
        assert counters.take_in_memory((TWO_A_MINUTE, "a"), (FEW, "192.0.2.7"))
    assert counters.take_in_memory((TWO_A_MINUTE, "a"), (FEW, "192.0.2.8")) == 0
    assert counters.take_in_memory((TWO_A_MINUTE, "a"), (FEW, "192.0.2.9")) == 0


def test_a_budget_in_memory_counts_networks_and_their_48(clock: time_machine.Traveller) -> None:
    assert [counters.take_in_memory((FEW, f"2001:db8:7:1::{n}")) for n in range(3)] == [0, 0, 60]
    for number in range(2, 2 * SITE_FACTOR):
        assert counters.take_in_memory((FEW, f"2001:db8:7:{number:x}::1")) == 0
    assert counters.take_in_memory((FEW, "2001:db8:7:ffff::1")) == 60


def test_a_clock_that_goes_back_closes_no_budget_for_long(clock: time_machine.Traveller) -> None:
    for _ in range(3):
        counters.take_in_memory((TWO_A_MINUTE, "a"))
    clock.shift(timedelta(hours=-5))
    assert counters.take_in_memory((TWO_A_MINUTE, "a")) == 0


def test_a_flood_of_subjects_uses_bounded_memory_and_resets_no_budget(clock: time_machine.Traveller) -> None:
    counts = counters.Counts()
    rule = Window(10, MINUTE)
    for _ in range(10):
        counts.take([(-1, rule)], NOON)
    for number in range(3 * counters.MAX_SUBJECTS):
        counts.take([(number, rule)], NOON)
        assert len(counts) <= counters.MAX_SUBJECTS
    assert counts.take([(-1, rule)], NOON) == 60, "who came once made room, who came often did not"
    for _ in range(2):
        for number in range(counters.MAX_SUBJECTS + 100):
            counts.take([(number, rule)], NOON)
    assert len(counts) <= counters.MAX_SUBJECTS


def test_a_schools_first_evening_stays_within_the_budget_of_the_authorization_endpoint(
    clock: time_machine.Traveller,
) -> None:
    for second in range(60):  # 300 parents behind one IP, 60 sign-ins per second, three requests each
        for number in range(180):
            parent = (60 * second + number // 3) % 300
            demands = (limits.AUTHORIZE_NETWORK, "192.0.2.7"), (limits.AUTHORIZE_SESSION, f"{parent} {second}")
            assert counters.take_in_memory(*demands) == 0
        clock.shift(1)
