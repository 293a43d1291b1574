"""Chooses the recipients of letters and sorts them, or says why a person gets no letter."""

import enum
import re
import uuid
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import select

from idp.accounts import closings, directory
from idp.accounts.closings import Kind
from idp.accounts.models import Account, Child, Guardianship, School
from idp.accounts.passwords.hasher import fold_username
from idp.clients import registry
from idp.clock import day_of, now
from idp.db import db
from idp.folding import fold
from idp.letters.render import pdf
from idp.uai import normalised_uai

_SEPARATORS = str.maketrans("-'", "  ")
_NUMBERS = re.compile(r"(\d+)")


class Refusal(enum.StrEnum):
    """Why letters cannot be printed, for a page that has its own words."""

    NO_SCHOOL = "no_school"
    UNNAMED = "unnamed"
    NO_ENT = "no_ent"
    ENT_URL = "ent_url"
    NO_CLASS = "no_class"
    NO_ACCOUNT = "no_account"
    MERGED = "merged"
    DISABLED = "disabled"
    CLOSED = "closed"
    DISPUTED = "disputed"
    CHILDLESS = "childless"
    TIE_CLOSED = "tie_closed"
    WAITS = "waits"
    NOT_HERE = "not_here"
    NO_REASON = "no_reason"
    TOO_MANY = "too_many"
    CHANGED = "changed"


class Skip(enum.StrEnum):
    """Why an account gets no letter, for a page that has its own words."""

    DISABLED = "disabled"
    CLOSED = "closed"
    WAITS = "waits"
    DISPUTED = "disputed"
    ACTIVE = "active"
    WAS_ACTIVE = "was_active"
    HAS_LETTER = "has_letter"
    CHANGED = "changed"
    FAULTY = "faulty"
    TOO_LONG = "too_long"
    UNKNOWN_GLYPH = "unknown_glyph"


class PrintError(Exception):
    """The letters cannot be printed; nothing changed. The text is the message to show, `refusal` its kind."""

    def __init__(self, message: str, refusal: Refusal | None = None) -> None:
        super().__init__(message)
        self.refusal = refusal


class Recipient(NamedTuple):
    """An account that gets a letter from a school.

    Attributes:
        generation: the account's generation when it was chosen; an account that changed since then is skipped.
        class_name: the class of its first child in the school.
    """

    account_id: uuid.UUID
    username: str
    generation: int
    school_id: uuid.UUID
    class_name: str


class Skipped(NamedTuple):
    """An account that gets no letter; `reason` continues a sentence that begins with its username."""

    username: str
    reason: str
    skip: Skip
    account_id: uuid.UUID


def get_school(uai: str) -> School:
    """Return the school for which letters are printed.

    Raises:
        PrintError: the school is unknown, has no name, or no ENT with a printable URL serves it.
    """
    school = find_school(uai)
    check_school(school)
    return school


def find_school(uai: str) -> School:
    """Return a school, whether its letters can be printed or not.

    Raises:
        PrintError: the school is unknown.
    """
    school = db.session.scalar(select(School).where(School.uai == normalised_uai(uai)))
    if school is None:
        raise PrintError(f"no school {uai}", Refusal.NO_SCHOOL)
    return school


def check_school(school: School) -> None:
    """Check that a school's letters can be printed.

    Raises:
        PrintError: the school has no name, or no ENT with a printable URL serves it.
    """
    if not school.is_named:
        raise PrintError(f"{school.uai} has no name to print in its letters", Refusal.UNNAMED)
    try:
        pdf.check_ent_url(ent_home_url(school))
    except pdf.LetterError as fault:
        raise PrintError(f"the letters of {school.uai} cannot be printed: {fault}", Refusal.ENT_URL) from fault


def ent_home_url(school: School) -> str:
    """Return the URL of the ENT that serves `school`, for parents to type.

    Raises:
        PrintError: no ENT with a home URL serves the school.
    """
    return ent_of(school).home_uri


def ent_of(school: School, preferred: uuid.UUID | None = None) -> registry.Registration:
    """Return the ENT that serves `school`, `preferred` (the key of a client) if it does.

    Raises:
        PrintError: no ENT with a home URL serves the school.
    """
    ent = registry.serving([school.uai], preferred=preferred)
    if ent is None or not ent.home_uri:  # the login URL needs parameters that nobody types
        raise PrintError(f"no ENT with a home URL serves {school.uai}", Refusal.NO_ENT)
    return ent


def ents_of(school: School, others: Iterable[School]) -> dict[uuid.UUID, registry.Registration]:
    """Return the ENT of each school of a family, by the school's key: of `school`, which writes, and of the others.

    Another school without an ENT whose URL can be printed is left out.

    Raises:
        PrintError: no ENT with a home URL serves `school`.
    """
    own = ent_of(school)
    ents = {school.id: own}
    for other in others:
        with suppress(PrintError, pdf.LetterError):
            ent = ent_of(other, own.key)
            pdf.check_ent_url(ent.home_uri)
            ents.setdefault(other.id, ent)
    return ents


def in_school(
    school: School,
    class_name: str | None,
    *,
    renew: bool,
    only: Collection[uuid.UUID] | None = None,
    unprinted: Collection[uuid.UUID] = (),
) -> tuple[list[Recipient], list[Skipped]]:
    """Return the parents of a school, or of one class, sorted by class, family name and given name.

    Accounts that are active, or have been, are skipped: their letters are given one by one, with a reason. So are
    disabled accounts, and accounts with a valid letter unless `renew`, or unless `unprinted` has them: their letter
    never was on paper. If keys are given as `only`, all other people are left out.

    Raises:
        PrintError: the school has no such class.
    """
    chosen: list[tuple[tuple[Any, ...], Recipient]] = []
    skipped: list[Skipped] = []
    moment = now()
    rows = [row for row in _parents(school, class_name) if only is None or row.id in only]
    disputed = _uais_of_disputes([row.id for row in rows if row.has_disputed_tie])
    for row in rows:
        skip = _skip(row, moment, renew=renew or row.id in unprinted)
        if skip:
            reason = _skip_reason(skip, row, disputed.get(row.id, ()))
            skipped.append(Skipped(row.username, reason, skip, row.id))
        else:
            order = (class_order(row.class_name), folded(row.family_name), folded(row.given_name), row.username)
            chosen.append((order, Recipient(row.id, row.username, row.generation, school.id, row.class_name)))
    if class_name is not None and not chosen and not skipped:
        raise PrintError(
            f"{school.uai} has no class {class_name}; its classes are {', '.join(_classes(school))}", Refusal.NO_CLASS
        )
    return [entry for _, entry in sorted(chosen)], sorted(skipped)


def _classes(school: School) -> list[str]:
    names = db.session.scalars(select(Child.class_name).where(Child.school_id == school.id).distinct()).all()
    return sorted((name for name in names if name), key=class_order) or ["none"]


def by_username(
    usernames: Sequence[str], school: School | None, class_name: str | None, reason: str
) -> list[Recipient]:
    """Return the accounts that an operator names, in that order, each once, valid letters or not.

    Args:
        usernames: as typed.
        school: if given, the school that writes; each account must have a child there.
        class_name: if given, that child must be in this class.
        reason: why an account that has been active gets a letter.

    Raises:
        PrintError: an account is unknown, disabled, disputed, without children, or has been active and no
            reason is given.
    """
    accounts = {account.id: account for account in map(_get, usernames)}
    for account in accounts.values():
        if account.has_been_active and not reason:
            state = "is active, and a new letter closes it" if account.activated_at else "has been active"
            raise PrintError(f"{account.username} {state}", Refusal.NO_REASON)
    return [from_school(account, school, class_name) for account in accounts.values()]


def _get(username: str) -> Account:
    folded = fold_username(username)
    account = directory.find_by_username(folded) if folded else None
    if account is None:
        raise PrintError(f"no account {username}", Refusal.NO_ACCOUNT)
    check_account(account)
    return account


def check_account(account: Account) -> None:
    """Check that an account may get a letter.

    Raises:
        PrintError: it is merged, disabled, closed or disputed, or has no child with an open tie.
    """
    if account.merge is not None:
        kept = account.merge.into
        raise PrintError(
            f"the children of {account.username} are with {kept.username}: print that letter", Refusal.MERGED
        )
    if account.disabled_at is not None:
        raise PrintError(f"{account.username} is disabled: its letter could not be used", Refusal.DISABLED)
    if account.is_shut_at(now()):
        raise PrintError(f"{account.username} is closed: its letter could not be used", Refusal.CLOSED)
    if uais := _uais_of_disputes([account.id]).get(account.id):
        raise PrintError(f"{account.username} {_closed_by(uais)}", Refusal.DISPUTED)
    if not account.children:
        _check_ties(account, None)
        raise PrintError(f"{account.username} has no child in a school", Refusal.CHILDLESS)


def from_school(account: Account, school: School | None, class_name: str | None) -> Recipient:
    """Return an account as the recipient of a letter from a school, or from the first of its schools.

    Raises:
        PrintError: it has no child with an open tie in that school or class.
    """
    for child in account.children:
        if (school is None or child.school_id == school.id) and class_name in {None, child.class_name}:
            return Recipient(account.id, account.username, account.generation, child.school_id, child.class_name)
    _check_ties(account, school)
    where = " of ".join(part for part in (class_name, school.uai if school else None) if part)
    raise PrintError(f"{account.username} has no child in {where}", Refusal.NOT_HERE)


def _check_ties(account: Account, school: School | None) -> None:
    """Check that no tie to a pupil, or to one of the school, is closed for now: that is not a missing child."""
    moment = now()
    waits = closings.only_waits(Guardianship.account_id, Guardianship.child_id, moment)
    closed = (
        select(waits)
        .select_from(Guardianship)
        .join(Child, Child.id == Guardianship.child_id)
        .where(Guardianship.account_id == account.id, Guardianship.is_unended, Guardianship.where_shut(moment))
    )
    ties = db.session.scalars(closed if school is None else closed.where(Child.school_id == school.id)).all()
    if any(ties):
        raise PrintError(f"{account.username} waits for the head of the school", Refusal.WAITS)
    if ties:
        raise PrintError(f"the tie of {account.username} is closed", Refusal.TIE_CLOSED)


def _parents(school: School, class_name: str | None) -> list[Any]:
    """Return each account with a child in the school (and class) once, with the class of its first child there."""
    moment = now()
    query = (
        select(
            Account.id,
            Account.username,
            Account.generation,
            Account.family_name,
            Account.given_name,
            Account.activated_at,
            Account.has_been_active.label("has_been_active"),
            Account.disabled_at,
            Account.where_shut(moment).label("is_shut"),
            Account.provisional_hash.is_not(None).label("has_letter"),
            Account.provisional_expires_at,
            Account.has_disputed_tie.label("has_disputed_tie"),
            Child.class_name,
            Guardianship.where_shut(moment).label("is_tie_shut"),
            closings.only_waits(Guardianship.account_id, Guardianship.child_id, moment).label("is_waiting"),
        )
        .join(Guardianship, Guardianship.account_id == Account.id)
        .join(Child, Child.id == Guardianship.child_id)
        .where(Child.school_id == school.id, Guardianship.is_unended)
        .order_by(Guardianship.where_shut(moment), Guardianship.rank, Child.id)
    )
    if class_name is not None:
        query = query.where(Child.class_name == class_name)
    first: dict[uuid.UUID, Any] = {}
    for row in db.session.execute(query):
        first.setdefault(row.id, row)
    return list(first.values())


def _uais_of_disputes(account_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, list[str]]:
    is_disputed = Guardianship.is_unended, Guardianship.where_closed_as(Kind.DISPUTED)
    ties = select(Guardianship.account_id, School.uai).join(Guardianship.child).join(Child.school).order_by(School.uai)
    uais: dict[uuid.UUID, list[str]] = {}
    for account_id, uai in db.session.execute(ties.where(Guardianship.account_id.in_(account_ids), *is_disputed)):
        uais.setdefault(account_id, []).append(uai)
    return uais


def _closed_by(uais: Sequence[str]) -> str:
    return f"is closed by a dispute, which {' and '.join(dict.fromkeys(uais)) or 'its school'} must settle first"


def _skip(row: Any, moment: datetime, *, renew: bool) -> Skip | None:
    if row.disabled_at is not None:
        return Skip.DISABLED
    if row.is_shut or row.is_tie_shut:
        return Skip.WAITS if row.is_waiting and not row.is_shut else Skip.CLOSED
    if row.has_disputed_tie:
        return Skip.DISPUTED
    if row.activated_at is not None:
        return Skip.ACTIVE
    if row.has_been_active:
        return Skip.WAS_ACTIVE
    valid_until = row.provisional_expires_at
    has_letter = row.has_letter and valid_until is not None and valid_until > moment
    return Skip.HAS_LETTER if has_letter and not renew else None


def _skip_reason(skip: Skip, row: Any, disputed_by: Sequence[str]) -> str:
    """Return the words for a reason, which continue a sentence that begins with the username."""
    match skip:
        case Skip.DISABLED:
            return "is disabled"
        case Skip.CLOSED | Skip.WAITS:
            return "is closed" if skip is Skip.CLOSED else "waits for the head of the school"
        case Skip.DISPUTED:
            return _closed_by(disputed_by)
        case Skip.ACTIVE:
            return "is active: a letter that is printed for it alone closes it"
        case Skip.WAS_ACTIVE:
            return "has been active: another letter is printed for it alone, with a reason"
    day = day_of(row.provisional_expires_at)
    return f"has a letter valid until {day}, which is not renewed"


def class_order(class_name: str) -> tuple[Any, ...]:
    """Return a sort key that puts 6e 2 before 6e 10, and an empty name last."""
    parts = _NUMBERS.split(folded(class_name))
    return (not class_name.strip(), [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], class_name)


def folded(name: str) -> str:
    """Return the sort key of a name in French: without accents, case, hyphens and apostrophes."""
    return " ".join(fold(name).translate(_SEPARATORS).split())
