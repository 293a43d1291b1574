"""Names of ENTs: parents know an ENT by its name alone, on a small screen, so no two names may look alike."""

import re
import string

from sqlalchemy import select

from idp.clients.models import Client
from idp.config import Settings
from idp.db import db
from idp.folding import fold

LONGEST = 80
# The characters that `fold` leaves of a French text: it removes accents and spells ligatures out.
_FRENCH = frozenset(string.ascii_lowercase + string.digits)
_ALIKE = str.maketrans("ij1058", "lllosb")
_PAIRS = (("rn", "m"), ("vv", "w"))
_WORD = re.compile(r"[^\W_]+")
# Words that many names of ENTs have.
_GENERAL = frozenset(["ent", "academie", "d", "de", "des", "du", "et", "l", "la", "le", "les"])
_LONG = 4


def as_read(name: str) -> str | None:
    """Return a form that is equal for names that look alike, or None for a name with letters that French lacks.

    The caller refuses those: other alphabets have letters that look exactly like French ones (Unicode Technical
    Standard 39 lists six thousand).
    """
    letters = [letter for letter in fold(name) if letter.isalnum()]
    if not _FRENCH.issuperset(letters):
        return None
    read = "".join(letters).translate(_ALIKE)
    for pair, letter in _PAIRS:
        read = read.replace(pair, letter)
    return read


def holds(name: str, other: str) -> bool:
    """Return whether `name` contains the specific words of `other`: « Passerelle (ENT) » contains « Passerelle ».

    The specific words may be part of a longer word (« MaPasserelle »), unless they are short.
    """
    words, specific = _specific_words(name), "".join(_specific_words(other))
    read = as_read(specific)
    if not read:
        return False
    if len(read) < _LONG:
        return read in map(as_read, words)
    return read in (as_read("".join(words)) or "")


def find_fault(settings: Settings, name: str, client: Client, accepted: str) -> str:
    """Return why a client must not have a name, or an empty text.

    A name that contains the name of another ENT, or of this service, is refused too, except that of an ENT which
    registered by the same invitation.

    Args:
        settings: those of this service, which has names of its own.
        name: the name that the client would have.
        client: the client.
        accepted: the name that an operator gave the client, or that was accepted before; it may contain others.
    """
    read = as_read(name)
    if read is None:
        return "must have letters and digits of French only"
    others = db.session.execute(
        select(Client.name, Client.invite_id).where(Client.disabled_at.is_(None), Client.id != client.id)
    ).all()
    own = (settings.service_name, settings.academy)
    taken = (*(other for other, _ in others), *own)
    if read in map(as_read, taken):
        return "is the name of another ENT, or of this service"
    strangers = (*(other for other, invite in others if invite is None or invite != client.invite_id), *own)
    if name != accepted and any(holds(name, other) for other in strangers):
        return "contains the name of another ENT, or of this service"
    return ""


def free_name(label: str) -> str:
    """Return the label of an invitation as the name of a client, with a number if the name is taken."""
    taken = set(map(as_read, db.session.scalars(select(Client.name).where(Client.disabled_at.is_(None)))))
    name, number = label, 1
    while as_read(name) in taken:
        number += 1
        name = f"{label[: LONGEST - len(f' {number}')]} {number}"
    return name


def _specific_words(name: str) -> list[str]:
    return [word for word in _WORD.findall(fold(name)) if word not in _GENERAL]
