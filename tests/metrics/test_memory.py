"""Processes count in blocks of shared memory, and the sums outlive each of them."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from idp.metrics import instruments, memory
from idp.metrics.exposition import Exposition
from idp.metrics.instruments import Counter, Gauge, Histogram, Instrument, Label
from idp.metrics.memory import Memory
from tests.metrics.scraping import Numbers, numbers_of

_context = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def _no_new_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Instrument, "all", dict(Instrument.all))


def started(work: Callable[..., None], *arguments: Any) -> Any:
    process = _context.Process(target=work, args=arguments)
    process.start()
    return process


def numbers(blocks: Memory) -> Numbers:
    return numbers_of(Exposition(blocks, "serve").text("")[0].decode())


def test_numbers_of_all_processes_are_added_up_and_stay_when_a_process_is_killed() -> None:
    tries, waiting = Counter("idp_tries_total", "Tries.", Label("result", "ok")), Gauge("idp_waiting", "Waiting.")
    blocks = Memory(2)

    def count(number: int, ready: Any) -> None:
        instruments.attach(blocks)
        for _ in range(number):
            tries.count("ok")
        waiting.change(1)
        ready.set()
        signal.pause()

    def run(number: int) -> Any:
        ready = _context.Event()
        process = started(count, number, ready)
        assert ready.wait(20)
        return process

    first, second = run(3), run(4)
    assert numbers(blocks)["idp_tries_total", "result=ok"] == 7
    assert numbers(blocks)[("idp_waiting",)] == 2
    os.kill(first.pid, signal.SIGKILL)
    first.join()
    third = run(5)
    assert numbers(blocks)["idp_tries_total", "result=ok"] == 12, "the new process continues the counter"
    assert numbers(blocks)[("idp_waiting",)] == 2, "and not the gauge of the one that was killed"
    for process in (second, third):
        process.kill()
        process.join()


def test_a_forked_process_does_not_count_in_the_block_of_its_parent() -> None:
    tries, blocks = Counter("idp_tries_total", "Tries."), Memory(1)
    instruments.attach(blocks)
    try:
        tries.count()
        child = started(tries.count)
        child.join()
        assert numbers(blocks)[("idp_tries_total",)] == 1
    finally:
        instruments.detach()


def test_a_histogram_has_cumulated_buckets_and_a_sum() -> None:
    seconds = Histogram("idp_answer_seconds", "Time.", buckets=(0.1, 1.0))
    blocks = Memory(1)
    instruments.attach(blocks)
    try:
        for duration in (0.1, 0.5, 3.0):
            seconds.observe(duration)
    finally:
        instruments.detach()
    seen = numbers(blocks)
    assert [seen["idp_answer_seconds_bucket", f"le={bound}"] for bound in ("0.1", "1.0", "+Inf")] == [1, 2, 3]
    assert seen[("idp_answer_seconds_sum",)] == pytest.approx(3.6)
    assert seen[("idp_answer_seconds_count",)] == 3


def test_a_full_block_loses_new_series_alone_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "BLOCK", 128)
    tries = Counter("idp_tries_total", "Tries.", Label("result", "ok", "wrong", "late"))
    blocks = Memory(1)
    instruments.attach(blocks)
    try:
        for result in ("ok", "wrong", "late", "ok", "late", "late"):
            tries.count(result)
    finally:
        instruments.detach()
    seen = numbers(blocks)
    assert seen["idp_tries_total", "result=ok"] == 2
    assert seen[("idp_metrics_series_lost",)] == 1
    assert ("idp_tries_total", "result=late") not in seen
    instruments.attach(blocks)
    instruments.detach()
    assert numbers(blocks)[("idp_metrics_series_lost",)] == 0, "another process may not need it"
