"""Renders letters as one PDF/UA-1 file, exactly one page for each person.

The layout is `templates/letter/letter.typ`; `common.typ` has what the slips share with it. The texts of a letter are
passed as data, so that no name is read as markup. Nothing is written to the disk.
"""

import functools
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import segno
import typst
from babel.dates import format_date

from idp.clock import now
from idp.letter_languages import LANGUAGES
from idp.letters import provisional
from idp.letters.render import glyphs
from idp.letters.render.glyphs import printable
from idp.letters.render.postal import address_block
from idp.paths import TEMPLATES

_TEMPLATE = TEMPLATES / "letter" / "letter.typ"
_ENT_URL = re.compile(r"https?://[A-Za-z0-9.\-]+(:\d{1,5})?(/[A-Za-z0-9._~/\-]*)?")
_MAX_ENT_URL = 80  # characters: a longer URL would be printed too small, and is too long to type
_SECRET = re.compile(f"[{provisional.ALPHABET}]{{{provisional.LENGTH}}}")
_INK = "#20262b"


class LetterError(ValueError):
    """Letters cannot be rendered. The message names the account, never its secret.

    Attributes:
        username: the account whose letter is at fault; empty if the fault is not in one letter.
    """

    def __init__(self, message: str, username: str = "") -> None:
        super().__init__(message, username)
        self.username = username

    def __str__(self) -> str:
        return str(self.args[0])


class LetterChild(NamedTuple):
    """A child as named in the letter."""

    given_name: str
    class_name: str


@dataclass(frozen=True, kw_only=True)
class Letter:
    """The data of one page.

    Attributes:
        service_name: the sender, beside the logo.
        academy: the academy's name.
        place: the town of the sender; may be empty.
        printed_on: the day of printing.
        school_name: the school that hands the letter out.
        school_postal_address: its postal lines.
        school_phone: its telephone; may be empty.
        school_hours: when its office answers; may be empty.
        recipient: the person's name and postal address, from the name to the town or country, in any case and length.
        greeting: « Madame », « Monsieur »; if empty, « Madame, Monsieur ».
        children: the children of the account.
        ent_url: the ENT's URL, as a parent types it: `https://`, a host, at most a path.
        username: the identifier for the sign-in.
        provisional_password: the 12 characters of `provisional.draw`.
        valid_until: the day after the last valid day: « à utiliser avant le ».
        help_phone: the families' help line; may be empty.
        help_hours: its hours; may be empty.
        dpo_mail: the data protection officer's email; may be empty.
        languages: the tags of the languages of the lines below the French text, in their order; none is possible.
    """

    service_name: str
    academy: str
    place: str
    printed_on: date
    school_name: str
    school_postal_address: Sequence[str] = ()
    school_phone: str = ""
    school_hours: str = ""
    recipient: Sequence[str]
    greeting: str = ""
    children: Sequence[LetterChild]
    ent_url: str
    username: str
    provisional_password: str = field(repr=False)
    valid_until: date
    help_phone: str = ""
    help_hours: str = ""
    dpo_mail: str = ""
    languages: Sequence[str] = tuple(LANGUAGES)


def render(letters: Iterable[Letter]) -> bytes:
    """Return one PDF with one page for each of `letters`, in their order.

    Raises:
        LetterError: there is no letter; a letter has no recipient, an invalid ENT URL, an identifier that the fonts
            cannot draw or an invalid secret; or a letter does not fit on one page.
    """
    batch = list(letters)
    return typeset(_TEMPLATE, batch, [(number, number) for number in range(1, len(batch) + 1)])


def check_ent_url(ent_url: str) -> None:
    """Check that a person can type an ENT's URL, and that it carries no secret.

    Raises:
        LetterError: it is not `https://`, a host and at most a path.
    """
    if not _ENT_URL.fullmatch(ent_url) or len(ent_url) > _MAX_ENT_URL:
        raise LetterError(
            f"the URL of the ENT must be http(s)://host/path, without query, in {_MAX_ENT_URL} characters: {ent_url!r}"
        )


def _check(letter: Letter) -> None:
    """Check the URL, the identifier and the secret, which must be printed without any change."""
    fault = ""
    if not letter.username or printable(letter.username) != letter.username or "?" in letter.username:
        fault = "its identifier cannot be printed"
    elif not address_block(letter.recipient):
        fault = "it has no recipient"
    elif not _SECRET.fullmatch(letter.provisional_password):
        fault = "its provisional password is invalid"
    else:
        try:
            check_ent_url(letter.ent_url)
        except LetterError as error:
            fault = str(error)
    if fault:
        name = (
            letter.username if letter.username.isascii() and letter.username.isprintable() else ascii(letter.username)
        )
        raise LetterError(f"the letter of {name} cannot be printed: {fault}", letter.username)


def _page(letter: Letter) -> dict[str, Any]:
    """Return the texts of a letter for the template, cleaned and no longer than their place on the page."""
    return {
        "service": _short(letter.service_name, 60),
        "academy": _short(letter.academy, 80),
        "place": _short(letter.place, 80),
        "date": _french(letter.printed_on),
        "school": {
            "name": _short(letter.school_name, 100),
            "postal_address": [_short(line, 50) for line in letter.school_postal_address if line.strip()][:4],
            "phone": _short(letter.school_phone, 30),
            "hours": _short(letter.school_hours, 80),
        },
        "to": address_block(letter.recipient),
        "name": _short(letter.recipient[0], 80),
        "greeting": _short(letter.greeting, 30) or "Madame, Monsieur",
        "children": [
            {"given": _short(child.given_name, 40), "class": _short(child.class_name, 40)} for child in letter.children
        ],
        "ent": letter.ent_url,
        "username": letter.username,
        "secret": provisional.show(letter.provisional_password).split("-"),
        "valid": _french(letter.valid_until),
        "help": {"phone": _short(letter.help_phone, 30), "hours": _short(letter.help_hours, 80).rstrip(".")},
        "dpo": _short(letter.dpo_mail, 120),
        "languages": list(letter.languages),
    }


def _short(text: str, max_length: int) -> str:
    """Return `text` cleaned, on one line, cut with an ellipsis at `max_length` characters."""
    clean = printable(text)
    return clean if len(clean) <= max_length else clean[: max_length - 1].rstrip() + "…"


def _french(day: date) -> str:
    """Return « 24 novembre 2026 », and « 1er » for the first of a month."""
    return format_date(day, "d MMMM y", locale="fr").replace("1 ", "1er ", 1 if day.day == 1 else 0)


def _qr_code(url: str) -> str:
    """Return the QR code of a URL, as SVG. A fixed mask is as readable, and five times faster than the best one."""
    code = segno.make_qr(url, error="m", mask=3, boost_error=False)
    return str(code.svg_inline(border=4, dark=_INK, light="#ffffff", omitsize=True))


@functools.cache
def _fonts() -> typst.Fonts:
    """Return the fonts of the packages and of typst (DejaVu Sans Mono, for the secrets), not those of the machine.

    A letter is then the same on all machines, and `glyphs` knows what can be drawn.
    """
    return typst.Fonts(include_system_fonts=False, font_paths=[str(folder) for folder in glyphs.FOLDERS])


def typeset(template: Path, batch: Sequence[Letter], places: Sequence[tuple[int, int]]) -> bytes:
    """Return the PDF of `batch`, and check that each letter is on its pages.

    Args:
        template: the layout; it marks the first and the last page of each letter with `<letter>`.
        batch: the letters, in their order.
        places: the first and last page that each letter must have.

    Raises:
        LetterError: see `render`.
    """
    if not batch:
        raise LetterError("there is no letter to print")
    for letter in batch:
        _check(letter)
    data = {
        "letters": [_page(letter) for letter in batch],
        "codes": {url: _qr_code(url) for url in {letter.ent_url for letter in batch}},
    }
    pdf, pages = _compile(template, data)
    for letter, place, first, last in zip(batch, places, pages[::2], pages[1::2], strict=True):
        if (first, last) != place:
            raise LetterError(
                f"the letter of {letter.username} does not fit on one page: nothing was printed", letter.username
            )
    return pdf


def _compile(template: Path, data: dict[str, Any]) -> tuple[bytes, list[int]]:
    """Return the PDF, and the page of each mark."""
    compiler = typst.Compiler(
        template,
        root=template.parent,
        font_paths=_fonts(),
        ignore_system_fonts=True,
        sys_inputs={"data": json.dumps(data, ensure_ascii=False)},
    )
    try:
        pdf, warnings = compiler.compile_with_warnings(
            format="pdf", pdf_standards="ua-1", timestamp=now().replace(microsecond=0)
        )
        pages = json.loads(compiler.query("<letter>", field="value"))
    except typst.TypstError as error:
        raise LetterError(f"the letters could not be typeset: {error.message}") from error
    if warnings:
        raise LetterError(f"the letters could not be typeset without a warning: {warnings[0].message}")
    if not isinstance(pdf, bytes):
        raise LetterError("the letters could not be typeset: typst returned no file")
    return pdf, pages
