"""Processor time and memory are those of a process and all that it started."""

import os
import subprocess
import sys

from bench import machine

_BUSY = """
import subprocess, sys, time
work = "import time; began = time.process_time()\\nwhile time.process_time() - began < 0.3: pass"
subprocess.run([sys.executable, "-c", work], check=True)
print("done", flush=True)
time.sleep(60)
"""


def test_the_time_of_ended_children_counts() -> None:
    process = subprocess.Popen([sys.executable, "-c", _BUSY], stdout=subprocess.PIPE)
    try:
        assert process.stdout
        assert process.stdout.readline() == b"done\n"
        assert 0.3 <= machine.used_seconds(process.pid) < 5
        assert machine.foreign_seconds(process.pid) < machine.foreign_seconds()
        assert machine.family(process.pid) == [process.pid]
        [memory] = machine.memory(process.pid)
        assert memory.pid == process.pid
        assert 1 < memory.pss <= memory.rss < 200
    finally:
        process.kill()
        process.communicate()
    assert machine.used_seconds(process.pid) == 0
    assert machine.memory(process.pid) == []


def test_a_process_without_a_number_used_no_time() -> None:
    assert machine.used_seconds(None) == 0


def test_all_processes_are_busier_than_this_one() -> None:
    assert machine.busy_seconds() > machine.own_seconds() > 0


def test_a_parent_is_known_by_the_name_of_its_child() -> None:
    with open("/proc/self/comm", encoding="utf-8") as file:  # noqa: PTH123 - no file of the project
        name = file.read().strip()
    assert machine.parent_of(os.getpid(), name) == os.getppid()
    assert machine.parent_of(os.getpid(), "postgres") is None


def test_a_core_is_kept_for_the_block_only() -> None:
    before = machine.cores()
    with machine.pinned(before[0]):
        assert machine.cores() == before[:1]
    assert machine.cores() == before
