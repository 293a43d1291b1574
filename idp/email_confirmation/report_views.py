"""`/adresse/signalement/<token>`: « Ce n’est pas moi ». GET shows a button and changes nothing, POST reports."""

from flask import Blueprint, Response, make_response, render_template, request, url_for

from idp.accounts import directory
from idp.accounts.one_time_links import LinkState
from idp.email_confirmation import report
from idp.services import services
from idp.sessions import bad_links
from idp.web.redirects import see_other

blueprint = Blueprint("activation_report", __name__)


@blueprint.route("/adresse/signalement/<token>", methods=["GET", "POST"])
def activation(token: str) -> Response:
    """Ask whether somebody else activated the account; on a POST tell the schools. The page signs nobody in."""
    bad_links.refuse_incomplete(token)
    if request.method == "POST" and report.send(token):
        return see_other(url_for("activation_report.activation", token=token))
    link_report = report.look(token)
    match link_report.state:
        case LinkState.ALIVE:
            return _page("activation_autre.html", link_report)
        case LinkState.USED if request.method == "POST":
            return see_other(url_for("activation_report.activation", token=token))
        case LinkState.USED:
            return _page("activation_autre_fait.html", link_report)
        case _:
            bad_links.count()
            return _page("activation_autre_expire.html", link_report, 410)


def _page(name: str, link_report: report.Report, status: int = 200) -> Response:
    html = render_template(
        f"email_confirmation/{name}",
        dest=None,
        schools=directory.tellable(link_report.schools),
        hours=services().settings.contest_link_lifetime // 3600,
    )
    return make_response(html, status)
