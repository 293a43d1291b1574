"""The forms of a closing and of its end."""

import uuid
from datetime import date, datetime

from flask_babel import lazy_gettext as _l

from idp.clock import end_of_day, today
from idp.desk import fields
from idp.desk.kept_forms import DeskForm
from idp.web.forms import PlainField

ACCOUNT = "compte"
"""The value of `scope` for the whole account; any other is the key of a child."""
DAY, OPEN = "jour", "ouverte"
_MOST_YEARS = 4


class ClosingForm(DeskForm):
    """What is closed, why, and until when."""

    scope = PlainField(_l("Que voulez-vous suspendre ?"), longest=40)
    reason = PlainField(_l("Motif"), longest=500)
    reference = PlainField(_l("Référence du document (facultatif)"), longest=200)
    end = PlainField(_l("Quand la suspension finit-elle ?"), longest=10)
    until = PlainField(_l("Jusqu’au"), longest=20)

    def child(self) -> uuid.UUID | None:
        """Return the key of the child, or None for the whole account.

        Raises:
            ValueError: the value is neither.
        """
        return None if self.scope.data == ACCOUNT else uuid.UUID(self.scope.data or "")

    def last_day(self) -> date | None:
        """Return the typed last day, or None if it is not a date."""
        return fields.day(self.until.data or "")

    def instant(self) -> datetime | None:
        """Return when the last day is over in Paris; None for a closing without an end."""
        last = self.last_day() if self.end.data == DAY else None
        return end_of_day(last) if last else None

    def check(self, *, has_end: bool) -> bool:
        """Write the faults of the form; return whether it has none. `has_end`: whether the person chooses the end."""
        if not fields.is_sentence(fields.one_line(self.reason.data)):
            self.reason.errors = [_l("Écrivez le motif en quelques mots. Il reste au journal.")]
        if not self.scope.data:
            self.scope.errors = [_l("Choisissez ce que vous suspendez.")]
        if has_end:
            self._check_end()
        return not self.errors

    def _check_end(self) -> None:
        if self.end.data not in {DAY, OPEN}:
            self.end.errors = [_l("Choisissez quand la suspension finit.")]
        if self.end.data == OPEN and self.until.data:
            self.until.errors = [
                _l("Vous avez choisi « Sans date de fin » : effacez cette date, ou choisissez « À une date ».")
            ]
        if self.end.data != DAY:
            return
        last, present = self.last_day(), today()
        if last is None:
            self.until.errors = [_l("Écrivez le dernier jour de la suspension. Exemple : 31/12/2026.")]
        elif last.year > present.year + _MOST_YEARS:
            self.until.errors = [_l("Ce jour est trop loin. Choisissez « Sans date de fin ».")]
        elif last < present:
            self.until.errors = [_l("Ce jour est passé. Choisissez aujourd’hui ou un jour à venir.")]


class ReopeningForm(DeskForm):
    """Why an access is reopened."""

    reason = PlainField(_l("Motif"), longest=500)

    def check(self) -> bool:
        """Write the faults of the form; return whether it has none."""
        if not fields.is_sentence(fields.one_line(self.reason.data)):
            self.reason.errors = [_l("Écrivez-le en quelques mots. Cela reste au journal.")]
        return not self.errors


class CallForm(ReopeningForm):
    """Who calls, and what they say."""

    caller = PlainField(_l("La personne qui appelle, et son numéro"), longest=200)
    reason = PlainField(_l("Ce que dit la personne"), longest=500)

    def check(self) -> bool:
        """Write the faults of the form; return whether it has none."""
        super().check()
        if not fields.is_sentence(fields.one_line(self.caller.data)):
            self.caller.errors = [_l("Écrivez qui appelle. Cela reste au journal.")]
        return not self.errors

    def call(self) -> str:
        """Return what the journal keeps of the call."""
        return f"{fields.one_line(self.caller.data)} : {fields.one_line(self.reason.data)}"
