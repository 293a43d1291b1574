"""Typesets letters in a process of its own, which is replaced after 500 letters.

The typesetter keeps about a megabyte for each letter until its process ends. `max_tasks_per_child` is not used: it
counts files, not letters, and hangs on Python 3.11 to 3.13 (https://github.com/python/cpython/issues/115634).

Slip K of page N is letter 3 (N - 1) + K: each letter is within its third of the sheet.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Self

from idp.letters.process_pool import process_pool
from idp.letters.render import pdf
from idp.paths import TEMPLATES

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor

PER_SHEET = 3
_TEMPLATE = TEMPLATES / "letter" / "strip.typ"


def render_slips(letters: Iterable[pdf.Letter]) -> bytes:
    """Return one PDF/UA-1 file with the slips of `letters`, in their order.

    Raises:
        LetterError: see `pdf.render`.
    """
    batch = list(letters)
    return pdf.typeset(_TEMPLATE, batch, [(rank // PER_SHEET + 1,) * 2 for rank in range(len(batch))])


_LETTERS_PER_PROCESS = 500


class Typesetter:
    """Makes PDFs in a process that starts at the first one. Use it in a `with` statement, which ends the process."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._letters = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end_process()

    def render(self, letters: Sequence[pdf.Letter], *, as_slips: bool = False) -> bytes:
        """Return the PDF of `letters`, as pages or as slips.

        Raises:
            LetterError: see `pdf.render`.
            BrokenProcessPool: the process was killed.
        """
        if self._letters >= _LETTERS_PER_PROCESS:
            self._end_process()
        if self._pool is None:
            self._pool = process_pool(1)
        self._letters += len(letters)
        return self._pool.submit(render_slips if as_slips else pdf.render, list(letters)).result()

    def _end_process(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        self._pool, self._letters = None, 0
