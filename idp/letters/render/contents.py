"""Composes a letter from the rows of an account and of the school that writes to it."""

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from idp import languages
from idp.accounts.models import Account, School
from idp.clients.registry import Registration
from idp.clock import day_of, now, today
from idp.config import Settings
from idp.letters.render.pdf import Letter, LetterChild, LetterEnt
from idp.web import i18n

_GREETINGS = {"Mme": "Madame", "M.": "Monsieur"}
_HOME = frozenset({"", "france"})
_SPECIMEN = "EXEMP1E00000"
_POSTCODE = re.compile(r"\d{5}\s+(\S.*)")


Ents = Mapping[uuid.UUID, Registration]
"""The ENTs of a family by the key of the school that they serve (`recipients.ents_of`)."""


def compose(
    settings: Settings, account: Account, school: School, ents: Ents, secret: str, expires_at: datetime
) -> Letter:
    """Return the letter of `school` to an account. It names all children of the account, in any school.

    Args:
        settings: the texts that all letters have.
        account: the person.
        school: the school that writes.
        ents: the ENTs of the children's schools.
        secret: the provisional password.
        expires_at: when the secret expires.
    """
    different = {ent.home_uri: ent for ent in (ents[school.id], *ents.values())}
    own, *others = (LetterEnt(url, ent.short_entrance(settings.issuer)) for url, ent in different.items())
    homes = {key: ent.home_uri for key, ent in ents.items()}
    return replace(
        _to(settings, account, school, secret, expires_at),
        children=[
            LetterChild(child.given_name, child.class_name, homes.get(child.school_id, ""))
            for child in account.children
        ],
        ent_url=own.url,
        sign_in_url=own.sign_in_url,
        other_ents=others,
    )


def _to(settings: Settings, account: Account, school: School, secret: str, expires_at: datetime) -> Letter:
    town = f"{account.postcode} {account.city}".strip()
    country = "" if account.country.strip().casefold() in _HOME else account.country
    return Letter(
        service_name=settings.service_name,
        academy=settings.academy,
        town=_town(school.postal_address),
        printed_on=today(),
        school_name=school.name,
        school_postal_address=school.postal_address,
        school_phone=school.phone,
        school_hours=school.hours,
        recipient=[part for part in (account.display_name, *account.address_lines, town, country) if part],
        greeting=_GREETINGS.get(account.civility, ""),
        children=(),
        ent_url="",
        username=account.username,
        provisional_password=secret,
        valid_until=day_of(expires_at),
        help_phone=settings.support_phone,
        help_hours=i18n.opening_hours(settings.support_hours),
        dpo_mail=settings.dpo_mail,
        languages=languages.of_letters(school.letter_languages),
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
    letter = _to(settings, nobody, school, _SPECIMEN, now() + timedelta(days=60))
    return replace(letter, children=[LetterChild("Sacha", "6e 1"), LetterChild("Lou", "4e 3")], ent_url=ent_url)


def _town(postal_address: Sequence[str]) -> str:
    match = _POSTCODE.fullmatch(postal_address[-1].strip()) if postal_address else None
    return match.group(1) if match else ""
