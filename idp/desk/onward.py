"""The page that a person asked for before another one came first: the parameter `suite` of a URL."""

from flask import request

_LONGEST = 3000


def path() -> str:
    """Return the path of the page to lead to: of this site only, else the first page."""
    suite = request.args.get("suite", "")
    ours = suite.startswith("/") and not suite.startswith(("//", "/\\")) and suite.isprintable()
    return suite if ours and len(suite) <= _LONGEST else "/"
