"""A sign-in request as the ENT sends it, without a person (OpenID Connect Core 3.1.2.1, `prompt=none`).

Nobody is signed in, so that this service must answer `login_required` at the ENT's redirect URI: then client, redirect
URI, scopes and PKCE are right, and no proxy in between spoils the request. Nothing is stored.
"""

from http import HTTPStatus
from urllib.parse import parse_qs, urlencode, urlsplit

from idp import opaque
from idp.http_client.outgoing import Answer, Outgoing, OutgoingError
from idp.registration.metadata import ClientMetadata
from idp.registration.trial.findings import Finding, Problem, judged
from idp.registration.trial.wording import failure

_EXPECTED = "login_required"
_LABEL = "demande de connexion d’essai"
_PROXY = "voyez le proxy : il doit laisser passer /authorize et tous ses paramètres"


def ask(outgoing: Outgoing, endpoint: str, client_id: str, metadata: ClientMetadata) -> Finding:
    """Send the request to the authorization endpoint of this service; return whether it would lead to the sign-in."""
    state, redirect_uri = opaque.new_value(), metadata.redirect_uris[0]
    parameters = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "scope": " ".join(metadata.scopes),
        "state": state,
        "nonce": opaque.new_value(),
        "prompt": "none",
        "code_challenge": opaque.new_value(),  # 43 base64url characters, as an S256 challenge
        "code_challenge_method": "S256",
    }
    uri = f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(parameters)}"
    try:
        answer = outgoing.get(uri)
    except OutgoingError as error:
        return judged("sign_in", _LABEL, "", failure(endpoint, error))
    if metadata.par_required or metadata.profile == "fapi2":
        good = "cet ENT doit d’abord déposer ses demandes (PAR) ; une demande simple est refusée, comme il faut"
        return judged("sign_in", _LABEL, good, _problem(answer, redirect_uri, state, "invalid_request"))
    good = f"acceptée ; le parent se connecte, puis revient à {redirect_uri}"
    return judged("sign_in", _LABEL, good, _problem(answer, redirect_uri, state, _EXPECTED))


def _problem(answer: Answer, redirect_uri: str, state: str, expected: str) -> Problem | None:
    """Return why the answer is not the expected error at the redirect URI, or None."""
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        return Problem("trop de demandes en ce moment : recommencez dans une minute")
    members = parse_qs(urlsplit(answer.location).query)
    if answer.status // 100 != HTTPStatus.SEE_OTHER // 100 or not answer.location.startswith(redirect_uri):
        return Problem(f"répond {answer.status} au lieu de renvoyer le parent chez l’ENT", _PROXY)
    if members.get("state") != [state]:
        return Problem("la réponse a perdu « state », que l’ENT vérifie", _PROXY)
    if members.get("error") != [expected]:
        error = (members.get("error_description") or members.get("error") or ["code"])[0]
        return Problem(f"refusée : {error:.200}")
    return None
