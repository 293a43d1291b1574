"""Where the files that are not Python are: inside the package in a wheel, beside it in a checkout."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _find(name: str) -> Path:
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


TEMPLATES = _find("templates")
MIGRATIONS = _find("migrations")
STATIC = _PACKAGE / "static"
TRANSLATIONS = _PACKAGE / "translations"
CHECKOUT = _PACKAGE.parent
"""The folder around the package: the project's root in a checkout, `site-packages` in a wheel."""
DEMO = CHECKOUT / "demo"
"""The demonstration, in a checkout only."""
