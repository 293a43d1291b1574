"""`/adresse/contestation/<token>`: « Ce n’était pas vous ? ». GET shows a button and changes nothing, POST acts."""

from flask import Blueprint, Response, make_response, render_template, request, url_for

from idp.accounts import directory
from idp.accounts.one_time_links import LinkState
from idp.email_confirmation import contest
from idp.services import services
from idp.sessions import bad_links
from idp.web.redirects import see_other

blueprint = Blueprint("email_contest", __name__)

_AFTER = {
    contest.Standing.OURS: "pas_moi_fait.html",
    contest.Standing.CONTESTED: "pas_moi_ferme.html",
    contest.Standing.CHANGED: "pas_moi_regle.html",
}
"""The page of a used link."""


@blueprint.route("/adresse/contestation/<token>", methods=["GET", "POST"])
def alarm(token: str) -> Response:
    """Ask whether to stop the change; on a POST stop it. The page signs nobody in and shows nothing of the account."""
    bad_links.refuse_incomplete(token)
    if request.method == "POST" and contest.stop(services().settings, token):
        return see_other(url_for("email_contest.alarm", token=token))
    alarm_state = contest.look(token)
    match alarm_state.state:
        case LinkState.ALIVE:
            return _page("pas_moi.html", alarm_state)
        case LinkState.USED if request.method == "POST":
            return see_other(url_for("email_contest.alarm", token=token))
        case LinkState.USED:
            open_still = alarm_state.shared and alarm_state.standing is contest.Standing.CONTESTED
            return _page("pas_moi_signale.html" if open_still else _AFTER[alarm_state.standing], alarm_state)
        case _:
            bad_links.count()
            return _page("pas_moi_expire.html", alarm_state, 410)


def _page(name: str, alarm_state: contest.Alarm, status: int = 200) -> Response:
    html = render_template(
        f"email_confirmation/{name}",
        dest=None,
        applied=alarm_state.standing is not contest.Standing.OURS,
        shared=alarm_state.shared,
        schools=directory.tellable(alarm_state.schools),
        hours=services().settings.contest_link_lifetime // 3600,
        forgotten_password_url=url_for("recovery.password"),
    )
    return make_response(html, status)
