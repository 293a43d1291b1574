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

from flask import current_app, g, request
from sqlalchemy import ColumnElement, ForeignKey, UniqueConstraint, and_, delete, or_, select
from sqlalchemy.orm import Mapped, mapped_column
from werkzeug.datastructures import MultiDict

from idp import opaque
from idp.clock import now
from idp.config import Settings
from idp.db import Base, UuidKey, db, unit_of_work
from idp.desk.staff import sessions
from idp.desk.staff.models import StaffAccount
from idp.desk.staff.posts import Post
from idp.personal import left_out
from idp.services import services
from idp.web import browser
from idp.web.forms import Form
from idp.web.http import Request, current_request
from idp.web.redirects import shown_page


class KeptForm(UuidKey, Base):
    """A form that was sent but not accepted, because a proof, a sign-in or a reason came first.

    `role_id` is the post whose page was filled in, or None for a page that does not depend on the post. `browser` is
    the digest of the browser's own value, `page` that of the path and query of the page. `content` is encrypted.
    """

    __tablename__ = "desk_kept_form"
    __table_args__ = (
        UniqueConstraint("staff_id", "browser", "page"),
        {"info": left_out("what people of the desk typed, encrypted; readable for some minutes, gone within a day")},
    )

    staff_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("staff_account.id"))
    role_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("staff_role.id"))
    browser: Mapped[bytes]
    page: Mapped[bytes]
    content: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime] = mapped_column(index=True)


_View = TypeVar("_View", bound=Callable[..., Any])

LIFETIME = timedelta(minutes=15)
MOST = 10  # forms that are kept for one person, at most: the oldest goes first
_PURPOSE = "desk kept form"
_KEPT_FIELDS = "idp_desk_kept_fields"


@dataclass(frozen=True)
class Kept:
    """The typed values of a form that is shown again; `had_files` says that files were sent, which are not kept."""

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


def keep(person: sessions.SignedIn, page: str, post: Post | None) -> None:
    """Keep what the view of this request declares, in place of the former form of the page with this path and query.

    The session of the person may be over; the form token of the request was checked. `post` is that whose page was
    filled in, or None for a page that does not depend on a post.
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
                page=opaque.digest(page),
                content=opaque.encrypt(settings.secrets, _PURPOSE, content, _context(key, staff_id)),
                expires_at=now() + LIFETIME,
            )
        )


def _content(sent: Request, names: Sequence[str]) -> bytes:
    pairs = [(name, value) for name in names for value in sent.fields.getlist(name)]
    had_files = any(part.filename for part in sent.files.values())
    return json.dumps({"fields": pairs, "had_files": had_files}, ensure_ascii=False).encode()


def _make_room(staff_id: uuid.UUID, page: str) -> None:
    own = KeptForm.staff_id == staff_id
    same_page = and_(KeptForm.browser == _browser(), KeptForm.page == opaque.digest(page))
    _delete(own, or_(same_page, KeptForm.expires_at <= now()))
    oldest = select(KeptForm.id).where(own).order_by(KeptForm.created_at.desc()).offset(MOST - 1)
    _delete(KeptForm.id.in_(db.session.scalars(oldest).all()))


def _delete(*conditions: ColumnElement[bool]) -> None:
    db.session.execute(delete(KeptForm).where(*conditions).execution_options(synchronize_session=False))


def take(person: sessions.SignedIn, page: str) -> Kept | None:
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
    return KeptForm.browser == _browser(), KeptForm.page == opaque.digest(page), KeptForm.expires_at > now()


def _opened(settings: Settings, content: bytes, context: str) -> Kept | None:
    try:
        values = json.loads(opaque.decrypt(settings.secrets, _PURPOSE, content, context))
    except opaque.UndecryptableError:  # the secret key was replaced meanwhile
        return None
    fields = MultiDict([(name, value) for name, value in values["fields"]])
    return Kept(fields, values["had_files"])


def _context(key: uuid.UUID, staff_id: uuid.UUID) -> str:
    return f"{key} {staff_id}"


def _browser() -> bytes:
    return opaque.digest(browser.binding())


def current() -> Kept | None:
    """Return the form that the page of this GET gets back, or None; it is taken at the first call."""
    if "kept_form" not in g:
        person = sessions.current() if request.method == "GET" else None
        g.kept_form = take(person, shown_page()) if person else None
    kept: Kept | None = g.kept_form
    return kept


class DeskForm(Form):
    """A form of a page of the desk. A view builds it after its access checks: a GET takes what was kept.

    If it `is_refilled` with the kept values, the view fills in no others.
    """

    def __init__(self) -> None:
        super().__init__()
        kept = current()
        self.is_refilled = kept is not None and any(field.name in kept.fields for field in self)
        if kept is not None and self.is_refilled:  # another form of the same page may be the kept one
            self.process(kept.fields)
