"""Exports of the journal: CSV for a spreadsheet, JSON with the digest of its entries."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from flask_babel import gettext

from idp.audit.models import AuditEntry
from idp.clock import PARIS
from idp.desk import access
from idp.desk.journal.listing import Line, readable_details
from idp.spreadsheet import rows_to_csv

MOST = 20_000
"""The most entries of one file."""


def as_csv(lines: Sequence[Line]) -> bytes:
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


def _cells(line: Line) -> list[str]:
    entry = line.entry
    result = gettext("refusé") if line.refused else gettext("fait")
    at = entry.at.astimezone(PARIS).strftime("%Y-%m-%d %H:%M:%S")
    words = [line.who, line.role, line.what, line.details, line.whom, line.why]
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
