"""`idp dossier` writes documents in French from the running configuration, and marks what it cannot know."""

import json
import re
import stat
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
from flask import Flask
from flask_babel import force_locale
from sqlalchemy import text

from idp import dossier
from idp.config import Settings
from idp.db import db
from idp.desk import retention
from idp.dossier import TO_COMPLETE
from idp.web.legal import AUDIT
from tests.builders import Build
from tests.commands.conftest import Run, bare, idp  # noqa: F401 - fixtures
from tests.databases import SECRET, settings_for
from tests.rows import each_row

Write = Callable[..., dict[str, str]]
TABLES = (
    "RFC 9700",
    "ANSSI",
    "Autres spécifications",
    *(f"OWASP ASVS 5.0, {chapter}" for chapter in ("V6", "V7", "V9", "V10")),
)


@pytest.fixture
def write(app: Flask, settings: Settings, tmp_path: Path) -> Write:
    """Write the documents; return the text of each by its name."""

    def written(given: Settings = settings) -> dict[str, str]:
        folder = tmp_path / "dossier"
        with app.test_request_context():
            dossier.write(given, folder)
        return {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}

    return written


def test_every_document_is_written_in_the_order_of_the_summary(write: Write) -> None:
    documents = write()
    names = sorted(documents)
    assert names == [dossier.SUMMARY, *dossier.DOCUMENTS, dossier.RULES, dossier.SBOM]
    for name in dossier.DOCUMENTS:
        missing = documents[name].count(TO_COMPLETE)
        assert f"| [{name}]({name}) | {dossier.DOCUMENTS[name]} | {missing} |" in documents[dossier.SUMMARY]
        assert documents[name].startswith(f"# {dossier.DOCUMENTS[name]}\n\n")
        assert "\n\n\n\n" not in documents[name]
    for name in names[:-1]:
        links = {path for path in re.findall(r"\]\(([^)#]+)\)", documents[name]) if "://" not in path}
        assert links <= set(names), name


def test_the_record_of_processing_names_who_is_responsible_and_who_receives(write: Write, build: Build) -> None:
    build.active()
    build.ent("Passerelle | Nord <b> [a](b)", "ent.test", charter="provider")
    documents = write()
    record = documents["01-registre-des-traitements.md"]
    assert "| Responsable du traitement | Académie des Deux-Rives ;" in record
    assert "| Délégué à la protection des données | dpd@exemple.fr |" in record
    assert "1 compte de responsable, 1 établissement." in record
    [ent] = [line for line in record.splitlines() if line.startswith("| ENT «")]
    assert ent.startswith(
        "| ENT « Passerelle \\| Nord \\<b\\> \\[a\\](b) » (ent.test) | les familles de 1 établissement : `sub`, "
    )
    always, _, seldom = ent.partition(" ; vides, sauf si un exploitant les remplit")
    assert "`family_name`" in always
    assert "preferred_username" not in ent, "the registration withholds it"
    assert "`birthdate`" in seldom
    assert "`birthdate`" not in always
    assert "- **Vos enfants** : Nom ; Prénom ; Date de naissance ; Classe ;" in record
    assert "empreinte du mot de passe" in record
    assert (
        "| Passerelle \\| Nord \\<b\\> \\[a\\](b) | ent.test | 1 | par ce service | ouvert |"
        in documents["09-architecture.md"]
    )


def test_what_only_the_site_knows_is_not_said_for_it(write: Write, database_url: str) -> None:
    documents = write(settings_for(database_url, desk_url="https://bureau.exemple.fr"))
    assert f"sauvegarde et réplication de la base : {TO_COMPLETE}" in documents["02-analyse-d-impact.md"]
    [desk] = [
        line for line in documents["04-declaration-d-accessibilite.md"].splitlines() if "bureau.exemple.fr" in line
    ]
    assert TO_COMPLETE in desk


def test_retention_accessibility_and_settings_come_from_their_homes(write: Write, settings: Settings) -> None:
    documents = write()
    with force_locale("fr"):
        for row in retention.rows(settings):
            assert f"| {row.what} | {row.how_long} |" in documents["10-durees-de-conservation.md"]
    statement = documents["04-declaration-d-accessibilite.md"]
    assert f"{AUDIT.rate} % des critères" in statement
    for criterion in AUDIT.results("NC"):
        assert f"- {criterion.number} – {criterion.title}" in statement
    assert f"| `IDP_ISSUER` | `{settings.issuer}` |" in documents["09-architecture.md"]
    changed = settings.model_copy(update={"password_min_length": 15})
    assert "15 caractères au moins" in texts(changed)["03-homologation.md"]


def texts(settings: Settings) -> dict[str, str]:
    return dict(dossier._documents(dossier.collected(settings)))


def test_accepted_risks_have_the_lifetimes_of_the_settings(write: Write, database_url: str) -> None:
    risks = write(settings_for(database_url, access_token_lifetime=900, provisional_days=30))["02-analyse-d-impact.md"]
    assert "bon pendant 15 minutes" in risks
    assert "Il vaut 30 jours" in risks


def test_no_label_of_the_record_stands_twice(write: Write) -> None:
    lines = [line for line in write()["01-registre-des-traitements.md"].splitlines() if line.startswith("- **")]
    for line in lines:
        labels = line.partition(" : ")[2].rstrip(".").split(" ; ")
        assert len(set(labels)) == len(labels), line


def test_no_document_has_a_secret(write: Write, database_url: str) -> None:
    secret_settings = settings_for(
        database_url,
        smtp_url="smtp+starttls://idp:canary-smtp@mail.exemple.fr:587",
        desk_oidc_client_secret="canary-desk",
        desk_oidc_issuer="https://agents.exemple.fr",
        desk_oidc_client_id="bureau",
        desk_oidc_acr="deux-facteurs",
    )
    everything = "".join(write(secret_settings).values())
    assert "mail.exemple.fr (smtp+starttls)" in everything
    for secret in (SECRET, "canary-smtp", "canary-desk"):
        assert secret not in everything


def test_what_the_configuration_does_not_say_is_marked(write: Write, settings: Settings) -> None:
    before = sum(document.count(TO_COMPLETE) for document in texts(settings).values())
    empty = settings.model_copy(update={"legal_publisher": "", "dpo_mail": " ", "legal_host": ""})
    documents = write(empty)
    assert sum(document.count(TO_COMPLETE) for document in documents.values()) > before
    assert f"| Délégué à la protection des données | {TO_COMPLETE} |" in documents["01-registre-des-traitements.md"]


@pytest.mark.usefixtures("app")
def test_a_database_without_tables_leaves_the_recipients_to_be_completed(settings: Settings) -> None:
    db.session.execute(text("SET search_path TO nowhere"))
    documents = texts(settings)
    assert f"| ENT | {TO_COMPLETE} (la base ne répondait pas) |" in documents["01-registre-des-traitements.md"]


def test_the_list_of_components_is_valid_and_names_what_is_installed(write: Write) -> None:
    from cyclonedx.schema import SchemaVersion  # noqa: PLC0415 - as below
    from cyclonedx.validation.json import JsonStrictValidator  # noqa: PLC0415 - three seconds in each process of tests

    listed = write()[dossier.SBOM]
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(listed) is None
    bill = json.loads(listed)
    components = {component["name"]: component for component in bill["components"]}
    assert components["authlib"]["version"] == version("authlib")
    assert len(components) > 40
    assert all(part["hashes"] and part["licenses"] for part in components.values())
    required = {row["ref"]: row["dependsOn"] for row in bill["dependencies"]}
    assert components["cryptography"]["bom-ref"] in required[components["authlib"]["bom-ref"]]


def test_a_file_that_was_not_written_in_production_says_so_in_each_document(write: Write, settings: Settings) -> None:
    documents = write(settings.model_copy(update={"env": "development"}))
    assert all("\n\n> **ESSAI. " in documents[name] for name in [dossier.SUMMARY, *dossier.DOCUMENTS])


def test_the_file_says_what_was_measured_and_promises_nothing_for_the_site(write: Write) -> None:
    documents = write()
    assert "environ 30 |" in documents["11-capacite-et-fiabilite.md"]
    assert "connexion : sans TLS" in documents["03-homologation.md"], "as the server of the tests says"
    assert not re.search(r"s’engage|garantit", "".join(documents[name] for name in dossier.DOCUMENTS))


@each_row("title", TABLES)
def test_results_of_conformity_have_four_words(title: str) -> None:
    lines = dossier.section("conformite.md", title).splitlines()
    rows = [line.split(" | ") for line in lines if line.startswith("| ") and " | demande | " not in line]
    assert len(rows) > 3
    assert {row[2] for row in rows} <= {"satisfait", "**non satisfait**", "à l’exploitant", "sans objet"}


_NOT_PROSE = re.compile(r"^```.*?^```$|`[^`\n]+`|«[^»]*»", re.MULTILINE | re.DOTALL)
"""Code, and quotations: titles of pages and of foreign documents."""
_ENGLISH = re.compile(
    r"\b(and|are|at|be|by|for|from|has|have|in|is|it|its|no|not|of|only|that|the|their|they|this|to|what|when|which|with)\b",
    re.IGNORECASE,
)
"""Words that English sentences need and French ones do not have."""


def english(document: str) -> list[str]:
    """Return the lines of a document with an English word in their prose."""
    return [line for line in _NOT_PROSE.sub(" ", document).splitlines() if _ENGLISH.search(line)]


@pytest.mark.usefixtures("app")
def test_every_document_is_in_french(settings: Settings, build: Build) -> None:
    build.ent("Passerelle", "ent.test")
    academy = {"desk_oidc_issuer": "https://agents.exemple.fr", "desk_oidc_client_id": "bureau"}
    options = {"desk_url": "https://bureau.exemple.fr", "traces": True, "new_device_mail": False, "legal_host": ""}
    given = settings.model_copy(update={**academy, **options})
    everywhere = [*texts(settings).items(), *texts(given).items()]
    db.session.execute(text("SET search_path TO nowhere"))
    everywhere += texts(settings).items()
    assert [(name, line) for name, document in everywhere for line in english(document)] == []
    assert len(everywhere) == 3 * len(dossier.DOCUMENTS)


def test_the_folder_is_new_and_the_owners_alone(idp: Run, tmp_path: Path) -> None:  # noqa: F811 - the fixture
    folder = tmp_path / "dossier"
    answer = idp("dossier", "--out", str(folder))
    assert (answer.code, answer.err) == (0, "")
    assert f"{folder / dossier.SUMMARY}\n" in answer.out
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    answer = idp("dossier", "--out", str(folder))
    assert (answer.code, answer.out) == (1, "")
    assert "choose another folder" in answer.err
