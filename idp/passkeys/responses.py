"""The answer to a script that begins a ceremony."""

from flask import Response, jsonify


def as_json(options: str) -> Response:
    """Return options for the browser's passkeys, which are JSON already."""
    response = jsonify()
    response.set_data(options)
    return response
