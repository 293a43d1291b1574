"""The forms of the desk's pages, which are filled in with what was kept."""

from flask import g, request

from idp.desk import onward
from idp.desk.kept_forms import keeping
from idp.desk.kept_forms.keeping import Kept
from idp.desk.staff import sessions
from idp.web.forms import Form


def current() -> Kept | None:
    """Return the form that the page of this GET gets back, or None; it is taken at the first call."""
    if "kept_form" not in g:
        person = sessions.current() if request.method == "GET" else None
        g.kept_form = keeping.take(person, onward.asked()) if person else None
    kept: Kept | None = g.kept_form
    return kept


class DeskForm(Form):
    """A form of a page of the desk. A view builds it after its access checks: a GET takes what was kept.

    Attributes:
        is_refilled: Whether the fields have the values that were kept. The view then fills in no others.
    """

    def __init__(self) -> None:
        kept = current()
        fields = kept.fields if kept else None
        self.is_refilled = bool(fields)
        super().__init__(fields or None)
