"""Why a URI gave no answer, in French, and what to do."""

import socket
import ssl
from urllib.parse import urlsplit

from idp.http_client.outgoing import TIMEOUT, OutgoingError, UrlRefusedError

_CHAIN = (
    "certificat signé par une autorité inconnue ici : que le serveur envoie la chaîne entière, "
    "ou nommez l’autorité dans IDP_CA_BUNDLE"
)
_NAME = "le certificat est celui d’un autre nom : il en faut un pour {host}"
_CERTIFICATE = {  # OpenSSL's X509_V_ERR_* (x509_vfy.h)
    7: _CHAIN,  # an authority of the same name, with another key
    9: "le certificat n’est pas encore valable : voyez sa date, et l’horloge de cette machine",
    10: "le certificat a expiré : il faut le renouveler",
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
    (type(None), "plus demandé : ce serveur vient de ne pas répondre à temps"),
)


def failure(uri: str, error: OutgoingError) -> str:
    """Return why a request to `uri` failed with `error`."""
    host = urlsplit(uri).hostname or ""
    if isinstance(error, UrlRefusedError):
        if not uri.startswith("https:"):
            return "ce n’est pas une adresse https://, le service ne l’appelle pas"
        return f"adresse privée, que le service n’appelle pas : si c’est voulu, nommez {host} dans IDP_OUTGOING_ALLOW"
    cause = error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        unknown = f"le certificat n’est pas bon ({cause.verify_message})"
        return _CERTIFICATE.get(cause.verify_code, unknown).replace("{host}", host)
    reason = next((text for kind, text in _WIRE if isinstance(cause, kind)), f"pas de réponse ({error.reason})")
    return reason.replace("{host}", host)
