"""The page that a person asked for before another one came first: the parameter `suite` of a URL."""

from flask import current_app, request

_LONGEST = 3000


def path() -> str:
    """Return the path of the page to lead to: of this site only, else the first page."""
    suite = request.args.get("suite", "")
    ours = suite.startswith("/") and not suite.startswith(("//", "/\\")) and suite.isprintable()
    return suite if ours and len(suite) <= _LONGEST else "/"


def asked() -> str:
    """Return the path and query of the page that was asked for; for a form without a page, the path of that above."""
    adapter, page = current_app.url_map.bind(""), request.path
    while page and request.method not in {"GET", "HEAD"} and not adapter.test(page, "GET"):
        page = page.rpartition("/")[0]
    query = request.query_string.decode("latin-1") if page == request.path else ""
    return f"{page}?{query}" if query else page or "/"
