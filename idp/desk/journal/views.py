"""`/journal` and its export: the entries in scope, in words."""

import base64
import hashlib
import json
import re
import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from flask import Blueprint, Response, current_app, request, url_for
from flask_babel import force_locale, gettext
from sqlalchemy import ColumnElement, Select, and_, or_, select, union

from idp.accounts.models import Account, Child, School
from idp.audit import log
from idp.audit.catalogue import WORDS
from idp.audit.data_events import GuardianWaits, JournalExported
from idp.audit.desk_events import DeskRefused, PasswordsForced
from idp.audit.models import OK, AuditEntry
from idp.clients.models import Client
from idp.clock import PARIS, today
from idp.db import Base, db, unit_of_work
from idp.desk import access, fields, naming
from idp.desk.access import Right, needs
from idp.desk.journal import filters
from idp.desk.journal.filters import Filters, capital
from idp.desk.kept_forms import keeps
from idp.desk.staff.models import Role, StaffAccount
from idp.desk.team import colleagues
from idp.operations.personal_data.words import in_words, known_details
from idp.spreadsheet import rows_to_csv
from idp.web.redirects import render_page

MOST = 20_000


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
    rows = entries(chosen, PAGE + 1)
    shown = rows[:PAGE]
    older = ""
    if len(rows) > PAGE:
        older = url_for("journal.show", avant=filters.cursor(shown[-1]), **chosen.parameters)
    return render_page(
        "desk/journal/journal.html",
        chosen=chosen,
        acts=filters.groups(),
        lines=lines(shown),
        older=older,
        newest=url_for("journal.show", **chosen.parameters) if chosen.before else "",
        has_accounts=filters.has_accounts(),
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
    rows = entries(chosen, MOST + 1, oldest_first=True)
    if len(rows) > MOST:
        return _export_page(chosen, gettext("Il y a plus de %(n)s lignes : choisissez moins de jours.", n=_MOST))
    content = as_csv(lines(rows)) if kind == "csv" else as_json(rows)
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
    return render_page("desk/journal/export.html", chosen=chosen, error=error, most=_MOST)


PAGE = 50
_ID = re.compile(r"<[^>]*>")


def entries(filters: Filters, limit: int, *, oldest_first: bool = False) -> Sequence[AuditEntry]:
    """Return the entries in scope that the filters select, the youngest first, by one statement.

    The scope, or the people, are several conditions of which one holds. The statement reads the first entries of each
    in the order of an index, so that the journal's size does not matter.
    """
    if filters.people is None:
        parts = access.journal_parts()
    else:
        parts = [and_(of_person, access.journal()) for of_person in filters.people]
    if not parts:
        return []
    at, key = AuditEntry.at, AuditEntry.id
    chosen = [_ordered(_chosen(filters, part), at, key, limit, oldest_first=oldest_first) for part in parts]
    if len(chosen) == 1:
        return db.session.scalars(chosen[0]).all()
    every = union(*(select(each.with_only_columns(at, key).subquery()) for each in chosen)).subquery()
    first = _ordered(select(every.c.id), every.c.at, every.c.id, limit, oldest_first=oldest_first)
    whole = select(AuditEntry).where(key.in_(first))
    return db.session.scalars(_ordered(whole, at, key, limit, oldest_first=oldest_first)).all()


def _ordered(statement: Select[Any], at: Any, key: Any, limit: int, *, oldest_first: bool) -> Select[Any]:
    return statement.order_by(*((at, key) if oldest_first else (at.desc(), key.desc()))).limit(limit)


def _chosen(filters: Filters, part: ColumnElement[bool]) -> Select[AuditEntry]:
    statement: Select[AuditEntry] = select(AuditEntry).where(part, *filters.conditions)
    if filters.before is None:
        return statement
    at, (moment, last) = AuditEntry.at, filters.before
    return statement.where(and_(at <= moment, or_(at < moment, AuditEntry.id < last)))


def lines(rows: Sequence[AuditEntry]) -> list[dict[str, Any]]:
    """Return entries in words, with the names of the people and the ENTs that exist.

    Each line has the `entry`; `who` acted, in which `role` or from where else; `what` was done, with `details`; `whom`
    it concerned, with the key of the `account` if its page may be opened; `why`; and whether it was `refused`.
    """
    staff_keys = (key for row in rows for key in (row.staff_id, fields.key(row.details.get("staff"))))
    staff = _names(StaffAccount, [StaffAccount.name], staff_keys) | _emails_of_unseen(rows)
    accounts = _names(Account, [Account.given_name, Account.family_name], (row.account_id for row in rows))
    clients = _names(Client, [Client.name], (row.client_id for row in rows))
    children = _names(
        Child, [Child.given_name, Child.family_name], (fields.key(row.details.get("child")) for row in rows)
    )
    schools = _names(School, [School.name], (row.school_id for row in rows))
    return [_line(row, staff, accounts, clients, children, schools) for row in rows]


_Names = dict[uuid.UUID | None, str]


def _line(
    row: AuditEntry, staff: _Names, accounts: _Names, clients: _Names, children: _Names, schools: _Names
) -> dict[str, Any]:
    by_desk = row.details.get("desk") or {}
    school = schools.get(row.school_id, "")
    concerned = [
        accounts.get(row.account_id, gettext("compte supprimé")) if row.account_id else "",
        children.get(fields.key(row.details.get("child")), ""),
        staff.get(fields.key(row.details.get("staff")), "") if row.details.get("staff") != str(row.staff_id) else "",
        clients.get(row.client_id, ""),
    ]
    opens = row.account_id in accounts and access.may(Right.READ_FAMILIES)
    return {
        "entry": row,
        "who": _who(row, staff),
        "role": " · ".join(part for part in (_role(by_desk.get("role")), school) if part),
        "what": capital(WORDS.get(row.kind, row.kind)),
        "details": _refused_page(row) if row.kind == DeskRefused.kind else _details(readable_details(row)),
        "whom": ", ".join(part for part in concerned if part),
        "account": row.account_id if opens else None,
        "why": _why(row, by_desk),
        "refused": row.result != OK and row.kind != DeskRefused.kind,  # whose words say it
    }


def _why(row: AuditEntry, by_desk: dict[str, Any]) -> str:
    """Return the reason, and the document behind it; a sign-in has none, but a code."""
    if row.kind == "staff.sign_in":
        return ""
    reason, document = row.details.get("reason") or by_desk.get("reason"), row.details.get("reference")
    return str(
        gettext("%(reason)s (document : %(document)s)", reason=reason, document=document) if document else reason or ""
    )


def _who(row: AuditEntry, staff: _Names) -> str:
    if row.staff_id is not None:
        return staff.get(row.staff_id) or str(gettext("personne supprimée"))
    if row.actor:
        return str(gettext("commande, %(user)s", user=row.actor))
    return str(
        gettext("la personne elle-même") if row.account_id or row.details.get("staff") else gettext("le service")
    )


def _role(value: object) -> str:
    try:
        return str(access.spec(Role(value)).label)
    except ValueError:
        return ""


def readable_details(entry: AuditEntry) -> dict[str, Any]:
    """Return the details of an entry as the person may read them.

    Who reads no families reads no number of a school's families. A school does not read why a guardian waits for its
    head, because the reason may tell that somebody is closed in another school.
    """
    hidden = set()
    if entry.kind == PasswordsForced.kind and not access.may(Right.READ_FAMILIES):
        hidden.add("count")
    if entry.kind == GuardianWaits.kind and access.post().school is not None:
        hidden.add("wait")
    return {name: value for name, value in entry.details.items() if name not in hidden}


def _details(details: dict[str, Any]) -> str:
    shown = known_details(
        {name: value for name, value in details.items() if name not in {"desk", "reason", "reference"}}
    )
    role = _role(details.get("role"))
    with force_locale("fr"):
        text = in_words("audit", "details", shown) if shown else ""
    return " ; ".join(part for part in (role, text) if part)


def _refused_page(row: AuditEntry) -> str:
    page = str(row.details.get("page", ""))
    with suppress(KeyError):
        page = _ID.sub("…", next(current_app.url_map.iter_rules(page)).rule)
    role = _role((row.details.get("desk") or {}).get("role"))
    return str(gettext("page %(page)s, rôle : %(role)s", page=page, role=role or gettext("aucun")))


def _emails_of_unseen(rows: Sequence[AuditEntry]) -> _Names:
    """Return the mail addresses of the people of whom an inviter knows no more, as on the page of the team."""
    if not access.may(Right.MANAGE_TEAM) or access.may(Right.MANAGE_ALL_TEAMS):
        return {}
    concerned = {key for row in rows if (key := fields.key(row.details.get("staff")))}
    return colleagues.emails_of_unseen(concerned)


def _names(table: type[Base], columns: list[Any], keys: Iterable[uuid.UUID | None]) -> _Names:
    known = {key for key in keys if key is not None}
    if not known:
        return {}
    rows = db.session.execute(select(table.id, *columns).where(table.id.in_(known)))  # type: ignore[attr-defined]
    return {key: " ".join(parts) for key, *parts in rows}
