"""The sentences for the faults of a registration, for the person who filled in the form."""

from flask_babel import gettext
from flask_babel import lazy_gettext as _l

from idp.desk.ents.acceptance import MOST_A_DAY, MOST_WAITING
from idp.registration.faults import Fault, FaultCode

_SHOWN = 100
_SENTENCES = {
    FaultCode.OTHER: _l("Cette valeur n’est pas acceptée."),
    FaultCode.NAME: _l("Donnez un nom de 1 à 80 caractères."),
    FaultCode.NAME_TAKEN: _l(
        "Ce nom est celui d’un autre ENT ou de ce service, ou lui ressemble ; ou il a des lettres que le français "
        "n’a pas."
    ),
    FaultCode.NEEDED: _l("Donnez au moins une adresse, une par ligne."),
    FaultCode.UNKNOWN_VALUE: _l("Choisissez une valeur de la liste."),
    FaultCode.FOREIGN_HOST: _l("Cette adresse doit être sur le serveur d’une des adresses de retour."),
    FaultCode.OTHER_WAITS: _l(
        "L’ENT lui-même a demandé un changement, qui attend l’académie. Recommencez quand elle aura répondu."
    ),
    FaultCode.SEVERAL_HOSTS: _l(
        "Les adresses de retour sont sur plusieurs serveurs : gardez-en un seul, ou demandez à l’académie."
    ),
    FaultCode.OTHER_SECTOR: _l(
        "Avec cet autre serveur, l’ENT prendrait chaque parent pour un inconnu. Il faut un nouvel enregistrement : "
        "demandez à l’académie."
    ),
    FaultCode.UNREADABLE: _l("Le document qui réunit les adresses de retour n’est pas lisible en ce moment."),
    FaultCode.KEYS_NEEDED: _l("La signature demande les clés publiques de l’ENT, ou leur adresse."),
    FaultCode.KEYS_UNUSABLE: _l(
        "Ce ne sont pas des clés publiques que ce service peut utiliser : un texte JSON (JWKS), avec une clé RSA "
        "de 2048 à 4096 bits, P-256 ou Ed25519."
    ),
    FaultCode.KEY_IS_PRIVATE: _l(
        "C’est une clé privée : d’autres ont pu la lire. Faites une nouvelle clé, et collez sa partie publique."
    ),
    FaultCode.KEYS_TWICE: _l("Donnez les clés publiques, ou leur adresse, pas les deux."),
    FaultCode.PKCE_NEEDED: _l("Un client public ne va pas sans PKCE."),
    FaultCode.CONTACT: _l("Vingt contacts au plus, un par ligne, de 500 caractères au plus."),
    FaultCode.CHANGED_MEANWHILE: _l("Une autre personne vient de modifier cet ENT. Rechargez la page et recommencez."),
    FaultCode.NO_SECRET: _l("Cet ENT n’a pas de secret."),
    FaultCode.FORMER_SECRET_WORKS: _l(
        "L’ancien secret fonctionne encore : un troisième l’arrêterait. Choisissez ce qui convient ci-dessous."
    ),
    FaultCode.DECIDED_BY_ACADEMY: _l("C’est l’académie qui en décide, quand elle accepte l’ENT."),
    FaultCode.MANY_WAIT: _l(
        "%(most)s de vos ENT attendent déjà l’accord de l’académie, pour eux-mêmes ou pour un changement. Attendez sa "
        "réponse pour l’un d’eux."
    ),
    FaultCode.MANY_TODAY: _l("Vous avez demandé %(day)s ENT ou changements en un jour : continuez demain."),
    FaultCode.MANY_MOVES: _l("Vous avez changé trop souvent des adresses de cet ENT en un jour : continuez demain."),
    FaultCode.ASKER_LEFT: _l(
        "La personne qui a fait la demande n’exploite plus cet ENT : la demande ne peut plus qu’être refusée."
    ),
    FaultCode.NOT_WAITING: _l("Cet ENT n’attend plus d’accord : quelqu’un a déjà répondu."),
    FaultCode.NOT_A_UAI: _l(
        "« %(value)s » n’est pas un numéro d’établissement : sept chiffres et une lettre, sans faute."
    ),
    FaultCode.NOT_A_URI: _l(
        "« %(value)s » n’est pas une adresse web. Elle ressemble à : https://ent.exemple.fr/retour"
    ),
    FaultCode.NOT_HTTPS: _l("« %(value)s » doit commencer par https:// et le nom du serveur en minuscules."),
    FaultCode.HAS_FRAGMENT: _l("« %(value)s » ne doit contenir ni # ni crochets."),
}


def sentence(fault: Fault) -> str:
    """Return what is wrong, for the person who filled in the form."""
    if fault.code is FaultCode.NEEDED and fault.field == "uais":
        return str(gettext("Donnez au moins un établissement."))
    return str(_SENTENCES[fault.code]) % {"value": fault.value[:_SHOWN], "most": MOST_WAITING, "day": MOST_A_DAY}
