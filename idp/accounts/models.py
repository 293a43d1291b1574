"""Tables of people and schools."""

import enum
import uuid
from datetime import date, datetime
from typing import Any

from sqlalchemy import JSON, ColumnElement, Enum, ForeignKey, Index, SmallInteger, String, and_, or_, select
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, column_property, foreign, mapped_column, relationship, validates

from idp.accounts import closings
from idp.accounts.closings import ClosableAccount, ClosableTie, Closing
from idp.accounts.credentials import PasswordHolder
from idp.clock import now
from idp.db import Base, Searched, UuidKey, only, words_index
from idp.mail.emails import fold_email
from idp.personal import ANYBODYS, COPY, DIGEST, OWN, STAFF, held, left_out, shown

_ROSTER_KEY = shown("Clé dans le fichier de l’établissement")
_FORMER = held("ancienne adresse mail, qui peut être celle d’une autre personne après un changement contesté")
_LETTER = "provisional_hash IS NOT NULL"


class Degree(enum.Enum):
    """Primary or secondary school; the first field of a parent's FrEduVecteur depends on it."""

    PRIMARY = "1D"
    SECONDARY = "2D"


class School(UuidKey, Base):
    """A school, named by its UAI (7 digits and a control letter).

    `roster_key` is its key in the files, whose format is `source`: files of another one would bring the families again.
    Letters print `phone`, `hours`, the `letter_languages` (None: all). `email` got the last digest at `digest_sent_at`.
    """

    __tablename__ = "school"
    __table_args__ = ({"info": left_out("about establishments; those of the children are named with them")},)

    uai: Mapped[str] = mapped_column(String(8), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    degree: Mapped[Degree] = mapped_column(Enum(Degree, native_enum=False, length=10))
    postal_address: Mapped[list[str]] = mapped_column(default=list)
    phone: Mapped[str] = mapped_column(String(30), default="")
    hours: Mapped[str] = mapped_column(String(80), default="")
    letter_languages: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    email: Mapped[str | None] = mapped_column(String(254))
    digest_sent_at: Mapped[datetime | None]
    roster_key: Mapped[str | None] = mapped_column(String(80), unique=True)
    source: Mapped[str] = mapped_column(String(10), default="")

    @staticmethod
    def placeholder(uai: str) -> str:
        """Return the name of a school whose file has none, until an operator gives it."""
        return f"Établissement {uai}"

    @property
    def is_named(self) -> bool:
        """Whether the school has a name of its own."""
        return self.name != self.placeholder(self.uai)


class Child(UuidKey, Searched, Base):
    """A pupil in one school. `student_id` is SIECLE's ELEVE_ID, for FrEduVecteur; `birth_date` tells namesakes apart.

    `roster_key` is the pupil's key in the files, also in another school. `moved_at` is when a file last brought the
    pupil from another school, `left_at` when one said or implied that the pupil is in no school any more.
    """

    __tablename__ = "child"
    __table_args__ = (
        Index("ix_child_school_id", "school_id", "class_name"),
        Index("ix_child_left_at", "left_at", **only("left_at IS NOT NULL")),
        words_index("ix_child_search_text"),
    )

    searched_fields = ("given_name", "family_name", "class_name", "student_id")
    family_name: Mapped[str] = mapped_column(String(200), info=shown("Nom"))
    given_name: Mapped[str] = mapped_column(String(200), info=shown("Prénom"))
    birth_date: Mapped[date | None] = mapped_column(info=shown("Date de naissance"))
    class_name: Mapped[str] = mapped_column(String(60), default="", info=shown("Classe"))
    school_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("school.id"), info=shown("Établissement"))
    student_id: Mapped[str] = mapped_column(String(30), info=shown("Numéro d’élève"))
    roster_key: Mapped[str | None] = mapped_column(String(80), unique=True, info=_ROSTER_KEY)
    moved_at: Mapped[datetime | None] = mapped_column(info=shown("Arrivé d’un autre établissement le"))
    left_at: Mapped[datetime | None] = mapped_column(info=shown("Parti le"))
    school: Mapped[School] = relationship(lazy="joined")

    @property
    def key(self) -> str:
        """The key by which operators name the child: the school file's key, or else the pupil's number."""
        return self.roster_key or self.student_id


class Merge(Base):
    """The merge of an account, which it disabled, into the account `into` of the same person.

    `children`, `roster_key` and `aliases` are what moved there, so that a school can separate the two again.
    """

    __tablename__ = "account_merge"
    __table_args__ = ({"info": left_out("a copy of what is exported")},)

    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("account.id"), primary_key=True)
    into_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("account.id"), index=True)
    children: Mapped[list[str]] = mapped_column(default=list)
    roster_key: Mapped[str | None] = mapped_column(String(80))
    aliases: Mapped[list[str]] = mapped_column(default=list)
    into: Mapped[Any] = relationship("Account", foreign_keys=[into_id])


class RemovalWarning(Base):
    """The mail that said that an unused account will be removed."""

    __tablename__ = "removal_warning"

    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("account.id"), primary_key=True, info=OWN)
    warned_at: Mapped[datetime] = mapped_column(default=now, info=shown("Prévenu de la suppression le"))


class Account(ClosableAccount, PasswordHolder, UuidKey, Searched, Base):
    """A person who may sign in.

    States: imported (`activated_at` empty, a provisional password or none) → activated (own password; `pending_email`
    until the link of the mail is used) → confirmed (`email`). A new letter empties `activated_at`, and leaves
    `first_activated_at`. `activated_in` is the digest of the interaction of the activation: a form sent twice shows the
    same result.

    Mail: `mailbox` is `email` folded, to find all accounts of one mailbox; `former_mailboxes` are those before it.
    Nobody has proved that `school_email` is the person's, so mails to it contain no secret. While the address is
    contested (`usable_email`), no mail recovers the account, until the school decides or a new letter is used.
    `letter_school_id` is the school that printed the last letter.

    School files: `roster_key` is the person's key; names and postal address come from that record. `join_key` is that
    key as ENTs know it, which only an AAF has. Imports compare with `name_key` (`directory.name_key`) and with
    `first_given_name`. `has_left` says that the account is disabled because its last tie to a child ended; a file that
    brings a child back enables it. `merge`: see `Merge`.
    `more_claims` holds claims that no school file has.
    """

    __tablename__ = "account"
    __table_args__ = (
        Index("ix_account_activated_at", "activated_at", **only("activated_at IS NOT NULL")),
        Index("ix_account_first_activated_at", "first_activated_at", **only("first_activated_at IS NOT NULL")),
        Index("ix_account_disabled_at", "disabled_at", "id", **only("disabled_at IS NOT NULL")),
        Index("ix_account_used", "known_use_at", "id", **only("activated_at IS NOT NULL AND disabled_at IS NULL")),
        Index("ix_account_letters", "provisional_expires_at", "activated_at", "disabled_at", **only(_LETTER)),
        Index("ix_account_without_tie", "known_use_at", "id", **only("activated_at IS NULL AND disabled_at IS NULL")),
        Index("ix_account_pending_email", "pending_email", **only("pending_email IS NOT NULL")),
        words_index("ix_account_search_text"),
        # Each sign-in updates columns that no index has (HOT), if the page has room for the new version of the row.
        {"postgresql_with": {"fillfactor": 85}},
    )

    searched_fields = ("given_name", "family_name", "birth_name", "username")
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4, info=shown("Clé du compte"))
    username: Mapped[str] = mapped_column(String(64), unique=True, info=shown("Identifiant"))
    civility: Mapped[str] = mapped_column(String(10), default="", info=shown("Civilité"))
    family_name: Mapped[str] = mapped_column(String(200), info=shown("Nom"))
    given_name: Mapped[str] = mapped_column(String(200), info=shown("Prénom"))
    first_given_name: Mapped[str | None] = mapped_column(
        String(200), info=shown("Prénom avant une correction du fichier")
    )
    birth_name: Mapped[str] = mapped_column(String(200), default="", info=shown("Nom de naissance"))
    roster_key: Mapped[str | None] = mapped_column(String(80), unique=True, info=_ROSTER_KEY)
    join_key: Mapped[str | None] = mapped_column(String(64), index=True, info=shown("Clé connue des ENT"))
    name_key: Mapped[str | None] = mapped_column(String(32), index=True, info=COPY)
    address_lines: Mapped[list[str]] = mapped_column(default=list, info=shown("Adresse postale"))
    postcode: Mapped[str] = mapped_column(String(20), default="", info=shown("Code postal"))
    city: Mapped[str] = mapped_column(String(80), default="", info=shown("Commune"))
    country: Mapped[str] = mapped_column(String(80), default="", info=shown("Pays"))
    address_diffusion: Mapped[bool | None] = mapped_column(
        info=shown("Adresse communicable aux associations de parents")
    )
    locale: Mapped[str] = mapped_column(String(20), default="fr-FR", info=shown("Langue"))
    more_claims: Mapped[dict[str, Any]] = mapped_column(default=dict, info=shown("Autres informations"))
    provisional_hash: Mapped[str | None] = mapped_column(String(200), info=held("empreinte du mot de passe provisoire"))
    provisional_expires_at: Mapped[datetime | None] = mapped_column(info=shown("Fin du mot de passe provisoire"))
    activated_at: Mapped[datetime | None] = mapped_column(info=shown("Compte activé le"))
    first_activated_at: Mapped[datetime | None] = mapped_column(
        info=shown("Compte activé pour la première fois le, avant un nouveau courrier")
    )
    activated_in: Mapped[bytes | None] = mapped_column(info=DIGEST)
    pending_email: Mapped[str | None] = mapped_column(String(254), info=shown("Adresse mail à confirmer"))
    email: Mapped[str | None] = mapped_column(String(254), info=shown("Adresse mail"))
    email_confirmed_at: Mapped[datetime | None] = mapped_column(info=shown("Adresse mail confirmée le"))
    mailbox: Mapped[str | None] = mapped_column(String(254), index=True, info=COPY)
    school_email: Mapped[str | None] = mapped_column(
        String(254), info=shown("Adresse mail du fichier de l’établissement")
    )
    letter_school_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("school.id"), info=COPY)
    tries_counted_since: Mapped[datetime] = mapped_column(default=now, info=shown("Essais comptés depuis le"))
    is_from_desk: Mapped[bool] = mapped_column(default=False, info=shown("Compte ouvert par un fichier du bureau"))
    last_sign_in_at: Mapped[datetime | None] = mapped_column(info=shown("Dernière connexion"))
    # the last use that the purge knows (`operations.purge.unused_accounts`)
    known_use_at: Mapped[datetime] = mapped_column(default=now, info=COPY)
    has_left: Mapped[bool] = mapped_column(
        default=False, info=shown("Fermé avec la fin de scolarité du dernier enfant")
    )
    disabled_at: Mapped[datetime | None] = mapped_column(info=shown("Compte fermé le"))
    created_at: Mapped[datetime] = mapped_column(default=now, sort_order=1, info=shown("Créé le"))
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now, sort_order=1, info=shown("Modifié le"))

    guardianships: Mapped[list["Guardianship"]] = relationship(
        back_populates="account", order_by="Guardianship.rank, Guardianship.child_id"
    )
    former_mailboxes: Mapped[list["FormerMailbox"]] = relationship()
    merge: Mapped[Merge | None] = relationship(foreign_keys=Merge.account_id, cascade="all, delete-orphan")
    removal_warning: Mapped[RemovalWarning | None] = relationship(cascade="all, delete-orphan")

    @validates("email")
    def _keep_mailbox(self, _name: str, email: str | None) -> str | None:
        former, mailbox = self.mailbox, fold_email(email) if email else None
        if former not in {None, mailbox}:
            known = [row for row in self.former_mailboxes if row.mailbox == former]
            for row in known:
                row.left_at = now()
            if not known:
                self.former_mailboxes.append(FormerMailbox(mailbox=former))
        self.mailbox = mailbox
        return email

    @hybrid_property
    def has_been_active(self) -> bool:
        """Whether the account is active, or a new letter closed it: another letter would take it from its person."""
        return self.activated_at is not None or self.first_activated_at is not None

    @has_been_active.inplace.expression
    @classmethod
    def _has_been_active(cls) -> ColumnElement[bool]:
        return or_(cls.activated_at.is_not(None), cls.first_activated_at.is_not(None))

    @hybrid_property
    def has_signed_in(self) -> bool:
        """Whether anybody has signed in with the account's own password."""
        return self.last_sign_in_at is not None

    @has_signed_in.inplace.expression
    @classmethod
    def _has_signed_in(cls) -> ColumnElement[bool]:
        return cls.last_sign_in_at.is_not(None)

    @property
    def short_name(self) -> str:
        """The person's name for a mail or a page that somebody else may read: « Noémie L. »."""
        return f"{self.given_name} {self.family_name[:1]}.".strip()

    @property
    def display_name(self) -> str:
        """The person's name for a letter or a page in French: civility, given name, family name."""
        return " ".join(part for part in (self.civility, self.given_name, self.family_name) if part)

    @property
    def children(self) -> list[Child]:
        """The children whose guardian this person is, in the order of the school's file."""
        return [tie.child for tie in self.guardianships if tie.holds_at(now())]


class Guardianship(ClosableTie, Base):
    """The tie between a guardian's account and a child.

    `ended_at`: a file ended the tie, the child left, or the school excluded the person (`idp.accounts.closings`).
    `kinship` and `authority` are SDET's codes, not released.
    """

    __tablename__ = "guardianship"
    __table_args__ = (Index("ix_guardianship_ended_at", "ended_at", **only("ended_at IS NOT NULL")),)

    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("account.id"), primary_key=True, info=OWN)
    child_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("child.id"), primary_key=True, index=True, info=shown("Enfant")
    )
    rank: Mapped[int] = mapped_column(default=0, info=shown("Rang"))
    kinship: Mapped[str] = mapped_column(String(10), default="", info=shown("Lien de parenté"))
    authority: Mapped[int] = mapped_column(SmallInteger, default=1, info=shown("Responsabilité"))
    ended_at: Mapped[datetime | None] = mapped_column(info=shown("Terminé le"))
    account: Mapped[Account] = relationship(back_populates="guardianships")
    child: Mapped[Child] = relationship(lazy="joined")


Account.shut_until = column_property(closings.last_end(Account.closed_by()).scalar_subquery())
Account.disputes = column_property(closings.kinds_of_disputes(Account.id))
Account.inactive_warned_at = column_property(
    select(RemovalWarning.warned_at)
    .where(
        RemovalWarning.account_id == Account.id,
        Account.activated_at < RemovalWarning.warned_at,
        or_(Account.last_sign_in_at.is_(None), Account.last_sign_in_at < RemovalWarning.warned_at),
    )
    .correlate_except(RemovalWarning)
    .scalar_subquery(),
    deferred=True,
)
"""When the account was warned of its removal; NULL if it was used, or got a new letter, since."""
Guardianship.shut_until = column_property(closings.last_end(Guardianship.closed_by()).scalar_subquery())
Guardianship.closed_until = column_property(closings.last_end(Guardianship.has_row()).scalar_subquery())


class FormerMailbox(Base):
    """A folded address that an account gave up at `left_at`: its person may still read it (`accounts.mailboxes`)."""

    __tablename__ = "former_mailbox"

    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("account.id"), primary_key=True, info=OWN)
    mailbox: Mapped[str] = mapped_column(String(254), primary_key=True, index=True, info=_FORMER)
    left_at: Mapped[datetime] = mapped_column(default=now, info=shown("Quittée le"))


class RosterAlias(Base):
    """Another key of a person in the files, from an account that was merged into this one; its children come here."""

    __tablename__ = "roster_alias"

    roster_key: Mapped[str] = mapped_column(String(80), primary_key=True, info=shown("Clé"))
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("account.id"), index=True, info=OWN)


class SchoolNotice(UuidKey, Base):
    """An event that one school has to know and to settle.

    `kind` is a `school_notices.Kind`, `other_account_id` a second account that it is about, `child_ids` the children
    (empty: all of the account in that school). Open until `settled_at`, by `settled_by` with a `sentence`. `note` is
    what a rectification wants, or what a secretary decided; `taken_by` who took calls. `digested_at`: a mail named it.
    """

    __tablename__ = "school_notice"

    school_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("school.id"), index=True, info=shown("Établissement"))
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("account.id"), index=True, info=ANYBODYS)
    other_account_id: Mapped[uuid.UUID | None] = mapped_column(index=True, info=ANYBODYS)
    kind: Mapped[str] = mapped_column(String(40), info=shown("Objet"))
    note: Mapped[str] = mapped_column(String(500), default="", info=shown("Demande, ou décision"))
    child_ids: Mapped[list[str]] = mapped_column(default=list, info=left_out("keys of children"))
    created_at: Mapped[datetime] = mapped_column(default=now, info=shown("Signalé le"))
    taken_by: Mapped[list[str]] = mapped_column(default=list, info=STAFF)
    digested_at: Mapped[datetime | None] = mapped_column(info=shown("Envoyé par mail le"))
    settled_at: Mapped[datetime | None] = mapped_column(index=True, info=shown("Réglé le"))
    settled_by: Mapped[str] = mapped_column(String(80), default="", info=STAFF)
    sentence: Mapped[str] = mapped_column(
        String(500), default="", info=held("phrase de l’établissement, qui peut parler d’autres personnes")
    )


Guardianship.closings = relationship(
    Closing,
    primaryjoin=and_(
        foreign(Closing.account_id) == Guardianship.account_id,
        foreign(Closing.child_id) == Guardianship.child_id,
        Closing.ended_at.is_(None),
    ),
    viewonly=True,
)
