"""Which signing key follows which, and when (Core 10.1.1): the only writer of the table, one change at a time.

A new key is published at once and signs a day later. It signs for `IDP_KEY_ROTATION_DAYS`, and stays published a month
after another took over.

No key is ever made silently: the first of an algorithm is an operator's, and nothing follows a key that this process
cannot open.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from sqlalchemy import select, text

from idp.audit import changes, log
from idp.audit.registry_events import KeyChanged
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.oidc.keys import material
from idp.oidc.keys.material import ALGORITHMS, Material, NoSigningKey
from idp.oidc.models import SigningKey
from idp.outbox.models import OutboxMessage
from idp.outbox.worker import Outcome, TemporaryFailure

PUBLISHED_BEFORE_USE = timedelta(hours=24)
"""Longer than clients may keep the JWKS (an hour), with room for those that keep it for a day all the same."""
KEPT_AFTER_USE = timedelta(days=30)
"""How long ID tokens can come back as hints to a sign-out; they themselves live minutes."""
SETTLED = timedelta(minutes=10)
"""After so long nobody needs a key that another replaced: nodes with other clocks have followed, ID tokens are over."""

ROTATION = "keys.rotation"
"""The periodic job of the worker, and how often it looks."""
ROTATION_PERIOD = timedelta(hours=1)


class _HasItsTime(Protocol):
    @property
    def active_from(self) -> datetime: ...


_K = TypeVar("_K", bound=_HasItsTime)


class NextKeyWaits(Exception):  # noqa: N818 - says what is so
    """The next key of the algorithm is published already and signs when its time comes."""

    def __init__(self, key: SigningKey) -> None:
        super().__init__(f"{key.kid} is published and signs {key.alg} from {key.active_from.isoformat()}")


def rotate(settings: Settings, alg: str = "RS256", *, bits: int | None = None, at_once: bool = False) -> SigningKey:
    """Make the next key of `alg` and publish it; it signs after a day, at once when it is the first or `at_once`.

    `at_once` takes the key that waits already, if there is one: clients may know it. `bits` is for RSA; without it, the
    setting's, and never fewer than the key has that signs now.

    Raises:
        NextKeyWaits: it is there already.
        NoSigningKey: what signs was sealed under a secret that is not here, so nodes would not open what is made here.
    """
    live = _live(alg)
    _check_secret(settings, live)
    made = material.draw(settings, alg, bits or _bits(settings, live), now())
    with _alone() as moment:
        live = _live(alg)
        waiting = [key for key in live if key.active_from > moment]
        if waiting and at_once and bits is None:
            material.unseal(settings, waiting[-1].kid, waiting[-1].private_sealed)
            return _start(waiting[-1], moment)
        if waiting:
            raise NextKeyWaits(waiting[-1])
        return _add(made, alg, moment, moment if at_once or not live else moment + PUBLISHED_BEFORE_USE)


def retire(kid: str, *, unused_for: timedelta = timedelta()) -> bool:
    """Take a key out of the JWKS that another replaced `unused_for` ago; one that signs, or is about to, stays.

    False: it stays, or there is none. What it signed is not verified by anybody who reads the JWKS from now on.
    """
    with _alone() as moment:
        key = _find(kid)
        if key is None or not _is_idle(key, _live(key.alg), moment, unused_for):
            return False
        _end(key, moment, "retired")
        return True


def drop(settings: Settings, kid: str) -> SigningKey | None:
    """Take a compromised key out of the JWKS and of all signing at once; return the key that signs in its place.

    That is the one that signed before it and is still published, else the one that waits, else a new one, made in the
    same transaction. None: there is no such key.
    """
    key = _find(kid)
    if key is None:
        return None
    alg = key.alg
    made = material.draw(settings, alg, _bits(settings, [key]), now())
    with _alone() as moment:
        key = _find(kid)
        if key is None:  # another operator was faster
            return None
        _end(key, moment, "dropped")
        return _successor(settings, made, alg, moment)


def tend(settings: Settings) -> bool:
    """Do what is due: make the next key of each algorithm that has one, retire what is over; say if anything was.

    Raises:
        NoSigningKey: a rotation is due and this process does not have the secret of the key that signs.
    """
    changed, missing = False, None
    for alg in ALGORITHMS:
        try:
            changed |= _rotate_if_due(settings, alg)
        except NoSigningKey as fault:
            missing = fault
        for kid in _over(alg):
            changed |= retire(kid, unused_for=KEPT_AFTER_USE)
    if missing:
        raise missing
    return changed


def hand_over(_message: OutboxMessage, *, settings: Settings) -> Outcome:
    """Do the periodic job (outbox handler).

    Raises:
        TemporaryFailure: the secret is missing; `idp outbox list` says so until it is there.
    """
    try:
        return Outcome.DONE if tend(settings) else Outcome.DROPPED
    except NoSigningKey as fault:
        raise TemporaryFailure(str(fault)) from fault


def signing(live: Sequence[_K], moment: datetime) -> _K | None:
    """Return the key that signs, of the live keys of one algorithm, youngest first: the youngest whose time has come.

    A clock that is behind stops no sign-in: where no time has come yet, a key signs whose time comes within minutes.
    """
    ready = (key for key in live if key.active_from <= moment)
    nearly = (key for key in reversed(live) if key.active_from <= moment + SETTLED)
    return next(ready, None) or next(nearly, None)


def replaced_at(key: SigningKey, live: Sequence[SigningKey]) -> datetime | None:
    """Return when the next younger key took over, or will."""
    younger = [other.active_from for other in live if other.active_from > key.active_from]
    return min(younger, default=None)


@contextmanager
def _alone() -> Iterator[datetime]:
    """Run a unit of work that excludes other changes of keys, but no reader; yield its time."""
    with unit_of_work():
        connection = db.session.connection()
        if connection.dialect.name == "postgresql":
            connection.execute(text("LOCK TABLE signing_key IN SHARE ROW EXCLUSIVE MODE"))
        yield now()


def _live(alg: str) -> list[SigningKey]:
    """Return the keys of `alg` that are not retired, youngest first."""
    statement = (
        select(SigningKey)
        .where(SigningKey.alg == alg, SigningKey.retired_at.is_(None))
        .order_by(SigningKey.active_from.desc(), SigningKey.kid)
    )
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
    log.record(KeyChanged(change="rotated", kid=made.kid, after=_told(key)))
    return key


def _start(key: SigningKey, moment: datetime) -> SigningKey:
    """Let a key that waits sign from now on."""
    before = _told(key)
    key.active_from = moment
    log.record(KeyChanged(change="started", kid=key.kid, **changes.difference(before, _told(key))))
    return key


def _end(key: SigningKey, moment: datetime, change: str) -> None:
    """Retire a key. What it was stays known, its private half is of no use any more and goes."""
    before = _told(key)
    key.retired_at, key.private_sealed = moment, b""
    log.record(KeyChanged(change=change, kid=key.kid, **changes.difference(before, _told(key))))
    db.session.flush()


def _told(key: SigningKey) -> dict[str, Any]:
    """Return what the journal keeps of a key's state."""
    return changes.snapshot(key, without=("kid", "public_jwk", "private_sealed"))


def _successor(settings: Settings, made: Material, alg: str, moment: datetime) -> SigningKey:
    """Return the key that signs after one was dropped; it must be one that this process can open."""
    live = _live(alg)
    present = signing(live, moment)
    if present is not None and _opens(settings, present):
        return present
    waiting = [key for key in live if key.active_from > moment and _opens(settings, key)]
    return _start(waiting[-1], moment) if waiting else _add(made, alg, moment, moment)


def _rotate_if_due(settings: Settings, alg: str) -> bool:
    live = _live(alg)
    if not _is_due(settings, live, now()):
        return False
    _check_secret(settings, live)
    made = material.draw(settings, alg, _bits(settings, live), now())
    with _alone() as moment:
        if not _is_due(settings, _live(alg), moment):  # another worker, or an operator, was faster
            return False
        _add(made, alg, moment, moment + PUBLISHED_BEFORE_USE)
        return True


def _over(alg: str) -> list[str]:
    """Return the keys that another replaced long ago."""
    live, moment = _live(alg), now()
    return [key.kid for key in live if key.active_from <= moment and _is_idle(key, live, moment, KEPT_AFTER_USE)]


def _is_due(settings: Settings, live: Sequence[SigningKey], moment: datetime) -> bool:
    if not settings.key_rotation_days or signing(live, moment) is None:
        return False
    return live[0].active_from + timedelta(days=settings.key_rotation_days) - PUBLISHED_BEFORE_USE <= moment


def _is_idle(key: SigningKey, live: Sequence[SigningKey], moment: datetime, unused_for: timedelta) -> bool:
    """Return whether a live key has not signed for so long, or will not before so long; and another signs."""
    if key.active_from > moment:
        return key.active_from > moment + unused_for and signing(live, moment) not in {None, key}
    since = replaced_at(key, live)
    return since is not None and since <= moment - unused_for


def _bits(settings: Settings, live: Sequence[SigningKey]) -> int:
    return max([settings.rsa_bits, *(material.rsa_bits(key.public_jwk) for key in live[:1])])


def _opens(settings: Settings, key: SigningKey) -> bool:
    return material.sealed_by(settings, key.kid, key.private_sealed) is not None


def _check_secret(settings: Settings, live: Sequence[SigningKey]) -> None:
    present = signing(live, now())
    if present is not None:
        material.unseal(settings, present.kid, present.private_sealed)
