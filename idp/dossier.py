"""`idp dossier`: writes the file that a buyer asks for, in French, from the running configuration.

Each document has a template in templates/dossier. None stands for what is not known.

One is the list of what this installation consists of, in CycloneDX 1.6: of what constraints.txt names, as installed.
`make sbom` lists the dependencies of a release in the same format; this list is about the running environment.
"""

import json
import os
import platform
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from pkgutil import resolve_name
from typing import Any
from urllib.parse import urlsplit

import click
from flask import current_app, render_template
from flask_babel import force_locale
from pydantic import SecretStr
from sqlalchemy import column, func, select, table
from sqlalchemy.exc import SQLAlchemyError

from idp import __version__, paths
from idp.accounts.models import Account, School
from idp.clients import registry
from idp.clients.models import CharterMode, Client
from idp.clock import today
from idp.config import PREFIX, Settings, shown, without_secrets
from idp.db import db
from idp.desk import retention
from idp.oidc.claims.release import SET_BY_OPERATORS, releasable_claims
from idp.operations.personal_data.export import PARTS
from idp.services import services
from idp.terminal import plain
from idp.web.legal import AUDIT

_PINNED = re.compile(r"^([a-z0-9][a-z0-9._-]*)==.*?(?=^[a-z0-9]|\Z)", re.MULTILINE | re.DOTALL)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_REQUIRED_NAME = re.compile(r"[A-Za-z0-9._-]+")
_CLASSIFIER = "License :: OSI Approved :: "
_SELF = "scolarite-services"


def bill_of_materials() -> dict[str, Any]:
    """Return the list as JSON."""
    text = paths.CONSTRAINTS.read_text(encoding="utf-8")
    pinned = {match.group(1): _HASH.findall(match.group(0)) for match in _PINNED.finditer(text)}
    installed = {name: package for name in pinned if (package := _installed(name))}
    references = {name: f"pkg:pypi/{name}@{package.version}" for name, package in installed.items()}
    itself = {"type": "application", "bom-ref": _SELF, "name": _SELF, "version": __version__}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {**itself, "licenses": [{"license": {"id": "EUPL-1.2"}}]}},
        "components": [_component(name, installed[name], references[name], pinned[name]) for name in installed],
        "dependencies": [
            {"ref": _SELF, "dependsOn": sorted(references.values())},
            *(
                {
                    "ref": references[name],
                    "dependsOn": sorted(references[other] for other in _required(package) if other in references),
                }
                for name, package in installed.items()
            ),
        ],
    }


def _installed(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:  # for another platform or another Python
        return None


def _component(name: str, package: Distribution, reference: str, hashes: list[str]) -> dict[str, Any]:
    component = {"type": "library", "bom-ref": reference, "name": name, "version": package.version, "purl": reference}
    files = [{"alg": "SHA-256", "content": content} for content in hashes]
    return {**component, "hashes": files, "licenses": _licences(package)}


def _licences(package: Distribution) -> list[dict[str, Any]]:
    metadata = package.metadata.json
    if expression := metadata.get("license_expression"):
        return [{"expression": expression}]
    classifiers = [
        text.removeprefix(_CLASSIFIER) for text in metadata.get("classifier", ()) if text.startswith(_CLASSIFIER)
    ]
    names = classifiers or [str(metadata.get("license", "")).partition("\n")[0][:80] or "unknown"]
    return [{"license": {"name": name}} for name in names]


def _required(package: Distribution) -> set[str]:
    names = {match.group(0) for text in package.requires or () if (match := _REQUIRED_NAME.match(text))}
    return {re.sub(r"[-_.]+", "-", name).lower() for name in names}


DOCUMENTS = {
    "01-registre-des-traitements.md": "Fiche du registre des traitements",
    "02-analyse-d-impact.md": "Analyse d’impact relative à la protection des données (projet)",
    "03-homologation.md": "Dossier d’homologation de sécurité (projet)",
    "04-declaration-d-accessibilite.md": "Déclaration d’accessibilité",
    "05-conformite-rfc-9700.md": "Conformité : RFC 9700, sécurité d’OAuth 2.0",
    "06-conformite-asvs-5.md": "Conformité : OWASP ASVS 5.0",
    "07-conformite-anssi.md": "Conformité : ANSSI-PA-080, OpenID Connect",
    "08-conformite-doctrine.md": "Conformité : doctrine technique du numérique pour l’éducation",
    "09-architecture.md": "Architecture",
    "10-durees-de-conservation.md": "Durées de conservation",
    "11-capacite-et-fiabilite.md": "Capacité et fiabilité",
}
"""The title of each document; its template has its name without the number."""
RULES = "12-security.md"
SBOM = "13-sbom.cdx.json"
SUMMARY = "00-sommaire.md"
_OWNER_ONLY = 0o600
_DRAFT = "> **ESSAI. Écrit hors production (`IDP_ENV=development`) : ce document ne décrit aucun service réel.**"


def write(settings: Settings, folder: Path) -> list[tuple[str, int]]:
    """Write all documents into a new folder; return the name of each, and how often it says « à compléter ».

    Raises:
        FileExistsError: the folder is there.
        OSError: it cannot be written.
    """
    folder.mkdir(mode=0o700)
    written = []
    values = collected(settings)
    for name, text in _documents(values):
        _write(folder / name, text)
        written.append((name, text.count(TO_COMPLETE)))
    rules = (paths.DOCUMENTS / "security.md").read_text(encoding="utf-8")
    _write(folder / RULES, re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", rules))
    _write(folder / SBOM, json.dumps(bill_of_materials(), indent=2, ensure_ascii=False))
    rows = [(name, DOCUMENTS[name], missing) for name, missing in written]
    summary = _rendered(
        "sommaire.md", {**values, "documents": rows, "rules": RULES, "sbom": SBOM, "title": "Dossier du service"}
    )
    _write(folder / SUMMARY, summary)
    return [(SUMMARY, 0), *written, (RULES, 0), (SBOM, 0)]


def _documents(values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, title in DOCUMENTS.items():
        template = name.partition("-")[2]
        yield name, _rendered(template, {**values, "title": title})


def _rendered(template: str, values: dict[str, Any]) -> str:
    current_app.jinja_env.filters |= {"known": known, "literal": literal, "counted": counted}
    functions = {"section": section, "to_complete": TO_COMPLETE}
    text = render_template(f"dossier/{template}", **values, **functions)
    if values["settings"].env == "production":
        return text
    heading, _, body = text.partition("\n")
    return f"{heading}\n\n{_DRAFT}\n{body}"


def _write(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY), "w", encoding="utf-8") as file:
        file.write(text.rstrip("\n") + "\n")


@click.command("dossier")
@click.option(
    "--out",
    "folder",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="A new folder, readable by you only.",
)
def dossier(folder: Path) -> None:
    """Write the file that a buyer or a data protection officer asks for, in French, from the running configuration.

    It has the record of processing, drafts of the impact assessment and of the security approval, the accessibility
    statement, tables of conformity, the retention of data and a list of components. What the configuration does not say
    is marked « à compléter ».
    """
    try:
        written = write(services().settings, folder)
    except FileExistsError as there:
        raise click.ClickException(plain(f"{folder} exists already: choose another folder")) from there
    except OSError as fault:
        raise click.ClickException(plain(f"{folder} cannot be written ({fault.strerror})")) from fault
    for name, missing in written:
        click.echo(plain(f"{folder / name}" + (f": {missing} to complete" if missing else "")))


TO_COMPLETE = "**à compléter**"  # what stands in the place of everything that the configuration does not say


@dataclass(frozen=True)
class Ent:
    """An ENT that may ask who signs in, and so a recipient of personal data.

    The claims `set_by_operators` stay empty until an operator sets them for a person.
    """

    name: str
    hosts: Sequence[str]
    schools: int
    audience: str
    claims: Sequence[str]
    set_by_operators: Sequence[str]
    charter: CharterMode
    is_open: bool


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
        "rule": resolve_name,
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


def _stored() -> dict[str, Any] | None:
    try:
        clients = db.session.scalars(select(Client).where(Client.declined_at.is_(None)).order_by(Client.name)).all()
        return {
            "server": f"PostgreSQL {db.session.scalar(select(func.current_setting('server_version')))}",
            "database_tls": _database_tls(),
            "ents": [_ent(client) for client in clients],
            "schools": db.session.scalar(select(func.count()).select_from(School)),
            "accounts": db.session.scalar(select(func.count()).select_from(Account)),
        }
    except SQLAlchemyError:
        return None


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
    for part in _HEADING.split((paths.DOCUMENTS / document).read_text(encoding="utf-8"))[1:]:
        heading, _, body = part.partition("\n")
        if heading.startswith(title):
            return _LINK.sub(r"\1", body).strip()
    raise LookupError(f"{document} has no section {title!r}")
