"""Renders letters as one PDF/UA-1 file: one page for each person, and a second one for a whole translation.

The layout is `templates/letter/letter.typ`; `common.typ` has what the slips share with it. The texts of a letter are
passed as data, so that no name is read as markup. Nothing is written to the disk.
"""

import functools
import itertools
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
from idp.languages import OF_LETTERS
from idp.letters import provisional
from idp.letters.render import postal
from idp.letters.render.postal import address_block, printable
from idp.paths import TEMPLATES

_TEMPLATE = TEMPLATES / "letter" / "letter.typ"
_ENT_URL = re.compile(r"https?://[A-Za-z0-9.\-]+(:\d{1,5})?(/[A-Za-z0-9._~/\-]*)?")
_MAX_ENT_URL = 80  # characters: a longer URL would be printed too small, and is too long to type
_SECRET = re.compile(f"[{provisional.ALPHABET}]{{{provisional.LENGTH}}}")
_INK = "#20262b"
TRANSLATED_UP_TO = 2
"""A letter in so many languages beside French has a page of translations; with more, some lines in each."""


class LetterError(ValueError):
    """Letters cannot be rendered. The message names the accounts, never a secret.

    Attributes:
        usernames: the accounts whose letters are at fault; empty if the fault is not in single letters.
    """

    def __init__(self, message: str, *usernames: str) -> None:
        super().__init__(message, *usernames)
        self.usernames = usernames

    def __str__(self) -> str:
        return str(self.args[0])


class TooLongError(LetterError):
    """A name or a postal address has no room on its letter, even wrapped and at the smallest size."""


class UnknownGlyphError(LetterError):
    """No font has a character of a name or a postal address, as for one in Chinese characters."""


class LetterChild(NamedTuple):
    """A child as named in the letter. `ent_url` is that of its ENT, for a family of several ENTs."""

    given_name: str
    class_name: str
    ent_url: str = ""


class LetterEnt(NamedTuple):
    """An ENT of the family: its URL as a parent types it, and the URL of the QR code, which starts a sign-in there."""

    url: str
    sign_in_url: str


@dataclass(frozen=True, kw_only=True)
class Letter:
    """The data of one page.

    Attributes:
        service_name: the sender, beside the logo.
        academy: the academy's name.
        town: the town of the sender; may be empty.
        printed_on: the day of printing.
        school_name: the school that hands the letter out.
        school_postal_address: its postal lines.
        school_phone: its telephone; may be empty.
        school_hours: when its office answers; may be empty.
        recipient: the person's name and postal address, from the name to the town or country, in any case and length.
        greeting: « Madame », « Monsieur »; if empty, « Madame, Monsieur ».
        children: the children of the account.
        ent_url: the ENT's URL, as a parent types it: `https://`, a host, at most a path.
        sign_in_url: the URL of the QR code, which starts a sign-in; if empty, the QR code has `ent_url`.
        other_ents: the ENTs of the children who are not in that ENT.
        username: the identifier for the sign-in.
        provisional_password: the 12 characters of `provisional.draw`.
        valid_until: the day after the last valid day: « à utiliser avant le ».
        help_phone: the families' help line; may be empty.
        help_hours: its hours; may be empty.
        dpo_mail: the data protection officer's email; may be empty.
        languages: the tags of the languages beside French, in their order; none is possible.
    """

    service_name: str
    academy: str
    town: str
    printed_on: date
    school_name: str
    school_postal_address: Sequence[str] = ()
    school_phone: str = ""
    school_hours: str = ""
    recipient: Sequence[str]
    greeting: str = ""
    children: Sequence[LetterChild]
    ent_url: str
    sign_in_url: str = ""
    other_ents: Sequence[LetterEnt] = ()
    username: str
    provisional_password: str = field(repr=False)
    valid_until: date
    help_phone: str = ""
    help_hours: str = ""
    dpo_mail: str = ""
    languages: Sequence[str] = tuple(OF_LETTERS)

    @property
    def ents(self) -> list[LetterEnt]:
        """The ENTs of the family, that of the letter first."""
        return [LetterEnt(self.ent_url, self.sign_in_url or self.ent_url), *self.other_ents]

    @property
    def has_translation(self) -> bool:
        """Whether the letter has a second page, with the whole text in its languages."""
        return 0 < len(self.languages) <= TRANSLATED_UP_TO


def render(letters: Iterable[Letter]) -> bytes:
    """Return one PDF with one page for each of `letters`, in their order, or two if it `has_translation`.

    Raises:
        TooLongError: a name or a postal address has no room.
        UnknownGlyphError: the fonts have no glyph for a character of one.
        LetterError: there is no letter; a letter has no recipient, an invalid ENT URL, an identifier that the fonts
            cannot draw or an invalid secret; or a letter does not fit on its page.
    """
    batch = list(letters)
    ends = list(itertools.accumulate(2 if letter.has_translation else 1 for letter in batch))
    return typeset(_TEMPLATE, batch, list(zip([1, *(end + 1 for end in ends)], ends, strict=False)))


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
    fault = ""
    if not letter.username or printable(letter.username) != letter.username:
        fault = "its identifier cannot be printed"
    elif not any(printable(line) for line in letter.recipient):
        fault = "it has no recipient"
    elif not _SECRET.fullmatch(letter.provisional_password):
        fault = "its provisional password is invalid"
    else:
        try:
            for ent in letter.ents:
                check_ent_url(ent.url)
        except LetterError as error:
            fault = str(error)
        if not fault and any(letter.provisional_password in ent.sign_in_url for ent in letter.ents):
            fault = "its QR code would hold the provisional password"
    if fault:
        raise LetterError(f"the letter of {_named(letter.username)} cannot be printed: {fault}", letter.username)


def _check_glyphs(batch: Iterable[Letter]) -> None:
    """Check that the names and the postal address of each letter are printed whole: nothing stands for a character."""
    unknown = [letter.username for letter in batch if not all(map(postal.is_whole, _names(letter)))]
    if unknown:
        raise UnknownGlyphError(
            "the fonts have no glyph for a character of a name or a postal address on the letter of "
            f"{', '.join(map(_named, unknown))}",
            *unknown,
        )


def _names(letter: Letter) -> list[str]:
    return [*letter.recipient, *(text for child in letter.children for text in (child.given_name, child.class_name))]


def _named(username: str) -> str:
    return username if username.isascii() and username.isprintable() else ascii(username)


def _page(letter: Letter) -> dict[str, Any]:
    block = address_block(letter.recipient)
    return {
        "service": printable(letter.service_name),
        "academy": printable(letter.academy),
        "town": printable(letter.town),
        "date": _french(letter.printed_on),
        "school": {
            "name": printable(letter.school_name),
            "postal_address": [line for line in map(printable, letter.school_postal_address) if line],
            "phone": printable(letter.school_phone),
            "hours": printable(letter.school_hours),
        },
        "to": block and block._asdict(),
        "name": printable(letter.recipient[0]),
        "greeting": printable(letter.greeting) or "Madame, Monsieur",
        "children": [
            {"given": printable(child.given_name), "class": printable(child.class_name)} for child in letter.children
        ],
        "ents": [
            {
                "url": ent.url,
                "code": ent.sign_in_url,
                "children": [
                    printable(child.given_name)
                    for child in letter.children
                    if child.ent_url == ent.url or not letter.other_ents
                ],
            }
            for ent in letter.ents
        ],
        "username": letter.username,
        "secret": provisional.show(letter.provisional_password).split("-"),
        "valid": _french(letter.valid_until),
        "help": {"phone": printable(letter.help_phone), "hours": printable(letter.help_hours).rstrip(".")},
        "dpo": printable(letter.dpo_mail),
        "languages": list(letter.languages),
        "translated": letter.has_translation,
    }


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

    A letter is then the same on all machines, and `postal` knows what can be drawn.
    """
    folders = [*postal.FOLDERS, postal.CHINESE.parent]
    return typst.Fonts(include_system_fonts=False, font_paths=[str(folder) for folder in folders])


def typeset(template: Path, batch: Sequence[Letter], spans: Sequence[tuple[int, int]]) -> bytes:
    """Return the PDF of `batch`, and check that each letter is on its pages.

    Args:
        template: the layout; it marks the first and the last page of each letter with `<letter>`.
        batch: the letters, in their order.
        spans: the first and last page that each letter must have.

    Raises:
        LetterError: see `render`.
    """
    if not batch:
        raise LetterError("there is no letter to print")
    for letter in batch:
        _check(letter)
    _check_glyphs(batch)
    pdf, pages, unfit = _compile(template, data_of(batch))
    if unfit:
        names = [batch[rank].username for rank in dict.fromkeys(unfit)]
        raise TooLongError(
            f"a name or a postal address has no room on the letter of {', '.join(map(_named, names))}", *names
        )
    for letter, span, first, last in zip(batch, spans, pages[::2], pages[1::2], strict=True):
        if (first, last) != span:
            raise LetterError(
                f"the letter of {letter.username} does not fit on its page: nothing was printed", letter.username
            )
    return pdf


def data_of(batch: Iterable[Letter]) -> dict[str, Any]:
    """Return what the templates read: the texts of the letters, and the QR codes of their URLs."""
    letters = [_page(letter) for letter in batch]
    return {
        "letters": [{"rank": rank, **page} for rank, page in enumerate(letters)],
        "codes": {url: _qr_code(url) for url in {ent["code"] for page in letters for ent in page["ents"]}},
    }


def _compile(template: Path, data: dict[str, Any]) -> tuple[bytes, list[int], list[int]]:
    """Return the PDF, the page of each mark `<letter>`, and the ranks of the letters whose texts have no room."""
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
        pages, unfit = (json.loads(compiler.query(label, field="value")) for label in ("<letter>", "<unfit>"))
    except typst.TypstError as error:
        raise LetterError(f"the letters could not be typeset: {error.message}") from error
    if warnings:
        raise LetterError(f"the letters could not be typeset without a warning: {warnings[0].message}")
    if not isinstance(pdf, bytes):
        raise LetterError("the letters could not be typeset: typst returned no file")
    return pdf, pages, unfit
