"""The acts of the journal's filter: in groups, and only those that an entry in the scope of the role can have."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask_babel import lazy_gettext as _l

from idp.desk import access
from idp.desk.staff.models import Role
from idp.folding import fold
from idp.operations.personal_data.words import EVENTS


@dataclass(frozen=True)
class Group:
    """Acts under one title: the kinds of events with their words, sorted by the words."""

    title: Any
    acts: Sequence[tuple[str, str]]


_GROUPS: Sequence[tuple[Any, Sequence[str]]] = (
    (
        _l("Travail du bureau"),
        (
            "desk.alert", "desk.class_listed", "desk.figures_exported", "desk.file_difference_read",
            "desk.file_taken", "desk.files_declined", "desk.import_problems_read", "desk.job_asked",
            "desk.job_cancelled", "desk.job_finished",
            "desk.notices_listed", "desk.passwords_forced", "desk.pupil_read", "desk.reason", "desk.refused",
            "desk.searched", "journal.exported", "account.read",
        ),
    ),
    (
        _l("Courriers"),
        (
            "desk.identity_checked", "letter.drawn", "letter.link_doubted", "letter.linked", "letter.reissued",
            "letter.unlinked",
        ),
    ),
    (
        _l("Comptes des responsables"),
        (
            "account.changed", "account.erased", "account.exported", "account.inactivity_warned",
            "account.kept_suspension_ended", "account.purged", "account.rectification_asked", "account.renamed",
            "account.reopened", "account.suspended", "activation.completed", "activation.opened", "roster.account",
        ),
    ),
    (
        _l("Signalements"),
        (
            "activation.reported", "dispute.settled", "guardianship.admitted", "guardianship.disputed",
            "guardianship.waits", "school.notice_settled",
        ),
    ),
    (
        _l("Connexions des familles"),
        (
            "code.issued", "code.reused", "device_session.changed", "device_session.reused", "reauthenticated",
            "refresh.reused", "sessions.ended", "sign_in", "sign_out",
        ),
    ),
    (
        _l("Mots de passe, clés d’accès et adresses mail"),
        (
            "email.change_asked", "email.change_cancelled", "email.change_contested", "email.code_spent",
            "email.confirmed", "email.link_sent", "passkey.changed", "password.breached", "password.changed",
            "password.reset",
            "recovery.password", "recovery.throttled", "recovery.username", "recovery.username_told",
        ),
    ),
    (
        _l("Personnes du bureau"),
        (
            "staff.credential", "staff.disabled", "staff.enrolled", "staff.invited", "staff.proved",
            "staff.role_ended", "staff.role_granted", "staff.sign_in", "staff.sign_out",
        ),
    ),
    (
        _l("ENT et chartes"),
        (
            "charter.accepted", "charter.published", "charter.refused", "client.changed", "client.changed_itself",
            "client.invited",
        ),
    ),
    (
        _l("Établissements et service"),
        (
            "failures.alarm", "key.changed", "outbox.changed", "password.list_loaded", "proxy.ignored",
            "purge.completed", "roster.imported", "school.changed", "settings.changed",
        ),
    ),
)  # fmt: skip
"""Every kind of event is in one group."""

_OF_ENTS = frozenset(
    {
        "charter.published", "client.changed", "client.changed_itself", "client.invited", "staff.role_ended",
        "staff.role_granted",
    }
)  # fmt: skip
"""The kinds of events that name an ENT and no account: those that an ENT operator reads."""
_NEVER_BY_STAFF = frozenset(
    {
        "account.inactivity_warned", "account.purged", "activation.completed", "activation.opened",
        "activation.reported", "charter.accepted", "charter.refused", "client.changed_itself", "code.issued",
        "code.reused", "desk.alert", "email.change_asked", "email.change_cancelled", "email.change_contested",
        "email.code_spent", "email.confirmed", "failures.alarm", "key.changed", "letter.link_doubted",
        "outbox.changed", "password.breached", "password.changed", "password.list_loaded", "password.reset",
        "proxy.ignored", "purge.completed", "reauthenticated", "recovery.password",
        "recovery.throttled", "recovery.username", "recovery.username_told", "refresh.reused", "settings.changed",
        "sign_in", "sign_out",
    }
)  # fmt: skip
"""The kinds of events that a family, an ENT, the service or a command causes: no person of the desk does."""


def groups() -> list[Group]:
    """Return the acts that the role may read, in groups; a group without an act is left out."""
    readable = _readable()
    chosen = ((title, [kind for kind in kinds if kind in readable]) for title, kinds in _GROUPS)
    return [
        Group(title, sorted(map(_named, kinds), key=lambda act: _order(act[1]))) for title, kinds in chosen if kinds
    ]


def _readable() -> frozenset[str]:
    match access.role():
        case Role.DPO:
            return frozenset(EVENTS)
        case Role.ENGINEER:
            return frozenset(access.TECHNICAL)
        case Role.ENT_OPERATOR:
            return _OF_ENTS
    return frozenset(EVENTS) - _NEVER_BY_STAFF


def _named(kind: str) -> tuple[str, str]:
    return kind, capital(str(EVENTS[kind]))


def capital(text: str) -> str:
    """Return words as they begin a line."""
    return text[:1].upper() + text[1:]


def _order(words: str) -> str:
    """Return the key that sorts words as a French reader does: no accents, capitals or quotation marks count."""
    return "".join(c for c in fold(words) if c.isalnum() or c == " ").strip()
