"""The paths of files that are not Python: inside the package in a wheel, beside it in a checkout."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _find(name: str) -> Path:
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


TEMPLATES = _find("templates")
MIGRATIONS = _find("migrations")
DOCUMENTS = _find("docs")  # the documents of which `idp dossier` takes sections
CONSTRAINTS = next(
    path for path in (_PACKAGE / "constraints.txt", _PACKAGE.parent / "constraints.txt") if path.exists()
)
"""The dependencies with their hashes."""
STATIC = _PACKAGE / "static"
STATIC_COMPRESSED = _PACKAGE / "static_compressed"
TRANSLATIONS = _PACKAGE / "translations"
CHECKOUT = _PACKAGE.parent  # the folder of the package: the root of a checkout, `site-packages` for a wheel
DEMO = CHECKOUT / "demo" / "commands.py"  # the command of the demonstration; only a checkout has it
