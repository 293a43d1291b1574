"""Composes a letter from the rows of an account and of the school that writes to it."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from idp import letter_languages
from idp.accounts.models import Account, School
from idp.clock import day_of, now, today
from idp.config import Settings
from idp.letters.render.pdf import Letter, LetterChild

_GREETINGS = {"Mme": "Madame", "M.": "Monsieur"}
_HOME = frozenset({"", "france"})
_SPECIMEN = "EXEMP1E00000"
_POSTCODE = re.compile(r"\d{5}\s+(\S.*)")


def compose(
    settings: Settings, account: Account, school: School, ent_url: str, secret: str, expires_at: datetime
) -> Letter:
    """Return the letter of `school` to an account. It names all children of the account, in any school."""
    town = f"{account.postcode} {account.city}".strip()
    country = "" if account.country.strip().casefold() in _HOME else account.country
    return Letter(
        service_name=settings.service_name,
        academy=settings.academy,
        place=_town(school.postal_address),
        printed_on=today(),
        school_name=school.name,
        school_postal_address=school.postal_address,
        school_phone=school.phone,
        school_hours=school.hours,
        recipient=[part for part in (account.display_name, *account.address_lines, town, country) if part],
        greeting=_GREETINGS.get(account.civility, ""),
        children=[LetterChild(child.given_name, child.class_name) for child in account.children],
        ent_url=ent_url,
        username=account.username,
        provisional_password=secret,
        valid_until=day_of(expires_at),
        help_phone=settings.support_phone,
        help_hours=settings.support_hours,
        dpo_mail=settings.dpo_mail,
        languages=letter_languages.chosen(school.letter_languages),
    )


def specimen(settings: Settings, school: School, ent_url: str) -> Letter:
    """Return the letter of `school` to a person who does not exist, with an invented provisional password."""
    nobody = Account(
        username="c.exemple0000",
        civility="Mme",
        given_name="Camille",
        family_name="EXEMPLE",
        address_lines=["12 rue de l’Exemple"],
        postcode="00000",
        city="EXEMPLE",
        country="",
    )
    letter = compose(settings, nobody, school, ent_url, _SPECIMEN, now() + timedelta(days=60))
    return replace(letter, children=[LetterChild("Sacha", "6e 1"), LetterChild("Lou", "4e 3")])


def _town(postal_address: Sequence[str]) -> str:
    """Return the town of a postal address that ends with « 59990 Rivebelle », or an empty string."""
    match = _POSTCODE.fullmatch(postal_address[-1].strip()) if postal_address else None
    return match.group(1) if match else ""
