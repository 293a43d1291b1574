"""`python -m tests.catalogues`: write the texts of parents into the catalogues of idp/translations/.

The headers of the catalogues have fixed dates, so that a second run changes nothing.
"""

from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory

from babel.messages import Catalog
from babel.messages.frontend import CommandLineInterface
from babel.messages.pofile import read_po

from idp.languages import OWN_NAMES, SOURCE, locale_name
from idp.paths import CHECKOUT, TRANSLATIONS

_KEYWORDS = ("lazy_gettext", "_l", "lazy_ngettext:1,2", "plurals:1,2")
"""What marks a text, beside the names that Babel knows: `_`, `gettext`, `ngettext`."""


def locales() -> list[str]:
    return [locale_name(language) for language in OWN_NAMES if language != SOURCE]


def path_of(locale: str) -> Path:
    return TRANSLATIONS / locale / "LC_MESSAGES" / "messages.po"


def read(path: Path, locale: str | None = None) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, locale=locale)


def extract(target: Path) -> None:
    keywords = [part for keyword in _KEYWORDS for part in ("--keyword", keyword)]
    mapping = ("--mapping-file", str(TRANSLATIONS / "babel.cfg"))
    plain = ("--add-location", "file", "--no-wrap")
    with chdir(CHECKOUT):  # the catalogues name the files as the repository does
        _pybabel("extract", *mapping, *keywords, *plain, "--output", str(target), ".")


def update(template: Path) -> None:
    """Write the texts of `template` into each catalogue; translations of texts that are gone are dropped."""
    same = ("--no-fuzzy-matching", "--ignore-obsolete", "--ignore-pot-creation-date", "--no-wrap")
    for locale in locales():
        action = "update" if path_of(locale).exists() else "init"
        options = same if action == "update" else ("--no-wrap",)
        where = ("--input-file", str(template), "--output-dir", str(TRANSLATIONS), "--locale", locale)
        _pybabel(action, *where, *options)


def compile_stale() -> None:
    """Compile the catalogues if one was changed since; the service reads the .mo files."""
    if any(_is_stale(path_of(locale)) for locale in locales()):
        _pybabel("compile", "--directory", str(TRANSLATIONS))


def _is_stale(path: Path) -> bool:
    compiled = path.with_suffix(".mo")
    return not compiled.exists() or compiled.stat().st_mtime < path.stat().st_mtime


def _pybabel(command: str, *arguments: str) -> None:
    CommandLineInterface().run(["pybabel", "--quiet", command, *arguments])  # type: ignore[no-untyped-call]


def main() -> None:
    with TemporaryDirectory() as folder:
        template = Path(folder, "messages.pot")
        extract(template)
        update(template)


if __name__ == "__main__":
    main()
