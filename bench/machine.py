"""Cores and processor time, on Linux; elsewhere nothing is pinned and the times are None."""

import os
from pathlib import Path

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_BUSY = slice(0, 3)
_INTERRUPTS = slice(5, 8)


def cores() -> list[int]:
    """Return the cores that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def pin(core: int | None) -> None:
    """Pin this process, and those that it starts from now on, to one core."""
    if core is not None:
        os.sched_setaffinity(0, {core})


def split() -> tuple[int | None, int | None]:
    """Return a core for the server and one for the driver; None twice if there are fewer than two."""
    mine = cores()
    return (mine[0], mine[1]) if len(mine) > 1 else (None, None)


def tree_seconds(root: int) -> float | None:
    """Return the processor time, user and system, of a process and those that it started; None if unknown."""
    if not (_PROC / "self" / "stat").exists():
        return None
    parents: dict[int, int] = {}
    used: dict[int, float] = {}
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # the process has ended meanwhile
            continue
        parents[int(entry.name)] = int(fields[1])
        used[int(entry.name)] = (int(fields[11]) + int(fields[12])) / _TICKS
    return sum(seconds for pid, seconds in used.items() if _descends(pid, root, parents))


def _descends(pid: int, root: int, parents: dict[int, int]) -> bool:
    while pid > 1:
        if pid == root:
            return True
        pid = parents.get(pid, 0)
    return False


def busy_seconds(core: int | None) -> float | None:
    """Return the time that a core has been busy since the machine started; None if unknown."""
    statistics = _PROC / "stat"
    if core is None or not statistics.exists():
        return None
    for line in statistics.read_text().splitlines():
        name, *fields = line.split()
        if name == f"cpu{core}":
            ticks = [int(field) for field in fields]
            return sum(ticks[_BUSY] + ticks[_INTERRUPTS]) / _TICKS
    return None
