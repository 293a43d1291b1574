"""The identifiers and join keys of removed accounts: no other account may get them (OpenID Connect Core 2).

The table keeps a digest of 28 bits. Many names share one digest, so it does not prove that a person had an account, and
it needs no secret key. A new name that shares a digest by chance is drawn again.
"""

import hashlib
from collections.abc import Iterable, Iterator

from sqlalchemy.orm import Mapped, mapped_column

from idp.accounts.models import Account
from idp.db import Base, db, upsert
from idp.folding import fold
from idp.personal import left_out

_BITS = 28


class RetiredName(Base):
    """A name by which ENTs may have known a removed account; no other account gets it."""

    __tablename__ = "retired_name"
    __table_args__ = ({"info": left_out("digests that many names share, so that they identify nobody")},)

    trace: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


def retire(account: Account) -> None:
    """Reserve the account's identifier and join key for ever, in the transaction that removes the account."""
    traces = {username(account.username)}
    if account.join_key is not None:
        names = (account.given_name, account.family_name, account.birth_name)
        traces |= {join_key(account.join_key), *named_join_key(account.join_key, names)}
    rows = [{"trace": trace} for trace in sorted(traces)]  # sorted, to avoid deadlocks
    db.session.execute(upsert(RetiredName).values(rows).on_conflict_do_nothing())


def username(name: str) -> int:
    """Return the digest of an identifier."""
    return _trace("username", name)


def join_key(key: str) -> int:
    """Return the digest of a join key."""
    return _trace("join key", key)


def named_join_key(key: str, names: Iterable[str]) -> Iterator[int]:
    """Yield the digests of a join key with each of the person's names: a person who marries keeps one of them."""
    for place, name in zip(("given", "family", "family"), names, strict=True):
        if word := "".join(c for c in fold(name) if c.isalnum()):
            yield _trace(f"join key {place}", f"{key}|{word}")


def _trace(kind: str, name: str) -> int:
    digest = hashlib.blake2b(f"{kind}|{name}".encode("utf-8", "surrogatepass"), digest_size=4).digest()
    return int.from_bytes(digest) & ((1 << _BITS) - 1)
