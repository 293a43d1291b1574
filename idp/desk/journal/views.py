"""`/journal` and its export."""

import base64
import hashlib

from flask import Blueprint, Response, make_response, render_template, request, url_for
from flask_babel import gettext

from idp.audit import log
from idp.audit.data_events import JournalExported
from idp.clock import today
from idp.db import unit_of_work
from idp.desk import downloads
from idp.desk.access import Right, needs
from idp.desk.journal import acts, files, filters, listing
from idp.desk.kept_forms.keeping import keeps

blueprint = Blueprint("journal", __name__)
_MOST = f"{files.MOST:,}".replace(",", "\u202f")
_TYPES = {"csv": downloads.CSV, "json": "application/json"}


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
            acts=acts.groups(),
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
    rows = listing.entries(chosen, files.MOST + 1, oldest_first=True)
    if len(rows) > files.MOST:
        return _export_page(chosen, gettext("Il y a plus de %(n)s lignes : choisissez moins de jours.", n=_MOST))
    content = files.as_csv(listing.lines(rows)) if kind == "csv" else files.as_json(rows)
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
    response = downloads.as_download(content, f"journal-{today().isoformat()}.{kind}", _TYPES[kind])
    response.headers["Repr-Digest"] = f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"  # RFC 9530
    response.headers["X-Content-SHA256"] = digest.hexdigest()
    return response


def _export_page(chosen: filters.Filters, error: str = "") -> Response:
    return make_response(render_template("desk/journal/export.html", chosen=chosen, error=error, most=_MOST))
