"""Lists the schools, and changes what the files do not say about them."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import select

from idp.accounts import school_notices
from idp.accounts.models import Degree, School
from idp.audit import changes, log
from idp.audit.registry_events import SchoolChanged
from idp.db import db
from idp.languages import letters_to_store, of_letters
from idp.mail.emails import InvalidEmailError, parse_email
from idp.rostering.records import LONGEST

LINES = 4  # lines of a postal address, at most


def rows() -> Iterator[dict[str, Any]]:
    """Yield the schools, by UAI."""
    for school in db.session.scalars(select(School).order_by(School.uai)).all():
        yield {
            "uai": school.uai,
            "name": school.name,
            "degree": school.degree.value,
            "source": school.source,
            "address": school.postal_address,
            "phone": school.phone,
            "hours": school.hours,
            "letter_languages": of_letters(school.letter_languages),
            "mail": school.email,
        }


def change(
    uai: str,
    *,
    name: str | None,
    postal_address: Sequence[str],
    phone: str | None,
    degree: Degree | None,
    email: str | None = None,
    hours: str | None = None,
    languages: Sequence[str] | None = None,
) -> bool:
    """Change the given values in the caller's transaction, and return whether the school is new.

    An empty `email` or `hours` removes the value. `languages` are those of its letters, in their order;
    with none of them, letters are in French alone.

    Raises:
        ValueError: A value is too long or is not an email, letters have no such language, or a new school has no name;
            nothing was changed.
    """
    stored_languages = letters_to_store(languages or ())
    if email:
        email = parsed_email(email)
    texts = ((name, "school_name"), (phone, "phone"), (hours, "hours"))
    for text, limit in (*texts, *((line, "line") for line in postal_address)):
        if text is not None and (len(text) > LONGEST[limit] or not text.isprintable()):
            raise ValueError(f"{text[:40]!r} is longer than {LONGEST[limit]} characters, or is not plain text")
    if len(postal_address) > LINES:
        raise ValueError(f"a postal address has at most {LINES} lines")
    school = db.session.scalar(select(School).where(School.uai == uai).with_for_update())
    made = school is None
    if school is None:
        if not name:
            raise ValueError(f"{uai} is a new school: it needs a name")
        school = School(uai=uai, name=name, degree=degree or Degree.SECONDARY, postal_address=[])
        db.session.add(school)
    before, contacts = {} if made else changes.snapshot(school), (school.phone, school.email)
    school.name = name or school.name
    school.postal_address = list(postal_address) or school.postal_address
    school.phone = phone if phone is not None else school.phone
    school.hours = hours if hours is not None else school.hours
    school.degree = degree or school.degree
    if email is not None:
        school.email = email or None
    if languages is not None:
        school.letter_languages = stored_languages
    if not made and contacts != (school.phone, school.email):
        school_notices.tell_contacts(school.id, contacts[1])
    log.record(SchoolChanged(uai=uai, **changes.difference(before, changes.snapshot(school))))
    return made


def parsed_email(email: str) -> str:
    """Return an email as it is stored.

    Raises:
        ValueError: The text is not an email; the message can be shown.
    """
    try:
        return parse_email(email)
    except InvalidEmailError as fault:
        raise ValueError(f"{email[:40]!r} is not a mail address ({fault.reason})") from fault
