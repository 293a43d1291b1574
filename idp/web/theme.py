"""Static files, cached for a year under a version; the operator's theme; the names that all pages show."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from wsgiref.headers import Headers

from flask import Flask
from whitenoise import WhiteNoise
from whitenoise.responders import StaticFile

from idp import precompressed
from idp.config import Settings, read_hours
from idp.languages import SOURCE
from idp.paths import STATIC
from idp.web import i18n
from idp.web.door import Door


def phone_link(number: str) -> str:
    """Return the `tel:` URL of a telephone number, in international form if it is French."""
    digits = "".join(c for c in number if c.isdigit() or c == "+")
    return "tel:" + (f"+33{digits[1:]}" if digits.startswith("0") and len(digits) == 10 else digits)  # noqa: PLR2004


class _Files(WhiteNoise):  # type: ignore[misc]
    """Static files: the service's with the compressed files of its build, a theme's with those that lie beside them."""

    def get_static_file(self, path: str, url: str, stat_cache: Any = None) -> StaticFile:
        file = Path(path)
        if file.parent != STATIC:
            return super().get_static_file(path, url, stat_cache)
        headers = Headers([])
        self.add_mime_headers(headers, path, url)
        self.add_cache_headers(headers, path, url)
        self.add_headers_function(headers, path, url)
        return StaticFile(path, headers.items(), encodings=precompressed.variants(file))


@dataclass(frozen=True)
class Support:
    """The contact for families; each part may be empty."""

    phone: str
    hours: str
    url: str

    @property
    def phone_link(self) -> str:
        """The number as a `tel:` URL."""
        return phone_link(self.phone)

    @property
    def hours_in_words(self) -> str:
        """The hours in the page's language, or the operator's text, which is French."""
        return i18n.opening_hours(self.hours)

    @property
    def hours_language(self) -> str:
        """The language of `hours_in_words`."""
        return i18n.language() if read_hours(self.hours) else SOURCE


def configure(app: Flask, door: Door, settings: Settings) -> None:
    """Serve `idp/static` and the theme, and set the globals of templates."""
    files = {f"static/{path.relative_to(STATIC)}": path for path in STATIC.rglob("*") if path.is_file()}
    if settings.theme:
        files |= {f"static/theme/{p.relative_to(settings.theme)}": p for p in settings.theme.rglob("*") if p.is_file()}
    versions = {name: precompressed.digest(path) for name, path in files.items()}

    def asset(name: str) -> str:
        return f"/static/{name}?v={versions.get(f'static/{name}', '0')}"

    white = _Files(door.pages, max_age=31536000, allow_all_origins=False, add_headers_function=_headers)
    white.add_files(str(STATIC), prefix="static/")
    if settings.theme:
        white.add_files(str(settings.theme), prefix="static/theme/")
    door.pages, door.files = white, white.files
    app.jinja_env.filters["phone_link"] = phone_link
    app.jinja_env.globals.update(
        asset=asset,
        theme_url=asset("theme/tokens.css") if settings.theme else None,
        logo_url=asset("theme/logo.svg" if "static/theme/logo.svg" in files else "logo.svg"),
        service_name=settings.service_name,
        academy=settings.academy,
        shared_mailbox=settings.shared_mailbox,
        support=Support(settings.support_phone, settings.support_hours, settings.support_url),
    )


def _headers(headers: Any, path: str, _url: str) -> None:
    """Set the policy of what a browser may show as a document: a picture, a text."""
    if Path(path).suffix not in {".css", ".js"}:
        headers["Content-Security-Policy"] = "default-src 'none'"
