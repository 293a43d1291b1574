"""The memory in which the processes of one command count.

Each process has a block for itself, so that no process waits for another and a killed one leaves no lock behind. The
listener (`idp.metrics.listener`) adds the blocks up. A block belongs to the process that holds a lock on its byte of
the file; the kernel ends this lock with the process. The next process that claims the block adds to its counters:
they never decrease while the command runs.

Files of `prometheus_client` (its multiprocess mode) would do the same on a disk: a full disk ends a process that writes
to such a file (SIGBUS), and the files of ended processes stay.
"""

import fcntl
import mmap
import os
import threading
from collections.abc import Iterator, Sequence

BLOCK = 512 * 1024
"""Bytes of a block. Memory is taken by the pages that are written."""
_WORD = 8
_HALF = 32
_USED, _LOST, _FIRST = 0, 1, 2
"""The words of a block: how many are used, how many series found no room, the first series."""


class FullError(Exception):
    """The block has no room for another series."""


class Memory:
    """Blocks in shared memory, for this process and the processes that it forks."""

    def __init__(self, blocks: int) -> None:
        self._blocks = blocks
        self._file = os.memfd_create("idp-metrics", os.MFD_CLOEXEC)
        os.ftruncate(self._file, blocks * BLOCK)
        self._view = memoryview(mmap.mmap(self._file, blocks * BLOCK))

    def claim(self) -> "Block | None":
        """Return a block that no living process has, or None. It is this process's until the process ends."""
        for number in range(self._blocks):
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
            except OSError:
                continue
            return self._block(number)
        return None

    def series(self) -> Iterator[tuple[tuple[str, ...], list[float]]]:
        """Yield the name with the label values, and the numbers, of each series of each block."""
        for number in range(self._blocks):
            yield from self._block(number).series()

    def lost(self) -> int:
        """Return how many series found no room."""
        return sum(self._block(number).lost for number in range(self._blocks))

    def _block(self, number: int) -> "Block":
        return Block(self._view[number * BLOCK : (number + 1) * BLOCK])


class Block:
    """The numbers of one process, in series.

    A series has a word with the length of its name and the number of its values, the name, and the values.

    Attributes:
        numbers: the block as numbers, of which a series has some from its place on.
        lock: held while numbers are changed: an addition reads and writes.
    """

    def __init__(self, view: memoryview) -> None:
        self._bytes = view
        self._words = view.cast("Q")
        self.numbers = view.cast("d")
        self.lock = threading.Lock()
        self._places = {name: place for name, place, _ in self._entries()}

    def place_of(self, name: tuple[str, ...], count: int) -> int:
        """Return the place of a series of `count` numbers, which is added if it is new. Hold `lock`.

        Raises:
            FullError: there is no room.
        """
        place = self._places.get(name)
        if place is None:
            place = self._places[name] = self._add(name, count)
        if not place:
            raise FullError
        return place

    def series(self) -> Iterator[tuple[tuple[str, ...], list[float]]]:
        """Yield the name and the numbers of each series."""
        for name, place, count in self._entries():
            yield name, list(map(float, self.numbers[place : place + count]))

    def clear(self, names: Sequence[str]) -> None:
        """Set the series with these names to 0: the gauges of the process that had the block before.

        The series that found no room are counted anew too: this process may not need them.
        """
        self._words[_LOST] = 0
        for name, place, count in self._entries():
            if name[0] in names:
                for offset in range(count):
                    self.numbers[place + offset] = 0.0

    @property
    def lost(self) -> int:
        """How many series found no room."""
        return self._words[_LOST]

    def _add(self, name: tuple[str, ...], count: int) -> int:
        """Add a series and return its place; count it as lost and return 0 if there is no room."""
        key = "\0".join(name).encode()
        start = self._words[_USED] or _FIRST
        place = start + 1 + -(-len(key) // _WORD)
        if place + count > len(self._words):
            self._words[_LOST] += 1
            return 0
        self._words[start] = len(key) << _HALF | count
        self._bytes[(start + 1) * _WORD : (start + 1) * _WORD + len(key)] = key
        self._words[_USED] = place + count  # last: a reader sees whole series only
        return place

    def _entries(self) -> Iterator[tuple[tuple[str, ...], int, int]]:
        start, end = _FIRST, self._words[_USED]
        while start < end:
            length, count = self._words[start] >> _HALF, self._words[start] & ((1 << _HALF) - 1)
            first = (start + 1) * _WORD
            place = start + 1 + -(-length // _WORD)
            yield tuple(bytes(self._bytes[first : first + length]).decode().split("\0")), place, count
            start = place + count
