"""`idp purge`: removes expired data, in short transactions while the service runs. Run it once a day.

A run costs what it removes, not what is kept: an index finds the rows of each part. The exceptions have few rows
(people of the desk) or name their reason.

It can be interrupted and run again, and two may run at once: each batch is handled by one of them. A run that ends well
is recorded in the journal: metrics and `idp doctor` look for the last one.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import click
from sqlalchemy import ColumnElement, and_, literal, or_, select, update

from idp.accounts.models import Account, Child, SchoolNotice
from idp.accounts.one_time_links import OneTimeLink
from idp.activation.service import KeptPassword
from idp.audit import log, sealing
from idp.audit.data_events import PurgeCompleted
from idp.audit.models import AuditEntry
from idp.clock import ACTIVATION_LIFETIME, INTERACTION_LIFETIME, now
from idp.config import Settings
from idp.db import db, retry, retry_unit_of_work
from idp.oidc.models import AuthorizationCode, PushedRequest, SpentProof, Token
from idp.operations import batches
from idp.operations.batches import delete_all
from idp.operations.purge import unused_accounts
from idp.outbox.queue import OutboxMessage
from idp.passkeys.models import SpentChallenge
from idp.rostering.models import ImportBatch, ImportIssue
from idp.services import services
from idp.sessions import liveness
from idp.sessions.models import DeviceSession, Session
from idp.terminal import AS_JSON
from idp.throttle import guard

ENDED_KEPT = timedelta(days=7)
"""How long links and sessions are kept after their end, so that the help desk can answer questions."""
SWITCHED_OFF_KEPT = timedelta(days=1)
"""How long device sessions stay after `IDP_STAY_DAYS=0`: longer than a session that one of them opened."""
SENT_KEPT = timedelta(days=30)
PROOFS_KEPT = timedelta(days=1)  # how long proofs are kept beyond their end, in case the purging node's clock is wrong

# The rows that are removed at an age: their name in `--json`, an indexed time, and how long they stay after it.
_AGED: Sequence[tuple[str, Any, timedelta]] = (
    ("links", OneTimeLink.expires_at, ENDED_KEPT),
    ("kept_passwords", KeptPassword.kept_at, ACTIVATION_LIFETIME),
    # every sign-in that one of them may have begun is over
    ("pushed_requests", PushedRequest.expires_at, INTERACTION_LIFETIME + ACTIVATION_LIFETIME),
    ("proofs", SpentProof.expires_at, PROOFS_KEPT),
    ("challenges", SpentChallenge.expires_at, PROOFS_KEPT),
    ("outbox_messages", OutboxMessage.finished_at, SENT_KEPT),
)
_COUNTED = {
    "throttle_counters": "expired counters of tries",
    "links": "one-time links",
    "kept_passwords": "hashes of passwords that were kept while an email was corrected",
    "pushed_requests": "authorization requests that clients pushed",
    "proofs": "proofs of clients that are too old to be shown again",
    "challenges": "challenges that passkeys answered",
    "sessions": "sessions",
    "device_sessions": "devices that stay signed in",
    "codes": "authorization codes of these",
    "tokens": "tokens of these",
    "outbox_messages": "finished messages of the outbox",
    "journal_entries": "expired events of the journal",
    "failures": "expired refusals and failures of the journal",
    "letters_expired": "provisional passwords that expired",
    "accounts_warned": "people warned that their account will be removed",
    "accounts_removed": "accounts removed",
    "pupils_removed": "pupils who left, removed",
    "links_removed": "ties to a pupil that ended",
    "notices_removed": "notices that schools settled",
    "imports_removed": "imports of school files, with their issues",
    "kept_forms": "forms of the desk that were kept while a proof or a sign-in came first",
    "staff_sessions": "sessions of the desk",
    "staff_links": "invitations and challenges of the desk",
    "ents_refused": "ENTs that the académie refused",
    "staff_removed": "people of the desk who left",
    "desk_jobs": "jobs of the desk, with their files",
    "desk_figures": "figures of the desk that are older than a week",
}


@click.command("purge")
@AS_JSON
def purge(*, as_json: bool) -> None:
    """Remove expired links, sessions, messages, old events and unused accounts. Run it once a day."""
    settings = services().settings
    done: Counter[str] = Counter(dict.fromkeys(_COUNTED, 0))
    own = (_counters, _aged, _sessions, _journal, _accounts, _rosters)
    for part in (*own, *services().purges):
        done.update(part(settings, now()))
    retry_unit_of_work(lambda: log.record(PurgeCompleted(removed={name: n for name, n in done.items() if n})))
    if as_json:
        click.echo(json.dumps(done))
        return
    for name, meaning in _COUNTED.items():
        click.echo(f"{done[name]:>9}  {meaning}")


def _counters(_settings: Settings, _moment: datetime) -> dict[str, int]:
    return {"throttle_counters": retry(guard.purge_expired)}


def _aged(settings: Settings, moment: datetime) -> dict[str, int]:
    """Remove the rows whose age alone decides. A notice stays as long as the journal; an open one has no time."""
    kept = (*_AGED, ("notices_removed", SchoolNotice.settled_at, timedelta(days=settings.audit_days)))
    return {name: delete_all(column.class_, column <= moment - age, order_by=column) for name, column, age in kept}


def _sessions(settings: Settings, moment: datetime) -> Counter[str]:
    """Remove the sessions that ended more than `ENDED_KEPT` ago, with the codes and tokens issued in them.

    No session outlives its `expires_at`, but its refresh tokens may. The session stays while one of them is valid; then
    only its old access tokens are removed. A used refresh token must be recognised as long as its family is valid.
    """
    dead_since = moment - ENDED_KEPT
    done: Counter[str] = Counter(device_sessions=_device_sessions(settings, moment, dead_since))
    for keys in batches.pages(Session.id, ~liveness.unexpired(dead_since), order_by=Session.expires_at):
        kept = set(db.session.scalars(select(Token.session_id).where(Token.session_id.in_(keys), _refreshes(moment))))
        dead = [key for key in keys if key not in kept]
        old = and_(Token.session_id.in_(kept), Token.kind == "a", Token.expires_at <= dead_since)
        done["tokens"] += delete_all(Token, or_(Token.session_id.in_(dead), old), order_by=Token.session_id)
        of_dead = AuthorizationCode.session_id.in_(dead)
        done["codes"] += delete_all(AuthorizationCode, of_dead, order_by=AuthorizationCode.session_id)
        done["sessions"] += delete_all(Session, Session.id.in_(dead), ~_in_use(), order_by=Session.id)
    return done


def _device_sessions(settings: Settings, moment: datetime, dead_since: datetime) -> int:
    """Remove the device sessions that expired, or ended, before an instant; each condition has its index."""
    conditions = [
        (DeviceSession.expires_at <= dead_since, DeviceSession.expires_at),
        (DeviceSession.ended_at <= dead_since, DeviceSession.ended_at),
    ]
    if not settings.stay_days:  # they do not come back with the setting; soon there is none to read
        conditions.append((DeviceSession.rotated_at <= moment - SWITCHED_OFF_KEPT, DeviceSession.expires_at))
    return sum(delete_all(DeviceSession, over, order_by=column) for over, column in conditions)


def _refreshes(moment: datetime) -> ColumnElement[bool]:
    living = select(Session.id).where(Session.id == Token.session_id, liveness.unended()).exists()
    return and_(Token.kind == "r", Token.revoked_at.is_(None), Token.expires_at > moment, living)


def _in_use() -> ColumnElement[bool]:
    """Return the condition of the sessions with codes or tokens left: the purge that removes these removes them too."""
    return or_(
        select(Token.digest).where(Token.session_id == Session.id).exists(),
        select(AuthorizationCode.digest).where(AuthorizationCode.session_id == Session.id).exists(),
    )


def _journal(settings: Settings, moment: datetime) -> dict[str, int]:
    """Remove old entries, then the seals without entries; the chain's new beginning is recorded first."""
    before = moment - timedelta(days=settings.audit_days)
    failures_before = moment - timedelta(days=settings.audit_failure_days)
    sealing.record_cut(settings.secrets, before, failures_before)
    done = {
        "journal_entries": delete_all(AuditEntry, AuditEntry.at <= before, order_by=AuditEntry.at),
        "failures": delete_all(
            AuditEntry, AuditEntry.where_failed(), AuditEntry.at <= failures_before, order_by=AuditEntry.at
        ),
    }
    sealing.drop_old_seals()
    return done


def _accounts(settings: Settings, moment: datetime) -> Counter[str]:
    """Apply each rule of age to the accounts that an index finds for it, a page at a time."""
    done: Counter[str] = Counter()
    done["letters_expired"] = _in_batches(partial(unused_accounts.remove_expired_secrets, moment))
    due = unused_accounts.removable(settings, moment)
    for keys in unused_accounts.candidates(settings, moment):
        some = Account.id.in_(keys)
        retry_unit_of_work(partial(unused_accounts.note_use, some, moment))
        done["accounts_warned"] += _in_batches(partial(unused_accounts.warn, some, settings, moment))
        for key in db.session.scalars(select(Account.id).where(some, due)).all():
            done["accounts_removed"] += retry_unit_of_work(partial(unused_accounts.remove, key, due))
    return done


def _rosters(settings: Settings, moment: datetime) -> dict[str, int]:
    """Remove pupils who left and ties that ended, after the time in which a wrong file may be noticed.

    Children are removed with their ties: three months after the end of schooling nothing may be left of them (arrêté of
    30 November 2006, article 6).
    """
    ended_before = moment - unused_accounts.DISABLED_KEPT
    left = unused_accounts.removable_pupils(moment)
    done = Counter({"links_removed": _in_batches(partial(unused_accounts.remove_ended_links, ended_before))})
    while keys := db.session.scalars(select(Child.id).where(left).order_by(Child.left_at).limit(batches.ROWS)).all():
        done["pupils_removed"] += retry_unit_of_work(partial(unused_accounts.remove_children, keys, left))
    retry_unit_of_work(partial(_forget_names, moment))
    old = ImportBatch.started_at <= moment - timedelta(days=settings.audit_days)
    issues = ImportIssue.batch_id.in_(select(ImportBatch.id).where(old))
    delete_all(ImportIssue, issues, order_by=ImportIssue.batch_id)
    done["imports_removed"] = delete_all(ImportBatch, old, order_by=ImportBatch.started_at)
    return done


def _forget_names(moment: datetime) -> None:
    """Remove the names of the problems of former imports: a name stays no longer than a pupil who left then would."""
    before = ImportBatch.started_at <= moment - unused_accounts.DISABLED_KEPT
    named = and_(
        ImportIssue.batch_id.in_(select(ImportBatch.id).where(before)),
        ImportIssue.person != literal("", literal_execute=True),  # as the index of the named ones needs it
    )
    db.session.execute(update(ImportIssue).where(named).values(person="").execution_options(synchronize_session=False))


def _in_batches(step: Callable[[], int]) -> int:
    total = 0
    while done := retry_unit_of_work(step):
        total += done
    return total
