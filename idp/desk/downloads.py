"""Files that leave the desk: their names and their responses."""

import re

from flask import Response, make_response

CSV = "text/csv; charset=utf-8"
PDF = "application/pdf"
_UNSAFE = re.compile(r"[\W_]+")
_LONGEST = 40


def as_download(content: bytes, name: str, media_type: str) -> Response:
    """Return the response that has the browser save a file."""
    response = make_response(content)
    response.headers["Content-Type"] = media_type
    response.headers.set("Content-Disposition", "attachment", filename=name)
    return response


def of_class(class_name: str | None) -> str:
    """Return the part of a file's name that says whose it is: a class, or the whole school."""
    return _UNSAFE.sub("-", class_name or "").strip("-")[:_LONGEST] or "etablissement"
