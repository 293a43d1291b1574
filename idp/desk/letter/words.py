"""French sentences for why letters are not printed, and lists of people by name."""

import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from flask_babel import LazyString, gettext
from flask_babel import lazy_gettext as _l
from sqlalchemy import select

from idp.accounts.models import Account
from idp.db import db
from idp.desk import access
from idp.letters.recipients import Recipient, Refusal, Skip, Skipped

REFUSALS: dict[str, LazyString] = {
    Refusal.NO_SCHOOL: _l("Cet établissement n’est plus connu."),
    Refusal.UNNAMED: _l("L’établissement n’a pas encore de nom à imprimer : complétez d’abord la page Établissement."),
    Refusal.NO_ENT: _l("Aucun ENT avec une adresse à taper n’est relié à l’établissement : demandez à l’académie."),
    Refusal.ENT_URL: _l("L’adresse de l’ENT ne peut pas être imprimée : demandez à l’académie de la corriger."),
    Refusal.NO_CLASS: _l("Cette classe n’existe plus dans l’établissement."),
    Refusal.NO_ACCOUNT: _l("Ce compte n’existe plus."),
    Refusal.MERGED: _l(
        "Les enfants de ce compte sont passés sur un autre compte de la même personne : imprimez le courrier de "
        "l’autre compte."
    ),
    Refusal.DISABLED: _l("Ce compte est fermé : un courrier ne pourrait pas servir. Il faut d’abord le rouvrir."),
    Refusal.CLOSED: _l("L’accès est suspendu : un courrier ne pourrait pas servir. La direction rouvre d’abord."),
    Refusal.DISPUTED: _l(
        "Le responsable de l’élève est contesté : réglez d’abord ce signalement. Aucun courrier n’est imprimé avant."
    ),
    Refusal.CHILDLESS: _l("Ce compte n’a plus d’enfant dans un établissement : un courrier n’ouvrirait rien."),
    Refusal.TIE_CLOSED: _l(
        "Le lien de cette personne avec l’élève est suspendu : un courrier n’ouvrirait rien. La direction rouvre "
        "d’abord."
    ),
    Refusal.WAITS: _l(
        "Cette personne attend la direction : un courrier n’ouvrirait rien. La direction décide d’abord, dans "
        "« Décisions »."
    ),
    Refusal.NOT_HERE: _l(
        "Ce compte n’a plus d’enfant dans votre établissement : l’autre établissement imprime le courrier."
    ),
    Refusal.NO_REASON: _l("Le mot de passe vient d’être choisi : revenez à la page du compte, puis recommencez."),
    Refusal.TOO_MANY: _l("Il y a trop de courriers pour une seule impression : imprimez classe par classe."),
    Refusal.CHANGED: _l("Le compte a changé depuis l’ouverture de cette page. Vérifiez, puis recommencez."),
    "no_print": _l("La première impression n’est plus connue ici : recommencez depuis la page Classes."),
    Skip.TOO_LONG: _l(
        "Un nom ou l’adresse postale est trop long pour le papier. Rien n’a été imprimé : raccourcissez-le dans la "
        "base élèves."
    ),
    Skip.UNKNOWN_GLYPH: _l(
        "Un nom ou l’adresse postale a un caractère que le papier ne sait pas écrire (chinois, par exemple). Rien n’a "
        "été imprimé : écrivez-le en lettres latines dans la base élèves."
    ),
    "faulty": _l("Une lettre ne peut pas être mise en page. Rien n’a été imprimé ; demandez à l’académie."),
    "settings": _l("Le service n’est pas encore réglé pour imprimer des courriers : demandez à l’académie."),
    "busy": _l("Le service est très occupé. Rien n’a été imprimé : réessayez dans un instant."),
    "role_ended": _l("Votre accès s’est terminé pendant l’impression : rien n’a été imprimé."),
    "fault": _l(
        "L’impression a échoué. Aucun mot de passe provisoire n’a changé : recommencez, ou demandez à l’académie."
    ),
}
"""Why nothing was printed, by the code of the refusal."""

SKIPS: dict[str, LazyString] = {
    Skip.CHANGED: _l("Compte modifié pendant l’impression"),
    Skip.TOO_LONG: _l(
        "Rien d’imprimé, car un nom ou l’adresse est trop long pour le papier (à raccourcir dans la base élèves)"
    ),
    Skip.UNKNOWN_GLYPH: _l(
        "Rien d’imprimé, car un nom ou l’adresse a un caractère que le papier ne sait pas écrire (à écrire en lettres "
        "latines dans la base élèves)"
    ),
    Skip.FAULTY: _l("Courrier impossible à mettre en page"),
    Skip.DISPUTED: _l("Compte contesté, à régler dans « Décisions »"),
    Skip.CLOSED: _l("Accès suspendu"),
    Skip.WAITS: _l("Attend la direction, dans « Décisions »"),
    Skip.DISABLED: _l("Compte fermé"),
    Skip.HAS_LETTER: _l("Courrier encore valable"),
    Skip.ACTIVE: _l("Mot de passe déjà choisi"),
    Skip.WAS_ACTIVE: _l(
        "Mot de passe déjà choisi, compte fermé par un nouveau courrier (un courrier à la fois, avec un motif)"
    ),
}
"""Why a person got no letter, most pressing first."""

_NAMED = 30


def name(key: uuid.UUID) -> str:
    """Return the name of an account in scope as a sentence has it: « Mme Noémie LEROY »; empty if there is none."""
    account = db.session.scalar(select(Account).where(Account.id == key, access.accounts()))
    return account.display_name if account else ""


def names(keys: Collection[uuid.UUID]) -> dict[uuid.UUID, str]:
    """Return the names of accounts in scope, as a list has them: « LEROY Noémie »."""
    rows = db.session.execute(
        select(Account.id, Account.family_name, Account.given_name).where(Account.id.in_(keys), access.accounts())
    )
    return {row.id: f"{row.family_name} {row.given_name}".strip() for row in rows}


def listed(keys: Collection[uuid.UUID], known: Mapping[uuid.UUID, str]) -> str:
    """Return the `known` names of accounts as one line, with the number of those that it leaves out."""
    shown = sorted(known[key] for key in keys if key in known)[:_NAMED]
    return ", ".join(shown) + (f", … (+{len(keys) - len(shown)})" if len(keys) > len(shown) else "")


class NamedGroup(NamedTuple):
    """A title of the page with the names of people below it."""

    title: str
    names: list[str]
    is_open: bool = False


MOST_OPEN = 50
"""More names than these are folded, by class."""


def groups(
    people: Sequence[Recipient], skipped: Sequence[Skipped], known: Mapping[uuid.UUID, str]
) -> Iterator[NamedGroup]:
    """Yield who gets a letter, in the order of the letters, and who gets none, for each reason.

    Those without a name in `known` are not shown.
    """
    by_class: dict[str, list[str]] = {}
    for entry in people:
        if entry.account_id in known:
            by_class.setdefault(entry.class_name or gettext("Sans classe"), []).append(known[entry.account_id])
    shown = list(chain.from_iterable(by_class.values()))
    if len(shown) <= MOST_OPEN:
        yield NamedGroup(gettext("Recevront un courrier : %(n)s", n=len(shown)), shown, is_open=True)
    else:
        title = gettext("Recevront un courrier")
        yield from (NamedGroup(f"{title}, {name} : {len(each)}", each) for name, each in by_class.items())
    for skip, reason in SKIPS.items():
        passed_over = sorted(
            known[entry.account_id] for entry in skipped if entry.skip == skip and entry.account_id in known
        )
        if passed_over:
            yield NamedGroup(f"{reason} : {len(passed_over)}", passed_over)
