"""The accounts that took the place of one that an import closed, as its page names them."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from flask_babel import gettext
from sqlalchemy import select

from idp.accounts.models import Account
from idp.db import db
from idp.desk import access, replaced
from idp.desk.naming import account_urls


@dataclass(frozen=True)
class Successor:
    """A person to whom the file gives the number or the name now; `url` is empty if the post may not open the page."""

    name: str
    url: str = ""


def of(account_id: uuid.UUID) -> Sequence[Successor]:
    """Return who replaced a person; an account that was removed since is named as such."""
    keys = replaced.successors([account_id], access.notices()).get(account_id, ())
    known = {row.id: row for row in db.session.scalars(select(Account).where(Account.id.in_(filter(None, keys))))}
    urls, gone = account_urls(known), str(gettext("une personne dont le compte est supprimé"))
    return [Successor(known[key].display_name, urls.get(key, "")) if key in known else Successor(gone) for key in keys]
