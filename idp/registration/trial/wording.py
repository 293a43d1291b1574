"""Why a URI gave no answer, in French, and what to do."""

import socket
import ssl
from urllib.parse import urlsplit

from idp.http_client.outgoing import TIMEOUT, OutgoingError, UrlRefusedError
from idp.registration.trial.findings import Problem

_CHAIN = Problem(
    "certificat signé par une autorité inconnue ici : le serveur doit envoyer toute la chaîne de certificats",
    "ou nommez l’autorité dans IDP_CA_BUNDLE",
)
_NAME = Problem("le certificat est celui d’un autre nom : il en faut un pour {host}")
_CERTIFICATE = {  # OpenSSL's X509_V_ERR_* (x509_vfy.h)
    7: _CHAIN,  # an authority of the same name, with another key
    9: Problem(
        "le certificat n’est pas encore valable : regardez sa date de début", "et voyez l’horloge de cette machine"
    ),
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
        allowing = f"si c’est voulu, nommez {host} dans IDP_OUTGOING_ALLOW"
        return Problem("adresse d’un réseau privé, que ce service n’appelle pas", allowing)
    cause = error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        known = _CERTIFICATE.get(cause.verify_code)
        problem = known or Problem(f"le certificat n’est pas bon ({cause.verify_message})")
        return Problem(problem.text.replace("{host}", host), problem.repair)
    reason = next((text for kind, text in _WIRE if isinstance(cause, kind)), f"pas de réponse ({error.reason})")
    return Problem(reason.replace("{host}", host))
