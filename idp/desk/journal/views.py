"""`/journal` and its export."""

import base64
import hashlib
import json
from collections.abc import Sequence
from typing import Any

from flask import Blueprint, Response, make_response, render_template, request, url_for
from flask_babel import gettext

from idp.audit import log
from idp.audit.data_events import JournalExported
from idp.audit.models import AuditEntry
from idp.clock import PARIS, today
from idp.db import unit_of_work
from idp.desk import access, naming
from idp.desk.access import Right, needs
from idp.desk.journal import filters, listing
from idp.desk.journal.listing import readable_details
from idp.desk.kept_forms import keeps
from idp.spreadsheet import rows_to_csv

MOST = 20_000
"""The most entries of one file."""


def as_csv(lines: Sequence[dict[str, Any]]) -> bytes:
    """Return entries as CSV, with times of Paris."""
    head = [
        gettext("Date"),
        gettext("Qui"),
        gettext("Rôle"),
        gettext("Quoi"),
        gettext("Détails"),
        gettext("Pour qui"),
        gettext("Motif"),
        gettext("Résultat"),
        gettext("Adresse IP"),
        gettext("Référence"),
    ]
    return b"".join(rows_to_csv(head, (_cells(line) for line in lines)))


def _cells(line: dict[str, Any]) -> list[str]:
    entry: AuditEntry = line["entry"]
    result = gettext("refusé") if line["refused"] else gettext("fait")
    at = entry.at.astimezone(PARIS).strftime("%Y-%m-%d %H:%M:%S")
    words = [line[name] for name in ("who", "role", "what", "details", "whom", "why")]
    return [at, *words, result, entry.ip, entry.request_id]


def as_json(entries: Sequence[AuditEntry]) -> bytes:
    """Return entries as a JSON object: `entries`, and `entries_sha256`, the digest of their canonical spelling.

    The canonical spelling has sorted keys, no spaces, and ASCII only. Only a role that reads every entry gets
    the ids: their gaps tell the others of entries that they do not read.
    """
    with_ids = access.own_spec().journal is access.Journal.ALL
    rows = [{"id": entry.id, **_row(entry)} if with_ids else _row(entry) for entry in entries]
    canonical = json.dumps(rows, sort_keys=True, separators=(",", ":")).encode()
    head = {"count": len(rows), "entries_sha256": hashlib.sha256(canonical).hexdigest()}
    return json.dumps({**head, "entries": rows}, ensure_ascii=False, indent=1).encode("utf-8", "replace")


def _row(entry: AuditEntry) -> dict[str, Any]:
    keys = {name: getattr(entry, name) for name in ("account_id", "client_id", "staff_id", "school_id")}
    return {
        "at": entry.at.isoformat(),
        "kind": entry.kind,
        "result": entry.result,
        **{name: str(key) if key else None for name, key in keys.items()},
        "actor": entry.actor,
        "ip": entry.ip,
        "request_id": entry.request_id,
        "details": readable_details(entry),
        "mac": entry.mac.hex() if entry.mac else None,
    }


blueprint = Blueprint("journal", __name__)
_MOST = f"{MOST:,}".replace(",", "\u202f")
_TYPES = {"csv": naming.CSV, "json": "application/json"}


@blueprint.get("/journal")
@needs(Right.READ_JOURNAL)
def show() -> Response:
    """Show the entries in scope, the youngest first."""
    chosen = filters.read(request.args)
    rows = listing.entries(chosen, listing.PAGE + 1)
    shown = rows[: listing.PAGE]
    older = ""
    if len(rows) > listing.PAGE:
        older = url_for("journal.show", avant=filters.cursor(shown[-1]), **chosen.typed)
    return make_response(
        render_template(
            "desk/journal/journal.html",
            chosen=chosen,
            acts=filters.groups(),
            lines=listing.lines(shown),
            older=older,
            newest=url_for("journal.show", **chosen.typed) if chosen.before else "",
            has_accounts=filters.has_accounts(),
        )
    )


@blueprint.route("/journal/export", methods=["GET", "POST"])
@needs(Right.READ_JOURNAL, fresh=True)
@keeps()
def export() -> Response:
    """Ask for the format; return the entries that the filters select, after the journal recorded the file's digest."""
    chosen, kind = filters.read(request.args), request.form.get("format", "")
    chosen.before = None
    if request.method == "GET":
        return _export_page(chosen)
    if kind not in _TYPES or chosen.faults:
        return _export_page(chosen, gettext("Rien n’a été exporté : corrigez les filtres."))
    rows = listing.entries(chosen, MOST + 1, oldest_first=True)
    if len(rows) > MOST:
        return _export_page(chosen, gettext("Il y a plus de %(n)s lignes : choisissez moins de jours.", n=_MOST))
    content = as_csv(listing.lines(rows)) if kind == "csv" else as_json(rows)
    digest = hashlib.sha256(content)
    with unit_of_work():
        log.record(
            JournalExported(
                account_id=chosen.account_id,
                since=chosen.first,
                until=chosen.last,
                act=chosen.act,
                who=chosen.who,
                format=kind,
                entries=len(rows),
                sha256=digest.hexdigest(),
            )
        )
    response = naming.as_download(content, f"journal-{today().isoformat()}.{kind}", _TYPES[kind])
    response.headers["Repr-Digest"] = f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"  # RFC 9530
    response.headers["X-Content-SHA256"] = digest.hexdigest()
    return response


def _export_page(chosen: filters.Filters, error: str = "") -> Response:
    return make_response(render_template("desk/journal/export.html", chosen=chosen, error=error, most=_MOST))
