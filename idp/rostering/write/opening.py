"""Opens accounts for new people, under identifiers that no account has or had."""

import json
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
from idp.rostering import bulk
from idp.rostering.records import Format
from idp.rostering.write import usernames
from idp.rostering.write.statements import Person

_accounts = cast("Table", Account.__table__)


def open_accounts(format_: Format, page: Sequence[Person]) -> None:
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
    for attempt in usernames.ATTEMPTS:
        candidates = {}
        for values in opened.values():
            begun = usernames.base(values["given_name"], values["family_name"])
            values["username"] = usernames.drawn(begun, attempt)
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


def columns_of(person: Person) -> dict[str, Any]:
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
