"""What a trial of an ENT finds, in French for its operator; a shell says what the académie's engineer does about it."""

import enum
import socket
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

from idp.http_client.outgoing import TIMEOUT, OutgoingError, UrlRefusedError


class Repair(enum.Enum):
    """What the académie's engineer does about a finding."""

    ACCEPT = enum.auto()
    ENABLE = enum.auto()
    NAME_SCHOOL = enum.auto()
    PUBLISH_CHARTER = enum.auto()
    NARROW_AUDIENCE = enum.auto()
    ADD_SCHOOL = enum.auto()
    KEEP_USERNAME = enum.auto()
    REACH_SERVICE = enum.auto()
    CORRECT_ISSUER = enum.auto()
    MAKE_KEY = enum.auto()
    CORRECT_FIELD = enum.auto()  # the field of the registration that the check is named by has another value
    CORRECT_ALGORITHM = enum.auto()
    TRUST_AUTHORITY = enum.auto()
    SET_CLOCK = enum.auto()
    ALLOW_HOST = enum.auto()
    CORRECT_PROXY = enum.auto()


@dataclass(frozen=True)
class Problem:
    """What is wrong, in words for everybody; `value` is the value at fault of the repair, if there are several."""

    text: str
    repair: Repair | None = None
    value: str = ""


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        check: the name of the check for programs: that of a field of the registration, or of what else was checked.
        message: what was found, and what to do; the pages of the desk show it as it is.
        value: the value that the repair is about, if there are several.
        is_note: whether nothing was tested: the message says what is registered, what is missing or what comes.
    """

    check: str
    ok: bool
    message: str
    repair: Repair | None = None
    value: str = ""
    is_note: bool = False


def noted(check: str, message: str, repair: Repair | None = None) -> Finding:
    """Return a finding that is no result of a test, but that people have to know."""
    return Finding(check, ok=True, message=message, repair=repair, is_note=True)


def right(check: str, message: str) -> Finding:
    """Return the finding of a check that is passed."""
    return Finding(check, ok=True, message=message)


def wrong(check: str, message: str, repair: Repair | None = None, value: str = "") -> Finding:
    """Return the finding of a check that is failed."""
    return Finding(check, ok=False, message=message, repair=repair, value=value)


def judged(check: str, label: str, good: str, problem: Problem | None) -> Finding:
    """Return a finding about what `label` names: `good` if there is no problem."""
    if problem is None:
        return right(check, f"{label} : {good}")
    return wrong(check, f"{label} : {problem.text}", problem.repair, problem.value)


_CHAIN = Problem(
    "certificat signé par une autorité inconnue ici : le serveur doit envoyer toute la chaîne de certificats",
    Repair.TRUST_AUTHORITY,
)
_NAME = Problem("le certificat est celui d’un autre nom : il en faut un pour {host}")
_CERTIFICATE = {  # OpenSSL's X509_V_ERR_* (x509_vfy.h)
    7: _CHAIN,  # an authority of the same name, with another key
    9: Problem("le certificat n’est pas encore valable : regardez sa date de début", Repair.SET_CLOCK),
    10: Problem("le certificat a expiré : il faut le renouveler"),
    18: _CHAIN,
    19: _CHAIN,
    20: _CHAIN,
    21: _CHAIN,
    62: _NAME,
    64: _NAME,
}

_WIRE = (  # the first kind that fits
    (ssl.SSLError, "pas de TLS à cette adresse : voyez le port et la configuration du serveur"),
    ((socket.gaierror, UnicodeError), "le nom {host} est inconnu : voyez l’orthographe et le DNS"),
    (ConnectionRefusedError, "rien n’écoute à ce port : démarrez le serveur, ou voyez l’adresse et le pare-feu"),
    (TimeoutError, f"pas de réponse en {TIMEOUT:g} secondes : voyez le pare-feu et la charge du serveur"),
    (type(None), "plus demandé : ce serveur vient de ne pas répondre à temps ; recommencez dans une minute"),
)


def failure(uri: str, error: OutgoingError) -> Problem:
    """Return why a request to `uri` failed with `error`."""
    host = urlsplit(uri).hostname or ""
    if isinstance(error, UrlRefusedError):
        if not uri.startswith("https:"):
            return Problem("ce n’est pas une adresse https://, ce service ne l’appelle pas")
        return Problem("adresse d’un réseau privé, que ce service n’appelle pas", Repair.ALLOW_HOST, host)
    cause = error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        known = _CERTIFICATE.get(cause.verify_code)
        problem = known or Problem(f"le certificat n’est pas bon ({cause.verify_message})")
        return Problem(problem.text.replace("{host}", host), problem.repair)
    reason = next((text for kind, text in _WIRE if isinstance(cause, kind)), f"pas de réponse ({error.reason})")
    return Problem(reason.replace("{host}", host))
