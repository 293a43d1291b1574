"""How pages of the desk name pupils, and where an account has its page."""

import uuid

from flask import url_for
from sqlalchemy import select

from idp.accounts.models import Account, Child
from idp.db import db
from idp.desk import access

_NO_BREAK = "\u00a0"


def pupil(child: Child) -> str:
    """Return a pupil as a school says it: « Malo LEROY, 6e 1 »; with the school for a post that sees several."""
    several = access.post().school is None
    class_name = child.class_name.replace(" ", _NO_BREAK)
    parts = (f"{child.given_name} {child.family_name}", class_name, child.school.name if several else "")
    return ", ".join(part for part in parts if part)


def account_url(account_id: uuid.UUID) -> str:
    """Return the URL of an account's page; empty if the post may not open it."""
    known = db.session.scalar(select(Account.id).where(Account.id == account_id, access.accounts()))
    return url_for("accounts.show", account=account_id) if known else ""
