"""Pages that endpoints of the protocol show: errors, and forms that a script submits."""

from flask import current_app, has_request_context, render_template

from idp.web.http import Response, current_request


def render(template: str, *, status: int = 200, **context: object) -> Response:
    """Return a page. Templates need Flask's request, which an endpoint of the protocol does not have."""
    if has_request_context():
        html = render_template(template, **context)
    else:
        with current_app.request_context(current_request().for_flask()):
            html = render_template(template, **context)
    return Response(html, status, content_type="text/html; charset=utf-8")
