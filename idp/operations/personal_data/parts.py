"""The tables that an export of a person's data shows, in its order. Each column has its use (`idp.personal`).

Titles are French, since the person reads them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, or_

from idp.accounts.models import Account, Child, FormerMailbox, Guardianship, RosterAlias, SchoolNotice
from idp.accounts.one_time_links import OneTimeLink
from idp.accounts.suspensions.models import Suspension
from idp.audit.models import AuditEntry
from idp.charter.models import CharterAcceptance
from idp.oidc.models import AuthorizationCode, Token
from idp.operations.personal_data import redactions
from idp.operations.personal_data.redactions import Person, Row
from idp.outbox.queue import OutboxMessage
from idp.passkeys.models import Passkey, PasskeyUser
from idp.personal import HELD, SHOWN
from idp.rostering.models import ImportIssue
from idp.sessions.models import DeviceSession, Session


@dataclass(frozen=True)
class Part:
    """The data about a person in one table.

    Attributes:
        of: the condition of the person's rows.
        redact: removes data about other people from a row.
        consulted: columns that `redact` reads and that are left out.
    """

    table: Any
    title: str
    of: Callable[[Person], ColumnElement[bool]]
    redact: Callable[[Person, Row], Row] = redactions.whole
    consulted: tuple[str, ...] = ()

    @property
    def shown(self) -> Mapping[str, str]:
        """The columns that are shown, with their labels."""
        return self._labels(SHOWN)

    @property
    def held(self) -> Mapping[str, str]:
        """The columns that are named but not shown, with their labels."""
        return self._labels(HELD)

    def _labels(self, use: str) -> Mapping[str, str]:
        return {column.key: column.info[use] for column in self.table.__table__.columns if use in column.info}


def _of_account(table: Any, title: str, redact: Callable[[Person, Row], Row] = redactions.whole) -> Part:
    """Return the part of a table whose rows name the account."""
    return Part(table, title, lambda person: table.account_id.in_(person.accounts), redact)


PARTS = (
    Part(Account, "Votre compte", lambda person: Account.id.in_(person.accounts)),
    Part(Child, "Vos enfants", lambda person: Child.id.in_(person.children)),
    _of_account(Guardianship, "Vos liens avec des enfants", redactions.tie),
    _of_account(Suspension, "Suspensions de votre accès, et liens qui attendent la direction", redactions.suspension),
    _of_account(RosterAlias, "Vos autres clés dans les fichiers des établissements"),
    _of_account(FormerMailbox, "Vos anciennes adresses mail"),
    _of_account(CharterAcceptance, "Chartes acceptées"),
    _of_account(Session, "Vos connexions"),
    _of_account(DeviceSession, "Vos appareils qui restent connectés"),
    _of_account(Passkey, "Vos clés d’accès"),
    _of_account(PasskeyUser, "Clés d’accès proposées"),
    _of_account(AuthorizationCode, "Entrées dans un ENT"),
    _of_account(Token, "Accès donnés à un ENT"),
    _of_account(OneTimeLink, "Liens envoyés par mail", redactions.link),
    Part(OutboxMessage, "Messages qui attendent", lambda person: OutboxMessage.id.in_(person.messages)),
    Part(
        SchoolNotice,
        "Signalements à un établissement",
        lambda person: or_(
            SchoolNotice.account_id.in_(person.accounts), SchoolNotice.other_account_id.in_(person.accounts)
        ),
        redactions.notice,
    ),
    Part(
        ImportIssue,
        "Remarques sur les fichiers des établissements",
        lambda person: ImportIssue.key.in_(person.roster_keys),
    ),
    Part(
        AuditEntry,
        "Journal de sécurité",
        lambda person: AuditEntry.account_id.in_(person.accounts),
        redactions.event,
        consulted=("actor",),
    ),
)
