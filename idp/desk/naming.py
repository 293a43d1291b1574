"""How pages of the desk name pupils, classes and files, and where an account has its page.

A list in the order of family names has the family name first: « LEROY Malo ». Titles and sentences have the given name
first: « Malo LEROY », « Mme Noémie LEROY ».
"""

import re
import uuid
from collections.abc import Collection

from flask import Response, make_response, url_for
from flask_babel import gettext
from sqlalchemy import select

from idp.accounts.models import Account, Child
from idp.db import db
from idp.desk import access

WITHOUT_CLASS = " "
"""The parameter of a search among pupils without a class: no class has this name, and no name searches everywhere."""
_NO_BREAK = "\u00a0"


def pupil(child: Child) -> str:
    """Return a pupil as a school says it: « Malo LEROY, 6e 1 »; with the school for a post that sees several."""
    several = access.post().school is None
    class_name = child.class_name.replace(" ", _NO_BREAK)
    parts = (f"{child.given_name} {child.family_name}", class_name, child.school.name if several else "")
    return ", ".join(part for part in parts if part)


def class_title(class_name: str | None) -> str:
    """Return the name of a class as a title; None stands for the whole school, "" for pupils without a class."""
    return str(gettext("Tout l’établissement") if class_name is None else class_name or gettext("Sans classe"))


def class_query(class_name: str | None) -> dict[str, str]:
    """Return the parameters of the URLs of a class; see `class_title`."""
    return {"tout": "1"} if class_name is None else {"classe": class_name}


def class_search_query(class_name: str | None) -> dict[str, str]:
    """Return the parameters of a search in a class; see `class_title`."""
    return {} if class_name is None else {"classe": class_name or WITHOUT_CLASS}


def account_url(account_id: uuid.UUID) -> str:
    """Return the URL of an account's page; empty if the post may not open it."""
    return account_urls([account_id]).get(account_id, "")


def account_urls(keys: Collection[uuid.UUID]) -> dict[uuid.UUID, str]:
    """Return the URLs of the pages of accounts, without those that the post may not open."""
    known = set(db.session.scalars(select(Account.id).where(Account.id.in_(keys), access.accounts())))
    if others := [key for key in keys if key not in known]:
        known |= set(db.session.scalars(select(Account.id).where(Account.id.in_(others), access.replaced_accounts())))
    return {key: url_for("accounts.show", account=key) for key in known}


CSV = "text/csv; charset=utf-8"
PDF = "application/pdf"
_UNSAFE = re.compile(r"[\W_]+")
_LONGEST = 40


def as_download(content: bytes, name: str, media_type: str) -> Response:
    """Return the response that has the browser save a file."""
    response = make_response(content)
    response.headers["Content-Type"] = media_type
    response.headers.set("Content-Disposition", "attachment", filename=name)
    return response


def of_class(class_name: str | None) -> str:
    """Return the part of a file's name that says whose it is: a class, or the whole school."""
    return _UNSAFE.sub("-", class_name or "").strip("-")[:_LONGEST] or "etablissement"
