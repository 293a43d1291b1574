"""The forms of the desk's pages, which are filled in with what was kept."""

from flask import g, request

from idp.desk.kept_forms import keeping
from idp.desk.kept_forms.keeping import Kept
from idp.desk.staff import sessions
from idp.web.forms import Form
from idp.web.redirects import shown_page


def current() -> Kept | None:
    """Return the form that the page of this GET gets back, or None; it is taken at the first call."""
    if "kept_form" not in g:
        person = sessions.current() if request.method == "GET" else None
        g.kept_form = keeping.take(person, shown_page()) if person else None
    kept: Kept | None = g.kept_form
    return kept


class DeskForm(Form):
    """A form of a page of the desk. A view builds it after its access checks: a GET takes what was kept.

    Attributes:
        is_refilled: Whether the fields have the values that were kept. The view then fills in no others.
    """

    def __init__(self) -> None:
        super().__init__()
        kept = current()
        self.is_refilled = kept is not None and any(field.name in kept.fields for field in self)
        if kept is not None and self.is_refilled:  # another form of the same page may be the kept one
            self.process(kept.fields)
