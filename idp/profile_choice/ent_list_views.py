"""`/mon-ent`."""

from flask import Blueprint, render_template

from idp.profile_choice import ent_list

blueprint = Blueprint("ent_list", __name__)


@blueprint.get("/mon-ent")
def show() -> str:
    """« Trouvez votre ENT »: a link to each ENT, with its schools."""
    return render_template("profile_choice/mon_ent.html", dest=None, entries=ent_list.entries())
