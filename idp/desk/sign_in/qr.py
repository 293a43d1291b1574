"""QR codes as SVG, for authenticator applications."""

import segno
from markupsafe import Markup


def as_svg(text: str) -> Markup:
    """Return the QR code of a text as an inline SVG, black on white whatever the theme."""
    code = segno.make(text, error="m", micro=False)
    return Markup(code.svg_inline(scale=4, border=4, dark="#000", light="#fff", omitsize=True))  # noqa: S704 - drawn by segno
