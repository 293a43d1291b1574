"""The letters as one PDF/UA-1 file: a page per person, never two persons on a page, never a person on two pages.

The layout is `templates/letter/letter.typ`, what it shares with the slips is in `common.typ`. All that changes from one
person to the next is handed to the typesetter as data, so nothing in a name can be read as markup. Nothing is written
to disk: secrets are in the returned bytes alone.
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
from idp.letters import provisional
from idp.letters.render import glyphs
from idp.letters.render.glyphs import printable
from idp.letters.render.postal import address_block
from idp.paths import TEMPLATES

_TEMPLATE = TEMPLATES / "letter" / "letter.typ"
_ADDRESS = re.compile(r"https?://[A-Za-z0-9.\-]+(:\d{1,5})?(/[A-Za-z0-9._~/\-]*)?")
_ADDRESS_AT_MOST = 80  # characters: more would be too small to read, and nobody would type it
_SECRET = re.compile(f"[{provisional.ALPHABET}]{{{provisional.LENGTH}}}")
_INK = "#20262b"


class LetterError(ValueError):
    """Letters cannot be printed as asked. The message names the account and never holds its secret.

    Attributes:
        username: Whose letter is at fault; empty when it is not one letter's.
    """

    def __init__(self, message: str, username: str = "") -> None:
        super().__init__(message, username)
        self.username = username

    def __str__(self) -> str:
        return str(self.args[0])


class LetterChild(NamedTuple):
    """A child as the letter names it."""

    given_name: str
    class_name: str


@dataclass(frozen=True, kw_only=True)
class Letter:
    """All that one page says.

    Attributes:
        service_name: Who writes, beside the logo.
        academy: The academy's name, under it.
        place: The town the letter is written from; may be empty.
        printed_on: The day of printing.
        school_name: The school that hands the letter out.
        school_address: Its postal lines.
        school_phone: Its telephone; may be empty.
        recipient: The person's name and postal address, from the name to the town (or the country). Any case,
            any length: `postal` makes it fit.
        greeting: « Madame », « Monsieur »; when empty, « Madame, Monsieur ».
        children: The children the account is for.
        ent_address: The ENT's address, as a parent types it: `https://`, a host, at most a path.
        username: What the person signs in with.
        provisional_password: The 12 characters of `provisional.draw`.
        valid_until: The last day is the one before: « à utiliser avant le ».
        help_phone: The families' help line; may be empty.
        help_hours: When it answers; may be empty.
        dpo_mail: The data protection officer's address; may be empty.
    """

    service_name: str
    academy: str
    place: str
    printed_on: date
    school_name: str
    school_address: Sequence[str] = ()
    school_phone: str = ""
    recipient: Sequence[str]
    greeting: str = ""
    children: Sequence[LetterChild]
    ent_address: str
    username: str
    provisional_password: str = field(repr=False)
    valid_until: date
    help_phone: str = ""
    help_hours: str = ""
    dpo_mail: str = ""


def render(letters: Iterable[Letter]) -> bytes:
    """Return one PDF with one page for each of `letters`, in their order.

    Raises:
        LetterError: There is no letter, one holds what cannot be printed truthfully (no recipient, an ENT address that
            is not a plain web address, an identifier that the fonts cannot draw, a secret that is not ours), or a
            letter does not hold on one page. Nothing is printed then.
    """
    batch = list(letters)
    return typeset(_TEMPLATE, batch, [(number, number) for number in range(1, len(batch) + 1)])


def check_address(address: str) -> None:
    """Refuse an ENT address that could not be typed, or that could carry a secret.

    Raises:
        LetterError: It is not `https://`, a host and at most a path.
    """
    if not _ADDRESS.fullmatch(address) or len(address) > _ADDRESS_AT_MOST:
        raise LetterError(
            f"the ENT’s address must be http(s)://host/path, without anything after, in {_ADDRESS_AT_MOST} characters "
            f"at most: {address!r}"
        )


def _check(letter: Letter) -> None:
    """Refuse what would make a false letter: an address, an identifier and a secret are of use only when exact."""
    fault = ""
    if not letter.username or printable(letter.username) != letter.username or "?" in letter.username:
        fault = "this identifier cannot be read on paper"
    elif not address_block(letter.recipient):
        fault = "it has no recipient"
    elif not _SECRET.fullmatch(letter.provisional_password):
        fault = "its provisional password is not one of ours"
    else:
        try:
            check_address(letter.ent_address)
        except LetterError as refused:
            fault = str(refused)
    if fault:
        name = (
            letter.username if letter.username.isascii() and letter.username.isprintable() else ascii(letter.username)
        )
        raise LetterError(f"the letter of {name} cannot be printed: {fault}", letter.username)


def _page(letter: Letter) -> dict[str, Any]:
    """Return what the template reads of a letter: text only, cleaned, and no longer than its place on the page."""
    return {
        "service": _short(letter.service_name, 60),
        "academy": _short(letter.academy, 80),
        "place": _short(letter.place, 80),
        "date": _french(letter.printed_on),
        "school": {
            "name": _short(letter.school_name, 100),
            "address": [_short(line, 50) for line in letter.school_address if line.strip()][:4],
            "phone": _short(letter.school_phone, 30),
        },
        "to": address_block(letter.recipient),
        "name": _short(letter.recipient[0], 80),
        "greeting": _short(letter.greeting, 30) or "Madame, Monsieur",
        "children": [
            {"given": _short(child.given_name, 40), "class": _short(child.class_name, 40)} for child in letter.children
        ],
        "ent": letter.ent_address,
        "username": letter.username,
        "secret": provisional.show(letter.provisional_password).split("-"),
        "valid": _french(letter.valid_until),
        "help": {"phone": _short(letter.help_phone, 30), "hours": _short(letter.help_hours, 80).rstrip(".")},
        "dpo": _short(letter.dpo_mail, 120),
    }


def _short(text: str, most: int) -> str:
    """Return `text` cleaned, on one line, cut with an ellipsis beyond `most` characters."""
    clean = printable(text)
    return clean if len(clean) <= most else clean[: most - 1].rstrip() + "…"


def _french(day: date) -> str:
    """Return « 24 novembre 2026 », and « 1er » for the first of a month."""
    return format_date(day, "d MMMM y", locale="fr").replace("1 ", "1er ", 1 if day.day == 1 else 0)


def _qr_code(address: str) -> str:
    """Return the QR code of an address, as SVG. A fixed mask reads as well and spares the search for the best one."""
    code = segno.make_qr(address, error="m", mask=3, boost_error=False)
    return str(code.svg_inline(border=4, dark=_INK, light="#ffffff", omitsize=True))


@functools.cache
def _fonts() -> typst.Fonts:
    """Return our fonts and those inside typst (DejaVu Sans Mono, for the secrets), never the machine's.

    The letter is then the same everywhere, and what `glyphs` knows is true.
    """
    return typst.Fonts(include_system_fonts=False, font_paths=[str(folder) for folder in glyphs.FOLDERS])


def typeset(template: Path, batch: Sequence[Letter], places: Sequence[tuple[int, int]]) -> bytes:
    """Return the PDF that `template` makes of `batch`, once it is certain that each letter is whole and in its place.

    Args:
        template: marks where each letter begins and ends with its page, `<letter>`.
        batch: the letters, in their order.
        places: the pages on which each must begin and end.

    Raises:
        LetterError: as `render`.
    """
    if not batch:
        raise LetterError("there is no letter to print")
    for letter in batch:
        _check(letter)
    data = {
        "letters": [_page(letter) for letter in batch],
        "codes": {address: _qr_code(address) for address in {letter.ent_address for letter in batch}},
    }
    pdf, pages = _compile(template, data)
    for letter, place, first, last in zip(batch, places, pages[::2], pages[1::2], strict=True):
        if (first, last) != place:
            raise LetterError(
                f"the letter of {letter.username} does not hold on one page: nothing was printed", letter.username
            )
    return pdf


def _compile(template: Path, data: dict[str, Any]) -> tuple[bytes, list[int]]:
    """Return the PDF, and the pages that its marks are on."""
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
        raise LetterError(f"the letters could not be typeset as designed: {warnings[0].message}")
    if not isinstance(pdf, bytes):
        raise LetterError("the letters could not be typeset: no file was made")
    return pdf, pages
