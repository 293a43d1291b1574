"""Rotates signing keys (Core 10.1.1). Only this module writes the table, one change at a time.

A new key is published at once and signs a day later. It signs for `IDP_KEY_ROTATION_DAYS`, and stays published for a
month after it was replaced. An operator makes the first key of an algorithm. No key follows one that this process
cannot decrypt.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Select, select, text
from sqlalchemy.orm import scoped_session

from idp.audit import changes, log
from idp.audit.registry_events import KeyChanged
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.oidc.keys import material
from idp.oidc.keys.material import ALGORITHMS, Material, NoSigningKeyError
from idp.oidc.models import SigningKey
from idp.outbox.queue import OutboxMessage
from idp.outbox.worker import Outcome, TemporaryDeliveryError

PUBLISHED_BEFORE_USE = timedelta(hours=24)  # clients may cache the JWKS for an hour; some cache it for a day
PUBLISHED_AFTER_USE = timedelta(days=30)  # how long ID tokens can come back as hints of a logout
SETTLED = timedelta(minutes=10)
"""After this time a replaced key is not needed to sign: all nodes use its successor, and its ID tokens are expired."""

ROTATION = "keys.rotation"  # the kind of the periodic outbox message
ROTATION_PERIOD = timedelta(hours=1)


class _Key(Protocol):
    @property
    def active_from(self) -> datetime: ...


_K = TypeVar("_K", bound=_Key)


class NextKeyExistsError(Exception):
    """The next key of the algorithm is published already."""

    def __init__(self, key: SigningKey) -> None:
        super().__init__(f"{key.kid} is published and signs {key.alg} from {key.active_from.isoformat()}")


def rotate(settings: Settings, alg: str = "RS256", *, bits: int | None = None, at_once: bool = False) -> SigningKey:
    """Make and publish the next key of `alg`, and return it.

    Args:
        settings: The settings.
        alg: The algorithm.
        bits: Size of an RSA key. Default: the setting, or the size of the present key if that is larger.
        at_once: The key signs at once, not after a day. If a next key is published already, that key signs at once.
            The first key of an algorithm always does.

    Raises:
        NextKeyExistsError: The next key is published already.
        NoSigningKeyError: The secret of the present key is not configured here, so other nodes could not decrypt the
            new key.
    """
    live = _live(alg)
    _check_secret(settings, live)
    made = material.generate(settings, alg, bits or _bits(settings, live), now())
    with _exclusive() as moment:
        live = _live(alg)
        waiting = [key for key in live if key.active_from > moment]
        if waiting and at_once and bits is None:
            material.unseal(settings, waiting[-1].kid, waiting[-1].private_sealed)
            return _start(waiting[-1], moment)
        if waiting:
            raise NextKeyExistsError(waiting[-1])
        return _add(made, alg, moment, moment if at_once or not live else moment + PUBLISHED_BEFORE_USE)


def ensure(settings: Settings, alg: str = "RS256") -> SigningKey:
    """Return the newest key of `alg`; make it first if there is none, also if several processes ask at once."""
    if live := _live(alg):
        return live[0]
    made = material.generate(settings, alg, _bits(settings, live), now())
    with _exclusive() as moment:
        live = _live(alg)
        return live[0] if live else _add(made, alg, moment, moment)


def retire(kid: str, *, unused_for: timedelta = timedelta()) -> bool:
    """Remove a key from the JWKS that was replaced at least `unused_for` ago; return whether it was removed.

    A key that signs, or will sign soon, is not removed. Nobody can verify the signatures of a removed key.
    """
    with _exclusive() as moment:
        key = _find(kid)
        if key is None or not _is_idle(key, _live(key.alg), moment, unused_for):
            return False
        _end(key, moment, "retired")
        return True


def drop(settings: Settings, kid: str) -> SigningKey | None:
    """Retire a compromised key at once; return the key that signs instead, or None if there is no such key.

    It is the previous key if that is still published, else the next key, else a new key. All happens in one
    transaction.
    """
    key = _find(kid)
    if key is None:
        return None
    alg = key.alg
    made = material.generate(settings, alg, _bits(settings, [key]), now())
    with _exclusive() as moment:
        key = _find(kid)
        if key is None:  # another operator retired it meanwhile
            return None
        _end(key, moment, "dropped")
        return _successor(settings, made, alg, moment)


def tend(settings: Settings) -> bool:
    """Make the next key of each algorithm if it is due, and retire old keys; return whether anything changed.

    Raises:
        NoSigningKeyError: A rotation is due, and the secret of the present key is not configured.
    """
    changed, missing = False, None
    for alg in ALGORITHMS:
        try:
            changed |= _rotate_if_due(settings, alg)
        except NoSigningKeyError as error:
            missing = error
        for kid in _expired(alg):
            changed |= retire(kid, unused_for=PUBLISHED_AFTER_USE)
    if missing:
        raise missing
    return changed


def hand_over(_message: OutboxMessage, *, settings: Settings) -> Outcome:
    """Rotate keys periodically (outbox handler).

    Raises:
        TemporaryDeliveryError: The secret of a key is not configured; `idp outbox list` shows it.
    """
    try:
        return Outcome.DONE if tend(settings) else Outcome.DROPPED
    except NoSigningKeyError as error:
        raise TemporaryDeliveryError(str(error)) from error


def signing(live: Sequence[_K], moment: datetime) -> _K | None:
    """Return the key that signs: the newest active one. `live` are the unretired keys of an algorithm, newest first.

    If no key is active, a key that becomes active within minutes signs, so that a slow clock does not stop sign-ins.
    """
    active = (key for key in live if key.active_from <= moment)
    soon_active = (key for key in reversed(live) if key.active_from <= moment + SETTLED)
    return next(active, None) or next(soon_active, None)


def select_live(*columns: Any) -> Select[Any]:
    """Select the unretired keys, newest first."""
    live = select(*columns).where(SigningKey.retired_at.is_(None))
    return live.order_by(SigningKey.active_from.desc(), SigningKey.kid)


def signing_since(reader: Connection | scoped_session[Any], moment: datetime) -> dict[str, datetime]:
    """Return the algorithms that can sign, each with the time from which on its present key signs."""
    rows: Sequence[Any] = reader.execute(select_live(SigningKey.alg, SigningKey.active_from)).all()
    keys = {alg: signing([row for row in rows if row.alg == alg], moment) for alg, _ in rows}
    return {alg: key.active_from for alg, key in keys.items() if key}


def replaced_at(key: SigningKey, live: Sequence[SigningKey]) -> datetime | None:
    """Return when the next newer key replaced this key, or will; None if there is none."""
    newer = [other.active_from for other in live if other.active_from > key.active_from]
    return min(newer, default=None)


@contextmanager
def _exclusive() -> Iterator[datetime]:
    """Run a unit of work that keeps other writers of the table waiting, but not readers; yield its instant."""
    with unit_of_work():
        db.session.connection().execute(text("LOCK TABLE signing_key IN SHARE ROW EXCLUSIVE MODE"))
        yield now()


def _live(alg: str) -> list[SigningKey]:
    statement = select_live(SigningKey).where(SigningKey.alg == alg)
    return list(db.session.scalars(statement.execution_options(populate_existing=True)))


def _find(kid: str) -> SigningKey | None:
    statement = select(SigningKey).where(SigningKey.kid == kid, SigningKey.retired_at.is_(None))
    return db.session.scalar(statement.execution_options(populate_existing=True))


def _add(made: Material, alg: str, moment: datetime, active_from: datetime) -> SigningKey:
    key = SigningKey(
        kid=made.kid,
        alg=alg,
        public_jwk=made.public_jwk,
        private_sealed=made.private_sealed,
        created_at=moment,
        active_from=active_from,
    )
    db.session.add(key)
    log.record(KeyChanged(change="rotated", kid=made.kid, after=_audited(key)))
    return key


def _start(key: SigningKey, moment: datetime) -> SigningKey:
    before = _audited(key)
    key.active_from = moment
    log.record(KeyChanged(change="started", kid=key.kid, **changes.difference(before, _audited(key))))
    return key


def _end(key: SigningKey, moment: datetime, change: str) -> None:
    before = _audited(key)
    key.retired_at, key.private_sealed = moment, b""
    log.record(KeyChanged(change=change, kid=key.kid, **changes.difference(before, _audited(key))))
    db.session.flush()


def _audited(key: SigningKey) -> dict[str, Any]:
    return changes.snapshot(key, without=("kid", "public_jwk", "private_sealed"))


def _successor(settings: Settings, made: Material, alg: str, moment: datetime) -> SigningKey:
    """Return the key that signs after another was dropped: one that this process can decrypt."""
    live = _live(alg)
    present = signing(live, moment)
    if present is not None and _can_decrypt(settings, present):
        return present
    waiting = [key for key in live if key.active_from > moment and _can_decrypt(settings, key)]
    return _start(waiting[-1], moment) if waiting else _add(made, alg, moment, moment)


def _rotate_if_due(settings: Settings, alg: str) -> bool:
    live = _live(alg)
    if not _is_due(settings, live, now()):
        return False
    _check_secret(settings, live)
    made = material.generate(settings, alg, _bits(settings, live), now())
    with _exclusive() as moment:
        if not _is_due(settings, _live(alg), moment):  # another worker or an operator made it meanwhile
            return False
        _add(made, alg, moment, moment + PUBLISHED_BEFORE_USE)
        return True


def _expired(alg: str) -> list[str]:
    live, moment = _live(alg), now()
    return [key.kid for key in live if key.active_from <= moment and _is_idle(key, live, moment, PUBLISHED_AFTER_USE)]


def _is_due(settings: Settings, live: Sequence[SigningKey], moment: datetime) -> bool:
    if not settings.key_rotation_days or signing(live, moment) is None:
        return False
    return live[0].active_from + timedelta(days=settings.key_rotation_days) - PUBLISHED_BEFORE_USE <= moment


def _is_idle(key: SigningKey, live: Sequence[SigningKey], moment: datetime, unused_for: timedelta) -> bool:
    if key.active_from > moment:
        return key.active_from > moment + unused_for and signing(live, moment) not in {None, key}
    since = replaced_at(key, live)
    return since is not None and since <= moment - unused_for


def _bits(settings: Settings, live: Sequence[SigningKey]) -> int:
    return max([settings.rsa_bits, *(material.rsa_bits(key.public_jwk) for key in live[:1])])


def _can_decrypt(settings: Settings, key: SigningKey) -> bool:
    return material.sealed_by(settings, key.kid, key.private_sealed) is not None


def _check_secret(settings: Settings, live: Sequence[SigningKey]) -> None:
    present = signing(live, now())
    if present is not None:
        material.unseal(settings, present.kid, present.private_sealed)
