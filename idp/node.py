"""What the processes of one server know of it together, by memory that the workers share with their parent process."""

import mmap
import struct
import time
from typing import NamedTuple

_FAILURES = struct.Struct("Qd")  # how many workers failed, and when the last one did; a byte follows: whether to stop
_STOP = _FAILURES.size


class Failures(NamedTuple):
    """How many workers of the server failed since its start, and how many minutes ago the last one did."""

    number: int = 0
    minutes: int = 0


class Node:
    """Facts that the parent process sets, and that its workers see at once."""

    def __init__(self) -> None:
        self._memory: bytearray | mmap.mmap = bytearray(_STOP + 1)

    def share(self) -> None:
        """Share the facts, of which none is set, with the processes that this one forks from now on."""
        self._memory = mmap.mmap(-1, _STOP + 1)

    def announce_stop(self) -> None:
        """Note that the server is about to stop."""
        self._memory[_STOP] = 1

    def note_failure(self) -> None:
        """Note that a worker failed."""
        _FAILURES.pack_into(self._memory, 0, self.failures.number + 1, time.monotonic())

    @property
    def is_stopping(self) -> bool:
        """Whether the server is about to stop."""
        return self._memory[_STOP] == 1

    @property
    def failures(self) -> Failures:
        """The workers that failed since the start."""
        number, last = _FAILURES.unpack_from(self._memory)
        return Failures(number, int(time.monotonic() - last) // 60 if number else 0)


node = Node()  # of this process and the workers that it forks
