"""Whether this server is about to stop: a byte of memory that the workers share with the process that forked them."""

import mmap


class Stopping:
    """A mark that the parent process sets, and that its workers see at once."""

    def __init__(self) -> None:
        self._byte: bytearray | mmap.mmap = bytearray(1)

    def share(self) -> None:
        """Share the mark, which is not set, with the processes that this one forks from now on."""
        self._byte = mmap.mmap(-1, 1)

    def announce(self) -> None:
        """Set the mark."""
        self._byte[0] = 1

    @property
    def is_announced(self) -> bool:
        """Whether the mark is set."""
        return self._byte[0] == 1


stopping = Stopping()  # of this process and the workers that it forks
