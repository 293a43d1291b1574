"""Opens accounts for new people, under identifiers that no account has or had.

`n.leroy4821` can be read out by telephone and typed on a phone: an initial, a dot, the family name and a random number,
which does not tell how many people have the name. It never changes. A name without Latin letters becomes `parent`. An
identifier has no `@`, so that it does not look like an email.
"""

import json
import secrets
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, cast

from sqlalchemy import Table, delete, select

from idp.accounts import retired
from idp.accounts.directory import name_key
from idp.accounts.models import Account
from idp.accounts.retired import RetiredName
from idp.audit import log
from idp.db import db, one_of
from idp.folding import fold
from idp.rostering import bulk
from idp.rostering.records import Format

_accounts = cast("Table", Account.__table__)


def open_accounts(format_: Format, page: Sequence[Any]) -> None:
    """Open a page of accounts.

    An identifier that an account has or had is drawn again. The unique index and the retired names decide that after
    the insertion: a look-up before it would be a race.
    """
    opened = {}
    is_from_desk = log.current_origin().desk is not None
    for person in page:
        values = columns_of(person)
        values["is_from_desk"] = is_from_desk
        values["roster_key"] = person.key
        values["join_key"] = person.key.partition(":")[2] if format_ in {Format.AAF, Format.AAF1D} else None
        opened[values["id"]] = values
    for attempt in ATTEMPTS:
        candidates = {}
        for values in opened.values():
            begun = base(values["given_name"], values["family_name"])
            values["username"] = drawn(begun, attempt)
            values["search_text"] = Account.text_of(values)
            candidates[values["username"]] = values  # if two people draw the same number, one draws again
        for key in _insert(candidates):
            del opened[key]
        if not opened:
            return
    raise RuntimeError("no free identifier of eight digits: the random numbers cannot be chance")


def _insert(candidates: Mapping[str, dict[str, Any]]) -> set[uuid.UUID]:
    """Insert the accounts whose identifier is free; return their ids.

    Retired names are looked up after the insertion, because a removal that freed an identifier has committed by then.
    """
    inserted = bulk.insert_unless_taken(_accounts, "username", list(candidates.values()))
    traces = {values["id"]: retired.username(name) for name, values in candidates.items() if values["id"] in inserted}
    of_these = one_of(RetiredName.trace, list(traces.values()))
    retired_traces = set(db.session.scalars(select(RetiredName.trace).where(of_these)))
    had = {account_id for account_id, trace in traces.items() if trace in retired_traces}
    if had:
        db.session.execute(delete(_accounts).where(one_of(_accounts.c.id, list(had))))
    return inserted - had


def columns_of(person: Any) -> dict[str, Any]:
    """Return the columns of `Account` that the files decide. Names are letter by letter as the files have them."""
    return {
        "id": uuid.UUID(person.account_id),
        "civility": person.civility,
        "family_name": person.family_name,
        "birth_name": person.birth_name,
        "given_name": person.given_name,
        "name_key": name_key(person.given_name, person.family_name),
        "address_lines": json.loads(person.address_lines),
        "postcode": person.postcode,
        "city": person.city,
        "country": person.country,
        "school_email": person.email or None,
        "address_diffusion": None if person.address_diffusion is None else bool(person.address_diffusion),
    }


_LONGEST_NAME = 20
_DIGITS = (4, 4, 4, 5, 6, 8)  # how many digits each attempt draws: frequent names get longer numbers
ATTEMPTS = range(len(_DIGITS))
_PARTICLES = frozenset(("d", "da", "de", "del", "des", "di", "do", "dos", "du", "el", "la", "le", "les", "van", "von"))
_PARTICLES_OF = frozenset(("den", "der", "ter", "ben", "bin", "al", "o", "san", "st"))


def base(given_name: str, family_name: str) -> str:
    """Return the beginning of the identifier: « Noémie LEROY-VANDEPUTTE » gives `n.leroy`."""
    name = _first_name_of(family_name)
    initial = _letters(given_name)[:1]
    if not name:
        return "parent"
    return f"{initial}.{name}" if initial else name


def drawn(begun: str, attempt: int) -> str:
    """Return an identifier that begins with `begun`; a later attempt draws from more numbers."""
    least = int("1" + "0" * (_DIGITS[attempt] - 1))
    return f"{begun}{least + secrets.randbelow(9 * least)}"


def _first_name_of(family_name: str) -> str:
    words = [word for word in (_letters(part) for part in _parts(family_name)) if word]
    held = ""
    for word in words:
        held += word
        if word not in _PARTICLES | _PARTICLES_OF:
            break
    return held[:_LONGEST_NAME]


def _parts(name: str) -> list[str]:
    return "".join(" " if char in "-'’ \t\u00a0" else char for char in fold(name)).split()


def _letters(text: str) -> str:
    return "".join(char for char in fold(text) if "a" <= char <= "z")
