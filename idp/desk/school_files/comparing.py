"""What the check and the import of files share: how they are read, their progress, who may accept what."""

import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from idp.clock import today
from idp.config import Settings
from idp.desk import access
from idp.desk.jobs import files
from idp.desk.jobs.files import NewFile
from idp.desk.jobs.work import RefusedError
from idp.desk.staff.models import Role
from idp.encrypted import UndecryptableError
from idp.rostering.files.archives import Limits
from idp.rostering.files.sources import InMemory
from idp.rostering.imports import ALL_MISTAKES, ImportResult, Steps, Terms
from idp.rostering.records import Form, Format

LIMITS = Limits(total=512 << 20, ratio=200, entries=1000)
"""How much the files of a school may unpack to."""
MOST_REFUSED = 10_000
"""How many records of the files may be refused: more of them are no file of families, and each costs time."""
PERCENT = 100
_OF_SCHOOL = frozenset({Format.SIECLE, Format.ONDE, Format.CSV})


def acceptable(role: Role) -> frozenset[str]:
    """Return the mistakes that files may look like and that the role may accept with a typed word."""
    accepted = access.spec(role).accepts
    return ALL_MISTAKES if accepted is None else accepted


def uploads(settings: Settings, check_id: uuid.UUID) -> list[NewFile]:
    """Return the files of a check.

    Raises:
        RefusedError: they are gone, or the key that protects them was replaced.
    """
    try:
        chosen = files.uploads(settings, check_id)
    except UndecryptableError:
        raise RefusedError("unreadable") from None
    if not chosen:
        raise RefusedError("gone")
    return chosen


def given(uploads: Sequence[NewFile]) -> list[InMemory]:
    """Return uploads as the files of an import."""
    return [InMemory(upload.name, upload.content) for upload in uploads]


def form(parameters: Mapping[str, Any], *, writes: bool) -> Form:
    """Return how the files are read, to import or to check them; those of a school's staff may hold it alone."""
    uai = parameters["school"] or None
    is_bound = access.spec(Role(parameters["role"])).is_at_school
    return Form(today=today(), school=uai, refuses_others=is_bound, hides_others=not writes, most_refused=MOST_REFUSED)


def terms(role: Role, accepted: Collection[str], agree: Callable[[ImportResult], None] | None = None) -> Terms:
    """Return the terms of a check or an import."""
    formats = _OF_SCHOOL if access.spec(role).is_at_school else frozenset(Format)
    if agree is None:
        return Terms(accepted=frozenset(accepted), limits=LIMITS, formats=formats)
    return Terms(accepted=frozenset(accepted), limits=LIMITS, formats=formats, agree=agree)


class Progress:
    """The progress of a job in percent: each of its phases has a part.

    Args:
        store: stores percents done and all of them.
        finish: the same for the phase that writes, which is not cancelled.
        size: the bytes of the files.
        ends: the percents at the end of reading and of comparing.
    """

    def __init__(
        self, store: Callable[[int, int], None], finish: Callable[[int, int], None], size: int, ends: tuple[int, int]
    ) -> None:
        self._store = store
        self._finish = finish
        self._totals = [size, 0, 0]
        self._done = [0, 0, 0]
        self._ends = (0, *ends, PERCENT)

    def steps(self) -> Steps:
        """Return the callbacks of an import."""
        return Steps(
            reading=lambda count: self._add(0, count, self._store),
            comparing=lambda count: self._add(1, count, self._store),
            writing=lambda count: self._add(2, count, self._finish),
            plan_size=self._plan,
        )

    def _plan(self, compared: int, written: int) -> None:
        self._totals[1:] = compared, written

    def _add(self, phase: int, count: int, store: Callable[[int, int], None]) -> None:
        self._done[phase] += count
        start, end = self._ends[phase : phase + 2]
        part = min(1.0, self._done[phase] / self._totals[phase]) if self._totals[phase] else 0.0
        store(int(start + part * (end - start)), PERCENT)
