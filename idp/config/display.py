"""How the value of a setting is shown: no secret is ever printed."""

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from pydantic import SecretStr
from sqlalchemy import URL, make_url

_HIDDEN = "(hidden)"
# Options of a database's URL that are not shown; `sslkey` and `passfile` name files.
_SECRET_OPTION = re.compile(r"user|password|secret|scram_.*key", re.IGNORECASE)
_SECRET_INSIDE = re.compile(r"(password|secret)\s*=", re.IGNORECASE)


def shown(name: str, value: Any) -> str:
    """Return the value of the setting `name` as it may be shown: no secret, and a list as its length."""
    if isinstance(value, SecretStr):
        return "(set)" if value.get_secret_value() else "(empty)"
    if isinstance(value, tuple):
        return f"({len(value)} set)"
    return without_secrets(value) if name == "database_url" else str(value)


def without_secrets(database_url: str) -> str:
    """Return a database's URL as it may be shown: without its user, and without the secrets among its options.

    libpq takes a user and passwords as options too (`?user=…&password=…&sslpassword=…`).
    """
    url = make_url(database_url)
    cut = url.username is not None and "@" in database_url.partition("?")[2]
    if cut or any(sign in f"{url.host}{url.database}" for sign in "@=&"):
        return f"{url.drivername}://{_HIDDEN}"  # not well-formed: some part of a password may stand there
    place = URL.create(url.drivername, host=url.host, port=url.port, database=url.database).render_as_string()
    if url.username is not None:
        place = place.replace("://", f"://{_HIDDEN}@", 1)
    shown = [(name, _HIDDEN if _is_secret(name, value) else value) for name, value in url.query.items()]
    return f"{place}?{urlencode(shown, doseq=True, safe='/:@,()')}" if shown else place


def _is_secret(option: str, value: str | Sequence[str]) -> bool:
    return bool(_SECRET_OPTION.search(option) or _SECRET_INSIDE.search(str(value)))
