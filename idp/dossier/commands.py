"""`idp dossier`: writes the documents of the file, each from a template of templates/dossier.

One is the list of what this installation consists of, in CycloneDX 1.6: of what constraints.txt names, as installed.
`make sbom` lists the dependencies of a release in the same format; this list is about the running environment.
"""

import json
import os
import re
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import click
from flask import current_app, render_template

from idp import __version__, paths
from idp.config import Settings
from idp.dossier import facts
from idp.paths import CONSTRAINTS
from idp.services import services
from idp.terminal import plain

_PINNED = re.compile(r"^([a-z0-9][a-z0-9._-]*)==.*?(?=^[a-z0-9]|\Z)", re.MULTILINE | re.DOTALL)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_REQUIRED_NAME = re.compile(r"[A-Za-z0-9._-]+")
_CLASSIFIER = "License :: OSI Approved :: "
_SELF = "scolarite-services"


def bill_of_materials() -> dict[str, Any]:
    """Return the list as JSON."""
    text = CONSTRAINTS.read_text(encoding="utf-8")
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
    values = facts.collected(settings)
    for name, text in _documents(values):
        _write(folder / name, text)
        written.append((name, text.count(facts.TO_COMPLETE)))
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
    current_app.jinja_env.filters |= {"known": facts.known, "literal": facts.literal, "counted": facts.counted}
    functions = {"section": facts.section, "to_complete": facts.TO_COMPLETE}
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
