"""Processes for the two slow parts of letters: password hashes on all cores, and typesetting."""

import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor

_NICE = 10


def process_pool(max_workers: int) -> ProcessPoolExecutor:
    """Return a pool of processes with low priority, which end when this process ends or is killed.

    Tasks and results go through pipes: a secret is never an argument, an environment variable or a file. A process that
    is killed makes its task fail with `BrokenProcessPool`.
    """
    # A spawned interpreter would import modules from the working directory, where anybody may have put a pickle.py.
    os.environ["PYTHONSAFEPATH"] = "1"
    return ProcessPoolExecutor(
        max_workers, mp_context=multiprocessing.get_context("spawn"), initializer=_prepare_process
    )


def _prepare_process() -> None:
    os.nice(_NICE)
    # Ctrl-C reaches the pool too: its processes end at once, and the parent process alone reports it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    """Exit when the parent process does: the executor's processes would wait for tasks for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # noqa: S101 - a process of the pool has one
    parent.join()
    os._exit(1)
