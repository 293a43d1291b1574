"""`/familles/<pupil>` of the desk."""

import uuid

from flask import Blueprint, Response, make_response, render_template, request
from flask_babel import gettext

from idp.desk import access, reading
from idp.desk.access import Right, needs
from idp.desk.families import subjects

blueprint = Blueprint("families", __name__)


@blueprint.get("/familles/<uuid:pupil>")
@needs(Right.READ_FAMILIES)
def show(pupil: uuid.UUID) -> Response:
    """Show a pupil with the guardians side by side: the state of each, what to say, the next step."""
    child = access.child(pupil)
    reading.note_pupil(child.id)
    guardians = subjects.guardians(child)
    page = render_template(
        "desk/families/famille.html",
        child=child,
        guardians=guardians,
        former=subjects.former_guardians(child),
        ents=subjects.entrances(tie for _, tie in guardians),
        done=_ended() if request.args.get("fait") == "finie" else "",
    )
    return make_response(page)


def _ended() -> str:
    """Return what the end of the suspension of a former guardian did."""
    return str(gettext("Cette suspension est finie. Rien ne s’ouvre tant que le fichier ne nomme pas cette personne."))
