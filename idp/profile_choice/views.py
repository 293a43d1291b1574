"""`/profil` and `/profil/ailleurs`."""

from flask import Blueprint, Response, make_response, render_template, request

from idp.interaction import store
from idp.profile_choice.profiles import PARENT, PROFILES, cookie, find
from idp.services import services
from idp.web.browser import cookie_options
from idp.web.declarations import leads_to_ent
from idp.web.errors import not_found
from idp.web.redirects import see_other

blueprint = Blueprint("profile_choice", __name__)

_REMEMBERED_SECONDS = 180 * 86400


@blueprint.route("/profil", methods=["GET", "POST"])
@leads_to_ent
def choose() -> Response | str:
    """Ask for the person's profile; on a POST, continue, and remember in this browser that it is a parent's.

    Another profile is not remembered: a pupil on the family's tablet would send the parent elsewhere next time.
    """
    interaction = store.current()
    client = store.client_of(interaction)
    profile = find(request.form.get("profil", "")[:20]) if request.method == "POST" else None
    if profile is None:
        back_url = store.decline_url(interaction)
        return render_template("profile_choice/profil.html", dest=client, profiles=PROFILES, back_url=back_url)
    chosen = (interaction or store.Interaction()).with_profile(profile.key)
    if profile.key == PARENT:
        target = store.resume_url(chosen) if chosen.request else store.page_url("login.sign_in", chosen)
    else:
        doors = dict(client.profile_uris) if client else {}
        target = doors.get(profile.key) or store.page_url("profile_choice.elsewhere", chosen)
    response = see_other(target)
    options = cookie_options(services().settings)
    if profile.key == PARENT:
        response.set_cookie(cookie(), PARENT, max_age=_REMEMBERED_SECONDS, **options)
    else:
        response.delete_cookie(cookie(), **options)
    return response


@blueprint.get("/profil/ailleurs")
def elsewhere() -> Response | str:
    """Show where people of another profile sign in."""
    interaction = store.current()
    profile = find(interaction.profile) if interaction else None
    if profile is None or profile.key == PARENT:
        not_found()
    client = store.client_of(interaction)
    doors = dict(client.profile_uris) if client else {}
    return make_response(
        render_template(
            "profile_choice/ailleurs.html",
            dest=client,
            profile=profile,
            door_url=doors.get(profile.key, ""),
            choose_url=store.page_url("profile_choice.choose", interaction),
            back_url=store.decline_url(interaction),
        )
    )
