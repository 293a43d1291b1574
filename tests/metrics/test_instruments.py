"""Processes count in files, each in its own, and the sums outlive each of them."""

import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from idp.metrics import exposition, instruments
from idp.metrics.instruments import Counter, Gauge, Histogram, Instrument, Label
from tests.metrics.scraping import Numbers, numbers_of

_context = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def _no_new_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Instrument, "all", dict(Instrument.all))


def numbers(registry: CollectorRegistry) -> Numbers:
    return numbers_of(exposition.text(registry, "")[0].decode())


def test_numbers_of_all_processes_are_added_up_and_stay_when_a_process_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries, waiting = Counter("idp_tries_total", "Tries.", Label("result", "ok")), Gauge("idp_waiting", "Waiting.")
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    registry = CollectorRegistry()
    registry.register(exposition.Processes(str(tmp_path)))

    def count(number: int, ready: Any) -> None:
        instruments.start(in_files=True)
        for _ in range(number):
            tries.count("ok")
        waiting.change(1)
        ready.set()
        signal.pause()

    def run(number: int) -> Any:
        ready = _context.Event()
        process = _context.Process(target=count, args=(number, ready))
        process.start()
        assert ready.wait(20)
        return process

    first, second = run(3), run(4)
    assert numbers(registry)["idp_tries_total", "result=ok"] == 7
    assert numbers(registry)[("idp_waiting",)] == 2
    os.kill(first.pid, signal.SIGKILL)
    first.join()
    third = run(5)
    assert numbers(registry)["idp_tries_total", "result=ok"] == 12
    assert numbers(registry)[("idp_waiting",)] == 2, "without that of the process that was killed"
    for process in (second, third):
        process.kill()
        process.join()


def test_a_histogram_has_cumulated_buckets_and_a_sum() -> None:
    seconds = Histogram("idp_answer_seconds", "Time.", buckets=(0.1, 1.0))
    registry = instruments.start()
    try:
        for duration in (0.1, 0.5, 3.0):
            seconds.observe(duration)
        seen = numbers(registry)
    finally:
        instruments.end()
    assert [seen["idp_answer_seconds_bucket", f"le={bound}"] for bound in ("0.1", "1.0", "+Inf")] == [1, 2, 3]
    assert seen[("idp_answer_seconds_sum",)] == pytest.approx(3.6)
    assert seen[("idp_answer_seconds_count",)] == 3
    assert ("idp_answer_seconds_created",) not in seen
