"""Keeps the form of a refused POST for 15 minutes, encrypted, for the same person, browser, post and page.

A view declares by `keeps` which fields are kept. All other fields, such as the form token, passwords, codes and files,
are not. A kept form is only shown again: the act needs another POST, with its own token, proof and access check.
"""

import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from flask import current_app, request
from sqlalchemy import ColumnElement, and_, delete, or_, select
from werkzeug.datastructures import MultiDict

from idp import encrypted, opaque
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.desk.kept_forms.models import KeptForm
from idp.desk.staff.models import StaffAccount
from idp.desk.staff.posts import Post
from idp.desk.staff.sessions import SignedIn
from idp.encrypted import UndecryptableError
from idp.services import services
from idp.web import browser
from idp.web.http import Request, current_request

_View = TypeVar("_View", bound=Callable[..., Any])

LIFETIME = timedelta(minutes=15)
MOST = 10
"""Forms that are kept for one person, at most: the oldest goes first."""
_PURPOSE = "desk kept form"
_KEPT_FIELDS = "idp_desk_kept_fields"


@dataclass(frozen=True)
class Kept:
    """A form that is shown again.

    Attributes:
        fields: The typed values by the names of their fields; several values for a name that came several times.
        had_files: Whether files were sent, which are not kept.
    """

    fields: MultiDict[str, str]
    had_files: bool


def keeps(*names: str) -> Callable[[_View], _View]:
    """Declare the fields that are kept if something comes before a POST of the view.

    With no name, the page only says that nothing has been done.
    """

    def declare(view: _View) -> _View:
        setattr(view, _KEPT_FIELDS, names)
        return view

    return declare


def kept_fields(view: Callable[..., Any]) -> tuple[str, ...] | None:
    """Return the names of the fields that a view keeps, or None if it keeps nothing."""
    names: tuple[str, ...] | None = getattr(view, _KEPT_FIELDS, None)
    return names


def keep(person: SignedIn, page: str, post: Post | None) -> None:
    """Keep what the view of this request declares, in place of the former form of the page.

    Args:
        person: the person of the session, which may be over; the form token of the request was checked.
        page: the path and query of the page that shows the form again.
        post: the post whose page was filled in; None for a page that does not depend on a post.
    """
    names = kept_fields(current_app.view_functions[request.endpoint or ""])
    if names is None:
        return
    settings, staff_id, key = services().settings, person.staff.id, uuid.uuid4()
    content = _content(current_request(), names)
    with unit_of_work():
        # the lock lets the forms of one person be kept one after the other
        locked = select(StaffAccount.id).where(StaffAccount.id == staff_id, StaffAccount.disabled_at.is_(None))
        if db.session.scalar(locked.with_for_update()) is None:
            return
        _make_room(staff_id, page)
        db.session.add(
            KeptForm(
                id=key,
                staff_id=staff_id,
                role_id=post.id if post else None,
                browser=_browser(),
                page=_digest(page),
                content=encrypted.encrypt(settings.secrets, _PURPOSE, content, _context(key, staff_id)),
                expires_at=now() + LIFETIME,
            )
        )


def _content(sent: Request, names: Sequence[str]) -> bytes:
    """Return what is kept of a request, as JSON."""
    pairs = [(name, value) for name in names for value in sent.fields.getlist(name)]
    had_files = any(part.filename for part in sent.files.values())
    return json.dumps({"fields": pairs, "had_files": had_files}, ensure_ascii=False).encode()


def _make_room(staff_id: uuid.UUID, page: str) -> None:
    """Delete, in the caller's transaction, the former form of the page, those that expired, and the oldest ones."""
    own = KeptForm.staff_id == staff_id
    same_page = and_(KeptForm.browser == _browser(), KeptForm.page == _digest(page))
    _delete(own, or_(same_page, KeptForm.expires_at <= now()))
    oldest = select(KeptForm.id).where(own).order_by(KeptForm.created_at.desc()).offset(MOST - 1)
    _delete(KeptForm.id.in_(db.session.scalars(oldest).all()))


def _delete(*conditions: ColumnElement[bool]) -> None:
    db.session.execute(delete(KeptForm).where(*conditions).execution_options(synchronize_session=False))


def take(person: SignedIn, page: str) -> Kept | None:
    """Return the form that was kept for this person, browser, post and page, once; None if there is none.

    The caller has checked that the person may open the page.
    """
    role_id = person.post.id if person.post else None
    mine = (
        KeptForm.staff_id == person.staff.id,
        or_(KeptForm.role_id.is_(None), KeptForm.role_id == role_id),
        *_waits_here(page),
    )
    if db.session.scalar(select(KeptForm.id).where(*mine)) is None:  # most pages: nothing is written
        return None
    statement = delete(KeptForm).where(*mine).returning(KeptForm.id, KeptForm.content)
    with unit_of_work():
        row = db.session.execute(statement.execution_options(synchronize_session=False)).one_or_none()
    return _opened(services().settings, row.content, _context(row.id, person.staff.id)) if row else None


def kept_until(page: str) -> datetime | None:
    """Return until when this browser may get filled fields back in a page; None if there are none.

    It is for the pages that come first, before the person is known: it tells nothing else.
    """
    newest = select(KeptForm).where(*_waits_here(page)).order_by(KeptForm.created_at.desc()).limit(1)
    row = db.session.scalar(newest)
    kept = _opened(services().settings, row.content, _context(row.id, row.staff_id)) if row else None
    return row.expires_at if row and kept and kept.fields else None


def _waits_here(page: str) -> tuple[ColumnElement[bool], ...]:
    return KeptForm.browser == _browser(), KeptForm.page == _digest(page), KeptForm.expires_at > now()


def _opened(settings: Settings, content: bytes, context: str) -> Kept | None:
    try:
        values = json.loads(encrypted.decrypt(settings.secrets, _PURPOSE, content, context))
    except UndecryptableError:  # the secret key was replaced meanwhile
        return None
    fields = MultiDict([(name, value) for name, value in values["fields"]])
    return Kept(fields, values["had_files"])


def _context(key: uuid.UUID, staff_id: uuid.UUID) -> str:
    return f"{key} {staff_id}"


def _browser() -> bytes:
    return opaque.digest(browser.binding())


def _digest(page: str) -> bytes:
    """Return the digest of a page's path and query, which may name a class or a person."""
    return opaque.digest(page)
