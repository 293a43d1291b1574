"""Decides what happens to a person of the files: pure functions without database, SQL or texts.

`decide` is about guardians and `decide_student` about pupils. The phases gather the facts with SQL and store the
outcome beside the record; `outcomes` lists what follows from each outcome.
"""

import enum
from dataclasses import dataclass

from idp.rostering.reconcile.continuity import Named, Verdict, judge
from idp.rostering.records import Act


class Ties(enum.StrEnum):
    """The pupils who name a guardian, from the least to the most that an account needs."""

    NONE = "none"
    NOT_LEGAL = "not_legal"
    NO_OPEN_STUDENT = "no_open_student"
    OPEN = "open"  # the guardian has legal authority for a pupil who is in a class


class KeyKind(enum.StrEnum):
    """What a guardian's key is made of."""

    NAMES = "names"  # the file has no number: the key is a digest of the names, and namesakes have the same key
    AAF = "aaf"  # the key is a part of the `sub` of clients of type `aaf`: it must never name another person
    NUMBER = "number"


class Outcome(enum.StrEnum):
    """What happens to a guardian's record."""

    CHANGE_OF_UNKNOWN = "change_of_unknown"
    KEYS_EXCHANGED = "keys_exchanged"
    KEY_OF_OTHER_PERSON = "key_of_other_person"
    NAME_IN_DOUBT = "name_in_doubt"
    NAME_CORRECTED = "name_corrected"  # the account takes the new name, because no letter was printed for it
    NO_OPEN_STUDENT = "no_open_student"
    NO_LEGAL_AUTHORITY = "no_legal_authority"
    NO_STUDENT = "no_student"
    RETIRED_KEY = "retired_key"
    OUTSIDE = "outside"
    """The person belongs to another school, and the staff of one school gave the files: set by phase `outside`."""
    NAMESAKE = "namesake"  # a new account takes the key from the account of a person of the same names
    OTHER_NAMES = "other_names"  # a new account takes the key from the account of a person of other names
    NEW = "new"
    KNOWN = "known"
    ALIAS = "alias"  # the person has an account under another key, and files may change it under that key only
    GONE = "gone"
    UNKNOWN_GONE = "unknown_gone"


@dataclass(frozen=True, slots=True)
class Record:
    """A guardian's record; a name that it leaves out is the account's."""

    act: Act
    ties: Ties
    names: Named | None = None
    key_kind: KeyKind = KeyKind.NUMBER
    key_is_retired: bool = False  # whether the key was the key of an account that is removed, of another given name


@dataclass(frozen=True, slots=True)
class Known:
    """The account that has a record's key, compared with the record.

    Attributes:
        names: None if they are the record's, so that nothing needs to be compared.
        opened_as: The given name at the opening of the account, or the name that the school confirmed.
        is_alias: Whether the record's key is the second key of the account.
        is_blank: Whether no letter was ever printed for the account.
        has_children: Whether the account has or had a child.
        keeps_child: Whether a child of the account names the record's person, also if that tie ended or is disputed: a
            dispute must not be undone by a new account under the same name.
        keeps_home: Whether the whole postal address stays.
        keeps_email: Whether the file's email stays.
        is_exchanged: Whether another account has exactly the record's names, and one of its children or its home.
    """

    names: Named | None = None
    opened_as: str = ""
    is_alias: bool = False
    is_blank: bool = False
    has_children: bool = True
    keeps_child: bool = False
    keeps_home: bool = False
    keeps_email: bool = False
    is_exchanged: bool = False


def decide(record: Record, known: Known | None) -> Outcome:
    """Return what happens to a guardian.

    Args:
        record: What the files say.
        known: The account of the record's key, or None.
    """
    if known is None:
        return Outcome.CHANGE_OF_UNKNOWN if record.act is Act.MODIFY else _without_account(record)
    outcome = _of_other_person(record, known) if record.act is not Act.DELETE else None
    if known.is_alias and outcome in {None, Outcome.NAME_CORRECTED}:  # files correct names under the other key only
        return Outcome.ALIAS
    if outcome is not None:
        return outcome
    return Outcome.GONE if record.act is Act.DELETE else Outcome.KNOWN


def is_namesake(record: Record, known: Known) -> bool:
    """Return whether the record's person only has the names of the account's person.

    A key made of names proves nothing: a child or the home must stay too. The email does not count, because namesakes
    may share a mailbox and some schools write their own everywhere. An account without letter and children belongs to
    nobody: a killed import opened it, and this one continues.
    """
    belongs_to_nobody = known.is_blank and not known.has_children
    continues = known.keeps_child or known.keeps_home
    return record.key_kind is KeyKind.NAMES and not continues and not belongs_to_nobody


def _of_other_person(record: Record, known: Known) -> Outcome | None:  # noqa: PLR0911 - one return for each rule
    if is_namesake(record, known):
        return _without_account(record, starts_again=Outcome.NAMESAKE)
    if record.names is None or known.names is None or record.names == known.names:
        return None
    if known.is_exchanged:
        return Outcome.KEYS_EXCHANGED
    verdict = judge(
        record.names,
        known.names,
        known.opened_as,
        keeps_child=known.keeps_child,
        keeps_home=known.keeps_home,
        keeps_email=known.keeps_email,
    )
    if verdict is Verdict.DOUBT:
        return Outcome.NAME_CORRECTED if known.is_blank else Outcome.NAME_IN_DOUBT
    if verdict is Verdict.SAME:
        return None
    if record.key_kind is KeyKind.AAF:
        return Outcome.KEY_OF_OTHER_PERSON
    if known.is_blank and not known.has_children:
        return None
    return _without_account(record, starts_again=Outcome.OTHER_NAMES)


def _without_account(record: Record, *, starts_again: Outcome | None = None) -> Outcome:
    if record.act is Act.DELETE:
        return Outcome.UNKNOWN_GONE
    match record.ties:
        case Ties.NONE:
            return Outcome.NO_STUDENT
        case Ties.NOT_LEGAL:
            return Outcome.NO_LEGAL_AUTHORITY
        case Ties.NO_OPEN_STUDENT:
            return Outcome.NO_OPEN_STUDENT
        case Ties.OPEN:
            return starts_again or (Outcome.RETIRED_KEY if record.key_is_retired else Outcome.NEW)


class StudentOutcome(enum.StrEnum):
    """What happens to a pupil's record."""

    CHANGE_OF_UNKNOWN = "change_of_unknown"
    OTHER_PERSON = "key_of_other_person"
    OUTSIDE = "outside"  # as for guardians
    SCHOOL_UNKNOWN = "school_unknown"
    LEFT = "student_left"
    LEFT_ELSEWHERE = "left_elsewhere"
    """The pupil left this school, and the database has the pupil in another one or in none."""
    WITHOUT_CLASS = "without_class"
    KEPT_WITHOUT_CLASS = "kept_without_class"
    OPEN = "open"
    KEPT = "kept"
    GONE = "gone"
    UNKNOWN_GONE = "unknown_gone"


class ClassName(enum.StrEnum):
    """What a pupil's record says of the class."""

    NAMED = "named"
    NONE = "none"
    UNSAID = "unsaid"


@dataclass(frozen=True, slots=True)
class StudentRecord:
    """A pupil's record: whether its school is known or in the files, and whether the leaving date has passed."""

    act: Act
    has_school: bool = True
    has_left: bool = False
    class_name: ClassName = ClassName.NAMED


@dataclass(frozen=True, slots=True)
class KnownStudent:
    """The pupil of the database who has a record's key, compared with the record."""

    is_left: bool = False
    has_class: bool = True
    keeps_a_name: bool = True
    keeps_school: bool = True


def decide_student(  # noqa: PLR0911 - one return for each rule
    record: StudentRecord, known: KnownStudent | None
) -> StudentOutcome:
    """Return what happens to a pupil.

    Args:
        record: What the files say.
        known: The pupil of the record's key in the database, or None.
    """
    if record.act is Act.DELETE:
        return StudentOutcome.GONE if known else StudentOutcome.UNKNOWN_GONE
    if record.act is Act.MODIFY and (known is None or known.is_left):
        return StudentOutcome.CHANGE_OF_UNKNOWN
    if known and not known.keeps_a_name:
        return StudentOutcome.OTHER_PERSON
    if not record.has_school:
        return StudentOutcome.SCHOOL_UNKNOWN
    if record.has_left:
        return StudentOutcome.LEFT if known and known.keeps_school else StudentOutcome.LEFT_ELSEWHERE
    if record.class_name is ClassName.NAMED:
        return StudentOutcome.OPEN
    is_here = known is not None and not known.is_left
    if record.class_name is ClassName.NONE:
        return StudentOutcome.KEPT_WITHOUT_CLASS if is_here else StudentOutcome.WITHOUT_CLASS
    if known and known.has_class:
        return StudentOutcome.OPEN
    return StudentOutcome.KEPT if is_here else StudentOutcome.WITHOUT_CLASS
