"""Draws the secrets of letters, has them kept on paper, then lets the database know them: the one way, whoever asks.

The paper comes first, so that no account ever has a letter that nobody can read. Whatever goes wrong before the
database knows, no printed secret opens anything and no paper stays.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy import select
from sqlalchemy.orm import selectinload

from idp.accounts import directory
from idp.accounts.models import Account, School
from idp.clock import now
from idp.config import Settings
from idp.db import db, retry_unit_of_work
from idp.letters import provisional
from idp.letters.exchange import Changed, Fresh, exchange
from idp.letters.hashing import Hashers
from idp.letters.recipients import Chosen, Refused, Skipped, entrance
from idp.letters.render.contents import compose
from idp.letters.render.pdf import Letter, LetterError
from idp.throttle import guard

_MEANWHILE = "changed meanwhile, try again"


@dataclass(frozen=True)
class Drawn:
    """A letter and what it was made from. Its secret opens nothing before the database knows `hashed`."""

    account: Account
    school: School
    class_name: str
    letter: Letter
    fresh: Fresh = field(repr=False)


class Keeper(Protocol):
    """Where the clear text of letters goes."""

    def keep(self, drawn: Sequence[Drawn], expires_at: datetime) -> None:
        """Write the letters, on the disk before this returns; nothing of an earlier call stands any more."""

    def publish(self) -> None:
        """The letters are good: give them to whoever asked."""

    def tear_up(self) -> None:
        """Remove what was written: its secrets open nothing."""


def draw(
    settings: Settings,
    hashers: Hashers,
    people: Sequence[Chosen],
    keeper: Keeper,
    *,
    reason: str = "",
    all_or_none: bool = False,
) -> tuple[list[Drawn], list[Skipped]]:
    """Draw a letter for each of `people`, in one transaction; return those that were drawn, and who was left out.

    Args:
        settings: how long a secret is good, and what every letter says.
        hashers: hash the secrets.
        people: whose letters, in the order of the paper; a few hundred, all are in memory.
        keeper: keeps the clear text. It is asked again, for fewer, when one letter cannot be.
        reason: why an account that is active gets a letter; it goes into the journal.
        all_or_none: let one letter that cannot be stop all, instead of leaving that person out.

    Raises:
        Refused: `all_or_none`, and an account changed since it was chosen; or no ENT can be named.
        LetterError: `all_or_none`, and a letter cannot be printed truthfully; or none can be typeset.
        Busy: no turn came for a hash.
    """
    expires_at = now() + timedelta(days=settings.provisional_days)
    found, left_out = _compose(settings, people, expires_at, all_or_none=all_or_none)
    hashes = hashers.hash([letter.provisional_password for *_, letter in found])
    drawn = [
        Drawn(account, school, one.class_name, letter, Fresh(hashed, one.generation, school.id))
        for (one, account, school, letter), hashed in zip(found, hashes, strict=True)
    ]
    while drawn:
        fault = _settle(settings, drawn, keeper, expires_at, reason, all_or_none=all_or_none)
        if fault is None:
            break
        left_out += [Skipped(one.account.username, fault[one.account.id]) for one in drawn if one.account.id in fault]
        drawn = [one for one in drawn if one.account.id not in fault]
    for one in drawn:
        guard.clear_account(one.letter.username)
    return drawn, left_out


def _compose(
    settings: Settings, people: Sequence[Chosen], expires_at: datetime, *, all_or_none: bool
) -> tuple[list[tuple[Chosen, Account, School, Letter]], list[Skipped]]:
    """Read the accounts and make their letters, with secrets that nobody knows yet."""
    rows = db.session.scalars(
        select(Account)
        .where(Account.id.in_([one.account_id for one in people]))
        .options(selectinload(Account.guardianships))
        .execution_options(populate_existing=True)
    )
    accounts = {account.id: account for account in rows}
    addresses: dict[uuid.UUID, str] = {}
    made, left_out = [], []
    for one in people:
        account = accounts.get(one.account_id)
        schools = {school.id: school for school in directory.schools(account)} if account else {}
        school = schools.get(one.school_id)
        if account is None or school is None or account.generation != one.generation:
            left_out.append(Skipped(one.username, _MEANWHILE))
            continue
        if school.id not in addresses:
            addresses[school.id] = entrance(school)
        letter = compose(settings, account, school, addresses[school.id], provisional.draw(), expires_at)
        made.append((one, account, school, letter))
    if left_out and all_or_none:
        raise Refused(f"{left_out[0].username} {_MEANWHILE}")
    return made, left_out


def _settle(
    settings: Settings,
    drawn: Sequence[Drawn],
    keeper: Keeper,
    expires_at: datetime,
    reason: str,
    *,
    all_or_none: bool,
) -> Mapping[uuid.UUID, str] | None:
    """Put the letters on paper and their secrets into the database; or return who must be left out, and why."""
    fresh = {one.account.id: one.fresh for one in drawn}
    try:
        keeper.keep(drawn, expires_at)
        retry_unit_of_work(lambda: exchange(settings, fresh, expires_at, reason))
    except BaseException as fault:
        keeper.tear_up()
        out = _left_out(fault, drawn)
        if all_or_none and isinstance(fault, Changed):
            raise Refused(
                "; ".join(f"{one.account.username} {_MEANWHILE}" for one in drawn if one.account.id in out)
            ) from None
        if all_or_none or not out:
            raise
        return out
    keeper.publish()
    return None


def _left_out(fault: BaseException, drawn: Sequence[Drawn]) -> dict[uuid.UUID, str]:
    """Return whose letters are at fault, and why; nobody's when the fault is not a letter's."""
    if isinstance(fault, Changed):
        return dict.fromkeys(fault.ids, _MEANWHILE)
    if isinstance(fault, LetterError) and fault.username:
        return {one.account.id: f"has no letter: {fault}" for one in drawn if one.letter.username == fault.username}
    return {}
