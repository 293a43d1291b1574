"""A clock for one server, which can be stepped while the server runs.

As a script it runs the command `idp` with a clock that is wrong by the seconds in the file of its first argument. The
service has one clock, `idp.clock`, so that nothing else is faked: waits and time-outs are those of the machine.
"""

import sys
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Self

from idp import clock


class OwnClock:
    """The clock of a server that is started by `command`."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.step(0)

    @property
    def command(self) -> list[str]:
        """What stands for `idp` in the server's command."""
        return [sys.executable, "-P", __file__, str(self._file)]

    def step(self, seconds: int) -> None:
        """Set the clock to so many seconds after that of the machine, at once: a reader never sees half a file."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(str(seconds))
        fresh.replace(self._file)


def _fake(file: Path) -> None:
    class Wrong(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return super().now(tz) + timedelta(seconds=int(file.read_text()))

    vars(clock)["datetime"] = Wrong


if __name__ == "__main__":
    _fake(Path(sys.argv.pop(1)))
    from idp import cli

    cli.main()
