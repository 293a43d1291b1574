"""The menu of the desk: the pages that the role of the person may open."""

from collections.abc import Iterator

from flask import request, url_for
from flask_babel import lazy_gettext as _l

from idp.desk import access
from idp.desk.access import Right

_ENTRIES = (
    ("home.today", _l("Aujourd’hui"), None),
    ("search.search", _l("Rechercher"), Right.READ_FAMILIES),
    ("notices.show", _l("Signalements"), Right.READ_NOTICES),
    ("classes.show", _l("Classes"), Right.READ_CLASSES),
    ("prints.show", _l("Impressions"), Right.PRINT_CLASSES),
    ("files.show", _l("Fichiers"), Right.IMPORT_FILES),
    ("school.show", _l("Établissement"), Right.EDIT_SCHOOL),
    ("team.show", _l("Équipe"), Right.MANAGE_TEAM),
    ("ents.show", _l("ENT"), Right.READ_ENTS),
    ("statistics.show", _l("Activation"), Right.READ_STATISTICS),
    ("journal.show", _l("Journal"), Right.READ_JOURNAL),
    ("people.show", _l("Droits des personnes"), Right.READ_RETENTION),
)
"""The endpoints of the pages, their labels, and the right that each needs."""


def entries() -> Iterator[tuple[str, str, bool]]:
    """Yield the URL and the label of each page, and whether it is the present one."""
    blueprint = request.blueprint or ""
    for endpoint, label, right in _ENTRIES:
        if right is None or access.may(right):
            yield url_for(endpoint), str(label), endpoint.partition(".")[0] == blueprint
