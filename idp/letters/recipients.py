"""Who gets a letter, in which order, and why others do not."""

import re
import unicodedata
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import select

from idp.accounts import directory, disputes
from idp.accounts.models import Account, Child, Guardianship, School
from idp.accounts.passwords.hasher import fold_username
from idp.clients import registry
from idp.clock import now
from idp.db import db
from idp.letters.render import pdf
from idp.uai import normalised_uai

_LIGATURES = str.maketrans({"œ": "oe", "æ": "ae", "ß": "ss"})
_NUMBERS = re.compile(r"(\d+)")


class Refused(Exception):  # noqa: N818 - says what it is
    """Nothing was drawn and nothing changed; the text is the sentence to show."""


class Chosen(NamedTuple):
    """An account that gets a letter from a school, under the class of its first child there.

    `generation` is the account's when it was chosen: one that changed since gets none.
    """

    account_id: uuid.UUID
    username: str
    generation: int
    school_id: uuid.UUID
    class_name: str


class Skipped(NamedTuple):
    """An account that gets no letter, and why: words that follow its identifier."""

    username: str
    reason: str


def get_school(uai: str) -> School:
    """Return a school whose parents can be written to.

    Raises:
        Refused: there is none of that UAI, or no ENT that a letter could name serves it.
    """
    school = db.session.scalar(select(School).where(School.uai == normalised_uai(uai)))
    if school is None:
        raise Refused(f"no school {uai}")
    if not school.is_named:
        raise Refused(f"{school.uai} has no name, its letters would have none: give it with `idp school set`")
    try:
        pdf.check_address(entrance(school))
    except pdf.LetterError as fault:
        raise Refused(f"no letter of {school.uai} can be printed: {fault}") from fault
    return school


def entrance(school: School) -> str:
    """Return where a parent enters the ENT that serves `school`.

    Raises:
        Refused: there is no such address.
    """
    ent = registry.serving([school.uai])
    if ent is None or not ent.home_uri:  # where a sign-in begins needs parameters that nobody types
        raise Refused(f"no ENT with a home address serves {school.uai}, where its parents would go")
    return ent.home_uri


def of_school(school: School, class_name: str | None, *, renew: bool) -> tuple[list[Chosen], list[Skipped]]:
    """Choose all parents of a school, or of one class: by class, family name, given name.

    Who is active or disabled is left alone, and so is who holds a letter that is still good, unless `renew`.

    Raises:
        Refused: nobody is in that class.
    """
    chosen: list[tuple[tuple[Any, ...], Chosen]] = []
    skipped: list[Skipped] = []
    moment = now()
    rows = _parents(school, class_name)
    disputed = disputes.uais_of_disputes([row.id for row in rows if row.is_disputed])
    for row in rows:
        reason = _left_alone(row, moment, disputed.get(row.id, ()), renew=renew)
        if reason:
            skipped.append(Skipped(row.username, reason))
        else:
            order = (class_order(row.class_name), _folded(row.family_name), _folded(row.given_name), row.username)
            chosen.append((order, Chosen(row.id, row.username, row.generation, school.id, row.class_name)))
    if class_name is not None and not chosen and not skipped:
        raise Refused(f"{school.uai} has no class {class_name}; its classes are {', '.join(_classes(school))}")
    return [one for _, one in sorted(chosen)], sorted(skipped)


def _classes(school: School) -> list[str]:
    names = db.session.scalars(select(Child.class_name).where(Child.school_id == school.id).distinct()).all()
    return sorted((name for name in names if name), key=class_order) or ["none"]


def named(usernames: Sequence[str], school: School | None, class_name: str | None, reason: str) -> list[Chosen]:
    """Choose the accounts that an operator names, in that order, each once; to name somebody asks for a new letter.

    Args:
        usernames: as they are typed.
        school: when given, all must have a child there, and it is the school that writes.
        class_name: when given, that child must be in this class.
        reason: why an account that is active gets a letter.

    Raises:
        Refused: an account is unknown, disabled, disputed, without children, or active and no reason is given.
    """
    accounts = {account.id: account for account in map(_get, usernames)}
    for account in accounts.values():
        if account.activated_at is not None and not reason:
            raise Refused(f"{account.username} is active: a new letter closes it until then, say why with --reason")
    return [_from_school(account, school, class_name) for account in accounts.values()]


def _get(username: str) -> Account:
    folded = fold_username(username)
    account = directory.find_by_username(folded) if folded else None
    if account is None:
        raise Refused(f"no account {username}")
    if account.merged_into_id is not None:
        kept = db.session.get_one(Account, account.merged_into_id)
        raise Refused(f"the children of {account.username} are with {kept.username}: print that letter")
    if account.disabled_at is not None:
        raise Refused(f"{account.username} is disabled, its letter would open nothing")
    if uais := disputes.uais_of_disputes([account.id]).get(account.id):
        raise Refused(f"{account.username} {_closed_by(uais)}")
    if not account.children:
        raise Refused(f"{account.username} has no child in a school, so that no school writes to it")
    return account


def _from_school(account: Account, school: School | None, class_name: str | None) -> Chosen:
    for child in account.children:
        if (school is None or child.school_id == school.id) and class_name in {None, child.class_name}:
            return Chosen(account.id, account.username, account.generation, child.school_id, child.class_name)
    where = " of ".join(part for part in (class_name, school.uai if school else None) if part)
    raise Refused(f"{account.username} has no child in {where}")


def _parents(school: School, class_name: str | None) -> list[Any]:
    """Return each account with a child in the school (and class) once, with the class of the first of them."""
    query = (
        select(
            Account.id,
            Account.username,
            Account.generation,
            Account.family_name,
            Account.given_name,
            Account.activated_at,
            Account.disabled_at,
            Account.provisional_hash.is_not(None).label("has_letter"),
            Account.provisional_expires_at,
            disputes.has_disputed_tie().label("is_disputed"),
            Child.class_name,
        )
        .join(Guardianship, Guardianship.account_id == Account.id)
        .join(Child, Child.id == Guardianship.child_id)
        .where(Child.school_id == school.id, Guardianship.ended_at.is_(None))
        .order_by(Guardianship.rank, Child.id)
    )
    if class_name is not None:
        query = query.where(Child.class_name == class_name)
    first: dict[uuid.UUID, Any] = {}
    for row in db.session.execute(query):
        first.setdefault(row.id, row)
    return list(first.values())


def _closed_by(uais: Sequence[str]) -> str:
    """Say that disputes close an account, and which schools settle them."""
    schools = " and ".join(uais) or "its school"
    return f"is closed by a dispute that {schools} has to settle first, with `idp account disputes`"


def _left_alone(row: Any, moment: datetime, disputed_by: Sequence[str], *, renew: bool) -> str:
    """Say why an account of the school gets no letter; nothing when it gets one."""
    if row.disabled_at is not None:
        return "is disabled"
    if row.is_disputed:
        return _closed_by(disputed_by)
    if row.activated_at is not None:
        return "is active: name it with --username to close it and print a letter"
    good_until = row.provisional_expires_at
    if row.has_letter and good_until is not None and good_until > moment and not renew:
        return f"was printed already, good until {good_until.astimezone().date()}: --renew prints again"
    return ""


def class_order(class_name: str) -> tuple[Any, ...]:
    """Return what puts 6e 2 before 6e 10, and those without a class at the end."""
    parts = _NUMBERS.split(_folded(class_name))
    return (not class_name.strip(), [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], class_name)


def _folded(name: str) -> str:
    """Return a name as French dictionaries sort it: without accents, case, hyphens or apostrophes."""
    plain = unicodedata.normalize("NFKD", name.casefold().translate(_LIGATURES))
    return " ".join("".join(" " if c in "-’'" else c for c in plain if unicodedata.category(c) != "Mn").split())
