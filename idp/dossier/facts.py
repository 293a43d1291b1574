"""What the file says about this installation: settings, ENTs, schools, versions. None stands for what is not known."""

import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from flask_babel import force_locale
from pydantic import SecretStr
from sqlalchemy import column, func, select, table
from sqlalchemy.exc import SQLAlchemyError

from idp import __version__
from idp.accounts.models import Account, School
from idp.clients import registry
from idp.clients.models import CharterMode, Client
from idp.clock import today
from idp.config import PREFIX, Settings, shown, without_secrets
from idp.db import db
from idp.desk import retention
from idp.oidc.claims.release import SET_BY_OPERATORS, releasable_claims
from idp.operations.personal_data.export import PARTS
from idp.paths import DOCUMENTS
from idp.web.legal import AUDIT

TO_COMPLETE = "**à compléter**"
"""What stands in the place of everything that the configuration does not say."""


@dataclass(frozen=True)
class Ent:
    """An ENT that may ask who signs in, and so a recipient of personal data.

    Attributes:
        set_by_operators: the claims that stay empty until an operator sets them for a person.
    """

    name: str
    hosts: Sequence[str]
    schools: int
    audience: str
    claims: Sequence[str]
    set_by_operators: Sequence[str]
    charter: CharterMode
    is_open: bool


@dataclass(frozen=True)
class Stored:
    """What only the database knows."""

    server: str
    database_tls: str
    ents: Sequence[Ent]
    schools: int
    accounts: int


def known(value: object) -> str:
    """Return a value as text, or the mark of what is to be completed (a filter of the templates)."""
    content = " ".join(str(value).split()).replace("|", "\\|") if value is not None else ""
    return content or TO_COMPLETE


def literal(value: str) -> str:
    """Return a text of others, such as an ENT's name, as Markdown shows it: neither markup nor HTML (a filter)."""
    return known(re.sub(r"[\\`*_~\[\]<>&!#]", r"\\\g<0>", value))


def counted(number: int, singular: str, plural: str) -> str:
    """Return a number with its French noun, which is singular up to one (a filter of the templates)."""
    return f"{number} {singular if number <= 1 else plural}"


def collected(settings: Settings) -> dict[str, Any]:
    """Return the values that the templates take. A database that does not answer leaves `stored` None."""
    smtp = urlsplit(settings.smtp_url.get_secret_value())
    with force_locale("fr"):
        categories = [
            (str(part.title), [str(label) for label in [*part.shown.values(), *part.held.values()]]) for part in PARTS
        ]
        kept = retention.rows(settings)
        state = AUDIT.state
    return {
        "settings": settings,
        "shown_settings": [
            (f"{PREFIX}{name.upper()}", _setting(name, getattr(settings, name))) for name in Settings.model_fields
        ],
        "day": today(),
        "version": __version__,
        "python": platform.python_version(),
        "database": without_secrets(settings.database_url),
        "smtp": f"{smtp.hostname} ({smtp.scheme})",
        "categories": categories,
        "retention": kept,
        "audit": AUDIT,
        "audit_state": state,
        "stored": _stored(),
    }


def _setting(name: str, value: Any) -> str:
    if isinstance(value, SecretStr):
        return "défini, non montré" if value.get_secret_value() else "–"
    if isinstance(value, bool):
        return "oui" if value else "non"
    if isinstance(value, tuple):
        return counted(len(value), "valeur", "valeurs")
    return f"`{known(shown(name, value))}`" if value not in {None, ""} else "–"


def _stored() -> Stored | None:
    try:
        clients = db.session.scalars(select(Client).where(Client.declined_at.is_(None)).order_by(Client.name)).all()
        return Stored(
            server=_server(),
            database_tls=_database_tls(),
            ents=[_ent(client) for client in clients],
            schools=db.session.scalar(select(func.count()).select_from(School)) or 0,
            accounts=db.session.scalar(select(func.count()).select_from(Account)) or 0,
        )
    except SQLAlchemyError:
        return None


def _server() -> str:
    return f"PostgreSQL {db.session.scalar(select(func.current_setting('server_version')))}"


def _database_tls() -> str:
    present = table("pg_stat_ssl", column("pid"), column("version"))
    version = db.session.scalar(select(present.c.version).where(present.c.pid == func.pg_backend_pid()))
    return f"{version} mesuré" if version else "sans TLS"


def _ent(client: Client) -> Ent:
    claims = releasable_claims(registry.registration_of(client))
    return Ent(
        name=client.name,
        hosts=sorted({urlsplit(uri).netloc for uri in client.redirect_uris}),
        schools=len(client.uais),
        audience=client.audience.value,
        claims=sorted(claims - SET_BY_OPERATORS),
        set_by_operators=sorted(claims & SET_BY_OPERATORS),
        charter=client.charter_mode,
        is_open=client.disabled_at is None,
    )


_HEADING = re.compile(r"^## ", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")


def section(document: str, title: str) -> str:
    """Return the text below the heading that begins with `title`, without links: their pages are not in the file.

    Raises:
        LookupError: the document has no such heading.
    """
    for part in _HEADING.split((DOCUMENTS / document).read_text(encoding="utf-8"))[1:]:
        heading, _, body = part.partition("\n")
        if heading.startswith(title):
            return _LINK.sub(r"\1", body).strip()
    raise LookupError(f"{document} has no section {title!r}")
