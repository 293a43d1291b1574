"""The rules of the charters, and how a charter's Markdown is rendered.

An ENT writes the text, and parents read it on pages of this service. A page of the service lends its credit to every
link, and the words of a link may name another site than its target. So a link leads to an https address alone, the host
that it leads to is shown after its words, and the site learns neither the page that the parent came from nor a window
to steer. Everything else that would be a link is shown as text.
"""

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from markupsafe import escape
from sqlalchemy import ColumnElement, func, select, update

from idp.accounts import directory
from idp.accounts.models import Account
from idp.audit import log
from idp.audit.events import CharterAccepted, CharterPublished, CharterRefused
from idp.charter.models import CharterAcceptance, CharterVersion
from idp.clients import audience
from idp.clients.models import Client
from idp.clock import now
from idp.db import db, unit_of_work, upsert

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

LONGEST_TEXT = 100_000
LONGEST_VERSION = 40


@dataclass(frozen=True)
class Current:
    """An ENT's current charter for one account: the version and, if accepted, when."""

    version: CharterVersion
    accepted_at: datetime | None


class UnknownVersionError(Exception):
    """The named version is not the current one."""


class AccountRemovedError(Exception):
    """The account was removed, and its sessions and tokens with it."""


def current(client_id: uuid.UUID, account_id: uuid.UUID) -> Current | None:
    """Return the client's current charter and this account's acceptance of it; None if the client has no charter."""
    row = db.session.execute(
        select(CharterVersion, CharterAcceptance.accepted_at)
        .join(Client, Client.charter_version_id == CharterVersion.id)
        .outerjoin(
            CharterAcceptance,
            (CharterAcceptance.charter_version_id == CharterVersion.id) & (CharterAcceptance.account_id == account_id),
        )
        .where(Client.id == client_id)
    ).one_or_none()
    return Current(row[0], row[1]) if row else None


def accept(client_id: uuid.UUID, account_id: uuid.UUID, version: str, *, ip: str, shown_by: str) -> Current:
    """Record that the account accepts `version`; a second click records nothing more.

    Raises:
        UnknownVersionError: another version is current; the person still has to accept that one.
        AccountRemovedError: the account was removed meanwhile.
    """
    charter = current(client_id, account_id)
    if charter is None or charter.version.version != version:
        raise UnknownVersionError
    with unit_of_work():
        if directory.get_for_change(account_id) is None:
            raise AccountRemovedError
        added = db.session.scalar(
            upsert(CharterAcceptance)
            .values(account_id=account_id, charter_version_id=charter.version.id, accepted_at=now(), ip=ip)
            .on_conflict_do_nothing()
            .returning(CharterAcceptance.account_id)
        )
        if added:
            log.record(CharterAccepted(account_id=account_id, client_id=client_id, version=version, shown_by=shown_by))
    accepted = current(client_id, account_id)
    if accepted is None or accepted.version.id != charter.version.id:  # another version was published meanwhile
        raise UnknownVersionError
    return accepted


@unit_of_work()
def refuse(client_id: uuid.UUID, account_id: uuid.UUID, version: str) -> None:
    """Record that the account declined the charter that this service showed."""
    log.record(CharterRefused(account_id=account_id, client_id=client_id, version=version))


@unit_of_work()
def keep_draft(client_id: uuid.UUID, version: str, text: str) -> None:
    """Keep a charter that somebody wrote at the desk; it replaces the former draft, and nobody else sees it."""
    db.session.execute(
        update(Client).where(Client.id == client_id).values(charter_draft={"version": version, "text": text})
    )


def is_published(client_id: uuid.UUID, version: str) -> bool:
    """Return whether an ENT has published a version of this name."""
    taken = select(CharterVersion.id).where(CharterVersion.client_id == client_id, CharterVersion.version == version)
    return db.session.scalar(taken) is not None


def in_force(client: Client) -> CharterVersion | None:
    """Return the version that people have to accept, or None if none is published."""
    return db.session.get(CharterVersion, client.charter_version_id) if client.charter_version_id else None


def versions(client_id: uuid.UUID) -> list[CharterVersion]:
    """Return the versions that an ENT has published, the last first."""
    published = select(CharterVersion).where(CharterVersion.client_id == client_id)
    return list(db.session.scalars(published.order_by(CharterVersion.published_at.desc())))


def count_acceptances(client_id: uuid.UUID, *conditions: ColumnElement[bool]) -> tuple[int, int]:
    """Return how many people have to accept an ENT's current charter, and how many of them did.

    They are those who activated their account and whom the ENT may know.

    Args:
        client_id: the primary key of the ENT.
        conditions: of the accounts that are counted.
    """
    accepted = (CharterAcceptance.account_id == Account.id) & (
        CharterAcceptance.charter_version_id == Client.charter_version_id
    )
    row = db.session.execute(
        select(func.count(Account.id), func.count(CharterAcceptance.account_id))
        .select_from(Account)
        .join(Client, Client.id == client_id)
        .outerjoin(CharterAcceptance, accepted)
        .where(Account.activated_at.is_not(None), Account.disabled_at.is_(None), audience.admits(), *conditions)
    ).one()
    return row[0], row[1]


@unit_of_work()
def publish(client_id: str, version: str, text: str) -> CharterVersion:
    """Publish a version for an ENT and make it current: everybody has to accept it again. A draft is dropped.

    Raises:
        ValueError: unknown client, a version that exists already, or a text that is empty or too long.
    """
    client = db.session.scalar(select(Client).where(Client.client_id == client_id))
    if client is None:
        raise ValueError(f"no client {client_id}")
    if not version or len(version) > LONGEST_VERSION:
        raise ValueError(f"the version must have 1 to {LONGEST_VERSION} characters")
    if not text.strip() or len(text) > LONGEST_TEXT:
        raise ValueError(f"the charter must have 1 to {LONGEST_TEXT} characters")
    if is_published(client.id, version):
        raise ValueError(f"version {version} of {client.name} exists already: publish the text as another version")
    charter = CharterVersion(id=uuid.uuid4(), client_id=client.id, version=version, text=text, published_at=now())
    former = db.session.scalar(select(CharterVersion.version).where(CharterVersion.id == client.charter_version_id))
    db.session.add(charter)
    db.session.flush()
    db.session.execute(
        update(Client)
        .where(Client.id == client.id)
        .values(charter_version_id=charter.id, charter_draft=None, version=Client.version + 1)
    )
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    log.record(CharterPublished(client_id=client.id, version=version, former=former or "", sha256=sha256))
    return charter


_REL = "noopener noreferrer nofollow"


def as_html(text: str) -> str:
    """Return the charter's Markdown as HTML. Raw HTML, images and other links than https are text (row C-05)."""
    html: str = _parser().render(text)
    return html.replace("<h1>", "<h2>").replace("</h1>", "</h2>")


def hosts(text: str) -> list[str]:
    """Return the hosts that the links of a charter lead to, each once, in alphabetical order."""
    inline = [child for token in _parser().parse(text) for child in token.children or ()]
    return sorted({_host(str(token.attrs["href"])) for token in inline if token.type == "link_open"})


def _parser() -> "MarkdownIt":
    from markdown_it import MarkdownIt  # noqa: PLC0415 - 60 modules, and few requests show a charter

    parser = MarkdownIt("commonmark", {"html": False}).disable("image")
    parser.validateLink = lambda url: bool(_host(url))  # type: ignore[method-assign]
    parser.add_render_rule("link_open", _open)
    parser.add_render_rule("link_close", _close)
    return parser


def _host(url: str) -> str:
    """Return the host of an https address; the empty text for another link, and for one that hides its host."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return ""
    is_plain = parts.scheme == "https" and "@" not in parts.netloc and "\\" not in url and host.isascii()
    return host if is_plain else ""


def _open(_renderer: Any, tokens: Sequence["Token"], index: int, _options: Any, _env: Any) -> str:
    return f'<a href="{escape(tokens[index].attrs["href"])}" rel="{_REL}">'


def _close(_renderer: Any, tokens: Sequence["Token"], index: int, _options: Any, _env: Any) -> str:
    opened = next(token for token in reversed(tokens[:index]) if token.type == "link_open")
    return "</a>" if opened.markup == "autolink" else f"</a> ({escape(_host(str(opened.attrs['href'])))})"
