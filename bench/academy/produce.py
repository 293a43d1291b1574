"""Writes the files of an order: draws families, adds mistakes, writes one format, and counts."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench.academy.delta import changes
from bench.academy.families import Household, families
from bench.academy.mistakes import Kind, Mistakes
from bench.academy.schools import School, draw_schools
from bench.academy.writers import aaf, csv_file, onde, siecle
from bench.academy.writers.output import Folder, Output, Tgz


@dataclass(frozen=True, kw_only=True)
class Order:
    """The options of the command; see its `--help`."""

    out: Path
    pupils: int
    schools: int
    format: str
    seed: int = 1
    delta: float = 0
    mistakes: float = 0
    archive: bool = False
    latin9: bool = False
    old: bool = False
    part: int = 5_000


@dataclass
class Produced:
    """The numbers of what was written.

    Attributes:
        schools: schools with pupils.
        pupils: pupils in the Complet's files; a format without pupils who left has fewer.
        people: responsible people in them; a person in two schools' files counts once.
        mistakes: the mistakes, by kind.
        changes: the changes in the Delta, by kind.
    """

    files: int = 0
    size: int = 0
    schools: int = 0
    pupils: int = 0
    people: int = 0
    mistakes: Counter[str] = field(default_factory=Counter)
    changes: Counter[str] = field(default_factory=Counter)


def produce(order: Order) -> Produced:
    """Write the files of an académie to `order.out`: a Complet, and for an AAF a Delta if requested.

    Only the Complet contains mistakes. The memory is that of a town and of a few parts.

    Raises:
        ValueError: a number is out of range, or the format has no writer.
    """
    writer = _WRITERS.get(order.format)
    if writer is None:
        raise ValueError(f"no writer for the format {order.format!r}: add it to _WRITERS")
    produced = Produced()
    mistakes = Mistakes(order.mistakes, writer.mistakes(order), seed=order.seed)
    schools = mistakes.schools(draw_schools(order.pupils, order.schools))
    writer.write(order, schools, families(order.seed, order.pupils, order.schools), mistakes, produced)
    produced.mistakes.update({kind.value: number for kind, number in mistakes.counts.items()})
    return _weighed(order, produced)


def _siecle_style(order: Order) -> siecle.Style:
    return siecle.Style(old=order.old, zipped=order.archive)


def _write_siecle(
    order: Order, schools: list[School], households: Iterable[Household], mistakes: Mistakes, produced: Produced
) -> None:
    siecle.write(Folder(order.out), schools, _counted(mistakes.households(households), produced), _siecle_style(order))


def _write_onde(
    order: Order, schools: list[School], households: Iterable[Household], mistakes: Mistakes, produced: Produced
) -> None:
    onde.write(Folder(order.out), schools, _counted(mistakes.households(onde.representable(households)), produced))


def _write_csv(
    order: Order, schools: list[School], households: Iterable[Household], mistakes: Mistakes, produced: Produced
) -> None:
    csv_file.write(Folder(order.out), schools, _counted(mistakes.households(households), produced))


def _write_aaf(
    order: Order, schools: list[School], households: Iterable[Household], mistakes: Mistakes, produced: Produced
) -> None:
    style = aaf.Style(
        first_degree=order.format == "aaf1d", encoding="ISO-8859-15" if order.latin9 else "UTF-8", part=order.part
    )
    with ExitStack() as stack:
        output = _aaf_output(order, style, "Complet", stack)
        written = _counted(mistakes.households(aaf.representable(households, style)), produced)
        aaf.write_complete(output, schools, written, style)
    if order.delta:
        again = families(order.seed, order.pupils, order.schools)
        changed = changes(again, draw_schools(order.pupils, order.schools), order.delta, seed=order.seed)
        with ExitStack() as stack:
            produced.changes = aaf.write_delta(_aaf_output(order, style, "Delta", stack), changed, style)


def _aaf_output(order: Order, style: aaf.Style, mode: str, stack: ExitStack) -> Output:
    """Return the output of a Complet or a Delta: a folder of its own, or an archive."""
    if order.archive:
        return stack.enter_context(Tgz(order.out / f"{style.name}_{mode}.tgz"))
    return Folder(order.out / mode.lower())


def _counted(households: Iterable[Household], produced: Produced) -> Iterator[Household]:
    schools: set[int] = set()
    for household in households:
        produced.pupils += len(household.pupils)
        produced.people += len(household.people)
        schools.update(pupil.school.number for pupil in household.pupils)
        yield household
    produced.schools = len(schools)


def _weighed(order: Order, produced: Produced) -> Produced:
    sizes = [path.stat().st_size for path in order.out.rglob("*") if path.is_file()]
    produced.files, produced.size = len(sizes), sum(sizes)
    return produced


@dataclass(frozen=True)
class _Writer:
    """How a format is written, and which kinds of mistakes its files can have."""

    write: Callable[[Order, list[School], Iterable[Household], Mistakes, Produced], None]
    mistakes: Callable[[Order], frozenset[Kind]]


_AAF = _Writer(_write_aaf, lambda _: aaf.MISTAKES)
_WRITERS = {
    "aaf": _AAF,
    "aaf1d": _AAF,
    "siecle": _Writer(_write_siecle, lambda order: siecle.mistakes(_siecle_style(order))),
    "onde": _Writer(_write_onde, lambda _: onde.MISTAKES),
    "csv": _Writer(_write_csv, lambda _: csv_file.MISTAKES),
}
FORMATS = tuple(_WRITERS)
