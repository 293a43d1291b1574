"""The page that a person asked for before another one came first: the parameter `suite` of a URL."""

from flask import request

_LONGEST = 3000


def path() -> str:
    """Return the path of the page to lead to: of this site only, else the first page."""
    asked = request.args.get("suite", "")
    ours = asked.startswith("/") and not asked.startswith(("//", "/\\")) and asked.isprintable()
    return asked if ours and len(asked) <= _LONGEST else "/"
