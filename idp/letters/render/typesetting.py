"""Typesets letters in a subprocess (`python -m idp.letters.render.typesetting`), which is replaced now and then.

The typesetter never gives back what it laid out, about a megabyte a letter: a school after the other would fill the
memory of one process.
"""

from collections.abc import Sequence
from typing import Any, Self

from idp.letters import subprocess_worker
from idp.letters.render import pdf, slips
from idp.letters.render.pdf import Letter, LetterError

_LETTERS_AT_MOST = 500
"""What a process typesets before another takes its place."""


class Press:
    """The process that typesets, started at the first need; close it, or use it in a `with`."""

    def __init__(self) -> None:
        self._worker: subprocess_worker.Worker | None = None
        self._typeset = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def render(self, letters: Sequence[Letter], *, strip: bool = False) -> bytes:
        """Return the PDF of `letters`, a page each, or as slips.

        Raises:
            LetterError: as `pdf.render`.
            apart.Gone: the process ended before its work.
        """
        if self._worker is None:
            self._worker = subprocess_worker.Worker("idp.letters.render.typesetting")
        content, fault = self._worker.ask((list(letters), strip))
        self._typeset += len(letters)
        if self._typeset >= _LETTERS_AT_MOST:
            self.close()
        if fault is not None:
            raise LetterError(*fault)
        made: bytes = content
        return made

    def close(self) -> None:
        """End the process."""
        if self._worker is not None:
            self._worker.close()
        self._worker, self._typeset = None, 0


def _typeset(job: tuple[list[Letter], bool]) -> tuple[bytes, tuple[Any, ...] | None]:
    letters, strip = job
    try:
        return (slips.render(letters) if strip else pdf.render(letters)), None
    except LetterError as fault:
        return b"", fault.args


if __name__ == "__main__":
    subprocess_worker.serve(_typeset)
