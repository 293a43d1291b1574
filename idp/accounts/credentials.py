"""The credentials of an account: its own password, and the count of their changes."""

import enum
from datetime import datetime

from sqlalchemy import ColumnElement, Enum, String, literal_column
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, mapped_column

from idp.clock import now
from idp.personal import GENERATION, held, shown


class PasswordState(enum.Enum):
    """Whether the account's own password opens it. A refused one is replaced by mail or with a new letter."""

    USABLE = "usable"
    BLOCKED = "blocked"
    BREACHED = "breached"  # refused, since it is in a list of stolen passwords


class PasswordHolder:
    """An account's own password, and the changes of its credentials.

    `generation` counts the changes of credentials: what was issued for an earlier one is refused.
    """

    password_hash: Mapped[str | None] = mapped_column(String(200), info=held("empreinte du mot de passe"))
    password_state: Mapped[PasswordState] = mapped_column(
        Enum(PasswordState, native_enum=False, length=10),
        default=PasswordState.USABLE,
        info=shown("État du mot de passe"),
    )
    password_changed_at: Mapped[datetime | None] = mapped_column(info=shown("Mot de passe changé le"))
    generation: Mapped[int] = mapped_column(default=0, info=GENERATION)

    @hybrid_property
    def has_blocked_password(self) -> bool:
        """Whether the right password is refused."""
        return self.password_state is not PasswordState.USABLE

    @has_blocked_password.inplace.expression
    @classmethod
    def _has_blocked_password(cls) -> ColumnElement[bool]:
        # as text: the prepared statement of a sign-in (`idp.chained`) has no parameter of this type
        return cls.password_state != literal_column(f"'{PasswordState.USABLE.name}'")

    def block_password(self) -> None:
        """Refuse the password from now on."""
        if not self.has_blocked_password:
            self.password_state = PasswordState.BLOCKED

    def credentials_changed(self) -> None:
        """Count a change of credentials: all sessions, codes, tokens and links issued before are refused.

        The caller has locked the row, and ends the sessions if clients have to be told (`sessions.manager.end_all`).
        """
        self.generation += 1

    @classmethod
    def next_generation(cls) -> ColumnElement[int]:
        """Return the value that an UPDATE gives to `generation` when credentials change (see `credentials_changed`)."""
        return cls.generation + 1

    def changed_once_since(self, generation: int) -> bool:
        """Return whether credentials changed exactly once after that `generation`."""
        return self.generation == generation + 1

    def set_password(self, password_hash: str) -> None:
        """Replace the password; the new one is usable."""
        self.password_hash, self.password_changed_at = password_hash, now()
        self.password_state = PasswordState.USABLE
        self.credentials_changed()
