"""Leases on a machine whose clock is wrong by more than a lease. The clock of the database server is right."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
import time_machine
from click.testing import CliRunner
from flask import Flask

from idp.clock import now
from idp.db import unit_of_work
from idp.operations.outbox_commands import outbox
from idp.outbox import leases
from idp.outbox.queue import OutboxMessage, enqueue
from idp.outbox.worker import Outcome, Worker


@pytest.fixture
def message(queue_app: Flask) -> OutboxMessage:
    """A message that is ready, whatever the clock."""
    with unit_of_work():
        message = enqueue("mail", {})
        message.available_at = now() - timedelta(hours=1)
    return message


@pytest.fixture(params=[40, -40], ids=["fast", "slow"])
def wrong_clock(message: OutboxMessage, request: pytest.FixtureRequest) -> Iterator[None]:
    """Set the clock of this machine wrong during the test."""
    with time_machine.travel(now() + timedelta(seconds=request.param)):
        yield


def test_a_lease_is_measured_by_the_clock_of_the_server(message: OutboxMessage) -> None:
    assert leases.claim(["mail"]) is not None
    with time_machine.travel(now() + timedelta(minutes=1)):
        assert leases.claim(["mail"]) is None


@pytest.mark.usefixtures("wrong_clock")
def test_a_message_that_was_just_claimed_has_not_outlasted_its_lease() -> None:
    faults = []

    def handler(_message: OutboxMessage) -> Outcome:
        faults.append(worker.fault())
        return Outcome.DONE

    worker = Worker({"mail": handler})
    worker.run_once()
    assert faults == [""]


@pytest.mark.usefixtures("wrong_clock")
def test_retry_leaves_a_message_that_a_worker_delivers(message: OutboxMessage) -> None:
    """A second delivery would be a second mail."""
    assert leases.claim(["mail"]) is not None
    result = CliRunner().invoke(outbox, ["retry", str(message.id)])
    assert result.exit_code == 1
    assert f"{message.id}: a worker is delivering it" in result.output
    assert leases.claim(["mail"]) is None
