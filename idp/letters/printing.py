"""Prints the letters of people, classes and schools; each file is one transaction.

With a file for each class, an interrupted print keeps the classes that are done, and the same command completes it.
The desk keeps the PDFs in the database instead, in the transaction of their secrets (`print_in_memory`).
"""

import itertools
import re
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from idp.accounts.passwords.hasher import Hasher
from idp.config import Settings
from idp.letters import merge_csv, recipients, secrets
from idp.letters.files import LetterFile, LetterFileError, remove_leftovers
from idp.letters.provisional import BatchHasher
from idp.letters.recipients import PrintError, Recipient, Refusal, Skipped
from idp.letters.render.typesetting import Typesetter
from idp.letters.secrets import DrawnLetter, draw

LONGEST_REASON = 200  # characters of the reason why an account that has been active gets a letter
IN_ONE_FILE = 2000
"""Letters of one file for a whole school, at most: the typesetter needs about a megabyte of memory for each."""
IN_MEMORY = 3000
"""Letters of one print for the desk, at most: their PDFs are in memory together, 25 to 55 kilobytes a letter."""
IN_A_CLASS_FILE = 500  # letters of one file for a class, at most: a larger class gets several files
_MAX_CLASS_BYTES = 60
_UNSAFE = re.compile(r"[\W_]+")


@dataclass(frozen=True, kw_only=True)
class PrintOrder:
    """The options of a print.

    Attributes:
        uai: the school, or None if people are given by `usernames`.
        class_name: only this class of the school.
        usernames: only these people, of the school if it is given.
        only: the keys of the accounts of the school that may get a letter, or None for all.
        renew: print again for people with a valid letter.
        unprinted: the keys of the accounts whose valid letter never was on paper: they get another one.
        reason: why an account that has been active gets a letter.
        out: the PDF; with `per_class`, the folder of PDFs.
        csv: the list for a mail merge, without `per_class`.
        as_slips: slips instead of pages.
        per_class: one PDF, and one transaction, for each class.
    """

    uai: str | None = None
    class_name: str | None = None
    usernames: Sequence[str] = ()
    only: Collection[uuid.UUID] | None = None
    renew: bool = False
    unprinted: Collection[uuid.UUID] = ()
    reason: str = ""
    out: Path | None = None
    csv: Path | None = None
    as_slips: bool = False
    per_class: bool = False


@dataclass
class Report:
    """The number of valid letters, whose they are, who was skipped, and the PDFs."""

    printed: int = 0
    people: list[uuid.UUID] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)


Keep = Callable[[Sequence[tuple[str, bytes]], Report], None]
"""Stores the PDFs of a print, each with the name of its class, and the report."""
Progress = Callable[[int, int], None]  # is told how many letters of how many are done


class _Output:
    def __init__(self, typesetter: Typesetter, order: PrintOrder, out: Path | None) -> None:
        self._typesetter, self._as_slips, self._per_class = typesetter, order.as_slips, order.per_class
        self._pdf = LetterFile(out) if out else None
        self._list = LetterFile(order.csv) if order.csv else None

    def store(self, drawn: Sequence[DrawnLetter], expires_at: datetime) -> None:
        if self._pdf:
            if self._per_class:
                self._pdf.path.parent.mkdir(mode=0o700, exist_ok=True)
            content = self._typesetter.render([drawn_letter.letter for drawn_letter in drawn], as_slips=self._as_slips)
            self._pdf.write(content, expires_at)
        if self._list:
            self._list.write(merge_csv.render(drawn), expires_at)

    def keep(self, drawn: Sequence[DrawnLetter], skipped: Sequence[Skipped]) -> None:
        """Store nothing in the database: the letters are in files."""

    def publish(self) -> None:
        faults = []
        for file in filter(None, (self._pdf, self._list)):
            try:
                file.publish()
            except LetterFileError as error:
                faults.append(str(error))
        if faults:
            raise LetterFileError("; ".join(faults))

    def discard(self) -> None:
        for file in filter(None, (self._pdf, self._list)):
            file.discard()


def print_letters(settings: Settings, hasher: Hasher, order: PrintOrder, show_line: Callable[[str], None]) -> Report:
    """Print letters, in an application context.

    Args:
        settings: the texts that all letters have.
        hasher: hashes the provisional passwords.
        order: the options.
        show_line: called with a line about each file of a class, once the file is written.

    Raises:
        PrintError: the options cannot be met; nothing was done.
        LetterFileError: a file with valid letters exists, or could not be renamed.
        LetterError: a letter cannot be printed.
        HasherBusyError: the hasher had no free slot.
        BrokenProcessPool: a hashing or typesetting process was killed.
        OSError: a file cannot be written.
    """
    _check_files(order)
    people, report = _choose(order)
    _check_length(order, people)
    with BatchHasher(hasher) as batch_hasher, Typesetter() as typesetter:
        for out, batch in _batches(order, people):
            drawn, skipped = draw(
                settings,
                batch_hasher,
                batch,
                _Output(typesetter, order, out),
                reason=order.reason,
                all_or_none=bool(order.usernames),
            )
            report.printed += len(drawn)
            report.skipped += skipped
            if drawn and out:
                report.files.append(out)
            if drawn and order.per_class:
                show_line(f"{drawn[0].recipient.class_name or 'no class'}: {_letters(len(drawn))} in {out}")
    return report


class _Memory:
    """Holds a batch of letters as PDFs of a class until they are stored with the secrets.

    A PDF has `IN_A_CLASS_FILE` letters at most.
    """

    def __init__(self, typesetter: Typesetter, order: PrintOrder, keep: Keep, progress: Progress | None) -> None:
        self._typesetter, self._as_slips = typesetter, order.as_slips
        self._keep, self._progress = keep, progress
        self._pdfs: list[tuple[str, bytes]] = []

    def store(self, drawn: Sequence[DrawnLetter], _expires_at: datetime) -> None:
        self._pdfs = []
        for class_name, group in itertools.groupby(drawn, lambda entry: entry.recipient.class_name):
            letters = [entry.letter for entry in group]
            for start in range(0, len(letters), IN_A_CLASS_FILE):
                part = letters[start : start + IN_A_CLASS_FILE]
                self._pdfs.append((class_name, self._typesetter.render(part, as_slips=self._as_slips)))
                if self._progress:
                    self._progress(len(drawn), len(drawn))

    def keep(self, drawn: Sequence[DrawnLetter], skipped: Sequence[Skipped]) -> None:
        self._keep(self._pdfs, _report(drawn, skipped))

    def publish(self) -> None:
        self._pdfs = []

    def discard(self) -> None:
        self._pdfs = []


def print_in_memory(
    settings: Settings, hasher: Hasher, order: PrintOrder, keep: Keep, progress: Progress | None = None
) -> Report:
    """Print letters into memory; store them in one transaction with all their secrets, or nothing.

    Args:
        settings: the texts that all letters have.
        hasher: hashes the provisional passwords.
        order: who gets a letter; without files.
        keep: stores the PDFs, in the transaction of the secrets. Not called if nobody gets a letter.
        progress: called between two steps; what it raises ends the print, and no secret is valid.

    Raises:
        PrintError: the options cannot be met, or there are more than `IN_MEMORY` letters; nothing was done.
        LetterError: a letter cannot be printed.
        HasherBusyError: the hasher had no free slot.
        BrokenProcessPool: a hashing or typesetting process was killed.
    """
    people, report = _choose(order)
    if len(people) > IN_MEMORY:
        raise PrintError(f"{len(people)} letters are too many for one print", Refusal.TOO_MANY)
    before = list(report.skipped)

    def keep_all(pdfs: Sequence[tuple[str, bytes]], stored: Report) -> None:
        keep(pdfs, replace(stored, skipped=before + stored.skipped))

    with BatchHasher(hasher) as batch_hasher, Typesetter() as typesetter:
        drawn, skipped = draw(
            settings,
            batch_hasher,
            people,
            _Memory(typesetter, order, keep_all, progress),
            reason=order.reason,
            all_or_none=bool(order.usernames),
            progress=progress,
        )
    return _report(drawn, before + skipped)


def _report(drawn: Sequence[DrawnLetter], skipped: Sequence[Skipped]) -> Report:
    people = [entry.recipient.account_id for entry in drawn]
    return Report(printed=len(drawn), people=people, skipped=list(skipped))


def _letters(count: int) -> str:
    return f"{count} letter{'' if count == 1 else 's'}"


def _check_files(order: PrintOrder) -> None:
    for path in filter(None, (order.out, order.csv)):
        if not order.per_class and (path.is_symlink() or path.exists()):
            raise PrintError(f"{path} exists: nothing was done")
        if not path.absolute().parent.is_dir():
            raise PrintError(f"{path} cannot be written: its folder does not exist; nothing was done")
    remove_leftovers(filter(None, (order.out, order.csv)), secrets.is_secret_valid)


def _choose(order: PrintOrder) -> tuple[list[Recipient], Report]:
    school = recipients.get_school(order.uai) if order.uai else None
    report = Report()
    if order.usernames or school is None:
        return recipients.by_username(order.usernames, school, order.class_name, order.reason), report
    people, report.skipped = recipients.in_school(
        school, order.class_name, renew=order.renew, only=order.only, unprinted=order.unprinted
    )
    return people, report


def _check_length(order: PrintOrder, people: Sequence[Recipient]) -> None:
    if order.out and len(people) > IN_ONE_FILE and not order.per_class and not order.usernames:
        raise PrintError(f"{len(people)} letters are too many for one file: print a file for each class")


def _batches(order: PrintOrder, people: Sequence[Recipient]) -> Iterator[tuple[Path | None, list[Recipient]]]:
    """Yield the name of each file with its recipients, once the file before it is written, so that names are unique."""
    if not order.per_class or order.out is None:
        if people:
            yield order.out, list(people)
        return
    for class_name, group in itertools.groupby(people, lambda recipient: recipient.class_name):
        members = list(group)
        for start in range(0, len(members), IN_A_CLASS_FILE):
            yield _unused_path(order.out, order.uai, class_name), members[start : start + IN_A_CLASS_FILE]


def _unused_path(folder: Path, uai: str | None, class_name: str) -> Path:
    """Return the path of a new file: `0599001N-6e-1.pdf`, or the same with a number."""
    plain = _UNSAFE.sub("-", class_name).strip("-").encode()[:_MAX_CLASS_BYTES].decode(errors="ignore")
    stem = f"{uai}-{plain or 'sans-classe'}"
    names = itertools.chain([f"{stem}.pdf"], (f"{stem}.{number}.pdf" for number in itertools.count(2)))
    return next(path for path in map(folder.joinpath, names) if not path.is_symlink() and not path.exists())
