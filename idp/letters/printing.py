"""Prints letters for people, classes and schools: in which files, and in how many transactions.

One file is one transaction. With a file for each class, what a cut-off print has done stays done, and the same command
goes on with the classes that are left.
"""

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from idp.accounts.passwords.hasher import Hasher
from idp.config import Settings
from idp.letters import exchange, merge_csv, recipients
from idp.letters import files as paper
from idp.letters.hashing import Hashers
from idp.letters.recipients import Chosen, Refused, Skipped
from idp.letters.render.typesetting import Press
from idp.letters.secrets import Drawn, draw

IN_ONE_FILE = 2000
"""The most letters of a file for a whole school: they are typeset in memory, about a megabyte each."""
IN_A_CLASS_FILE = 500
"""The most letters of a file for a class: a larger class gets several."""
_LONGEST_NAME = 60
"""Bytes of a class's name in that of its file."""
_UNSAFE = re.compile(r"[\W_]+")


@dataclass(frozen=True, kw_only=True)
class Order:
    """What an operator asks for.

    Attributes:
        uai: The school, or None for people by name alone.
        class_name: Only this class of it.
        usernames: Only these people; of the school, when there is one.
        renew: Print again for those whose letter is still good.
        reason: Why an account that is active gets a letter.
        out: The PDF; with `per_class`, the folder of PDFs.
        csv: The list for a mail merge.
        strip: Slips instead of pages.
        per_class: A PDF, and a transaction, for each class.
    """

    uai: str | None = None
    class_name: str | None = None
    usernames: Sequence[str] = ()
    renew: bool = False
    reason: str = ""
    out: Path | None = None
    csv: Path | None = None
    strip: bool = False
    per_class: bool = False


@dataclass
class Report:
    """What was done: letters that are good, who got none and why, and the PDFs."""

    printed: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)


class _Files:
    """Keeps a batch of letters in its PDF and in the list."""

    def __init__(self, press: Press, order: Order, out: Path | None) -> None:
        self._press, self._strip, self._per_class = press, order.strip, order.per_class
        self._pdf = paper.Paper(out) if out else None
        self._list = None
        if order.csv:
            self._list = paper.Paper(order.csv, merge_csv.HEAD if order.per_class else b"")

    def keep(self, drawn: Sequence[Drawn], expires_at: datetime) -> None:
        if self._pdf:
            if self._per_class:
                self._pdf.path.parent.mkdir(mode=0o700, exist_ok=True)
            content = self._press.render([one.letter for one in drawn], strip=self._strip)
            self._pdf.write(content, expires_at)
        if self._list:
            self._list.write(merge_csv.render(drawn), expires_at)

    def publish(self) -> None:
        kept = []
        for file in filter(None, (self._pdf, self._list)):
            try:
                file.publish()
            except paper.Kept as still:
                kept.append(str(still))
        if kept:
            raise paper.Kept("; ".join(kept))

    def tear_up(self) -> None:
        for file in filter(None, (self._pdf, self._list)):
            file.tear_up()


def print_letters(settings: Settings, hasher: Hasher, order: Order, tell: Callable[[str], None]) -> Report:
    """Print what `order` says. Needs the application's context.

    Args:
        settings: what every letter says.
        hasher: hashes the secrets.
        order: what is asked for.
        tell: takes a line about each file of a class, as soon as it is there.

    Raises:
        Refused: nothing was done: the order cannot be followed as it is.
        paper.Kept: a file that holds good letters is in the way, or could not be named.
        LetterError: a letter cannot be printed truthfully.
        Busy: no turn came for a hash.
        OSError: a file cannot be written.
    """
    _check_files(order)
    people, report = _choose(order)
    with Hashers(hasher) as hashers, Press() as press:
        for out, batch in _batches(order, people):
            drawn, left_out = draw(
                settings,
                hashers,
                batch,
                _Files(press, order, out),
                reason=order.reason,
                all_or_none=bool(order.usernames),
            )
            report.printed += len(drawn)
            report.skipped += left_out
            if drawn and out:
                report.files.append(out)
            if drawn and order.per_class:
                tell(f"{drawn[0].class_name or 'no class'}: {_letters(len(drawn))} in {out or order.csv}")
    return report


def _letters(count: int) -> str:
    return f"{count} letter{'' if count == 1 else 's'}"


def _check_files(order: Order) -> None:
    """See that every file can be made, before anything is done."""
    for path in filter(None, (None if order.per_class else order.out, order.csv)):
        if order.per_class:
            paper.check_below(path, merge_csv.HEAD)
        elif path.is_symlink() or path.exists():
            raise Refused(f"{path} exists already, nothing was done")
    for path in filter(None, (order.out, order.csv)):
        if not path.absolute().parent.is_dir():
            raise Refused(f"{path} cannot be written: its folder is not there, nothing was done")
    paper.sweep(filter(None, (order.out, order.csv)), exchange.opens_something)


def _choose(order: Order) -> tuple[list[Chosen], Report]:
    school = recipients.get_school(order.uai) if order.uai else None
    report = Report()
    if order.usernames or school is None:
        return recipients.named(order.usernames, school, order.class_name, order.reason), report
    people, report.skipped = recipients.of_school(school, order.class_name, renew=order.renew)
    if len(people) > IN_ONE_FILE and not order.per_class:
        raise Refused(f"{len(people)} letters are too many for one file: print them with --per-class")
    return people, report


def _batches(order: Order, people: Sequence[Chosen]) -> Iterator[tuple[Path | None, list[Chosen]]]:
    """Yield each file with the people in it. Its name is free when it is asked for, since the one before is written."""
    if not order.per_class:
        if people:
            yield order.out, list(people)
        return
    for class_name, group in itertools.groupby(people, lambda one: one.class_name):
        members = list(group)
        for start in range(0, len(members), IN_A_CLASS_FILE):
            yield _free(order, class_name), members[start : start + IN_A_CLASS_FILE]


def _free(order: Order, class_name: str) -> Path | None:
    """Return a file of the folder that is not there yet: `0599001N-6e-1.pdf`, or the same with a number."""
    if order.out is None:
        return None
    plain = _UNSAFE.sub("-", class_name).strip("-").encode()[:_LONGEST_NAME].decode(errors="ignore")
    stem = f"{order.uai}-{plain or 'sans-classe'}"
    names = itertools.chain([f"{stem}.pdf"], (f"{stem}.{number}.pdf" for number in itertools.count(2)))
    return next(path for path in map(order.out.joinpath, names) if not path.is_symlink() and not path.exists())
