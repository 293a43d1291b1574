"""From « Se connecter » to the ENT's own session and back out.

OpenID Connect Core 1.0: 3.1.2 (request), 3.1.2.5 to 3.1.3.7 (answer), 4 (a sign-in that begins elsewhere);
RP-Initiated Logout 1.0.
"""

import secrets
from urllib.parse import urlencode

from flask import Blueprint, redirect, render_template, request
from werkzeug.wrappers import Response

from clients.ent.checks import CheckError, Expected, check_answer_issuer, check_same_person, verified_id_token
from clients.ent.clock import now
from clients.ent.person import INSIDE, Person, find_person, next_page, sign_in
from clients.ent.provider import ProviderDownError, ProviderRefusedError, current_provider
from clients.ent.sessions import current_session, current_store
from clients.ent.settings import Settings, current_settings
from clients.ent.store import Attempt

signin = Blueprint("signin", __name__)
_PROFILES = frozenset({"eleve", "parent", "enseignant", "personnel"})
_MAX_HINT = 200
_MAX_TARGET = 1000
_ANSWER = ("code", "state", "iss", "error")


class AttemptLostError(Exception):
    """The answer belongs to no sign-in on its way in this browser: too late, already used, or from elsewhere."""


@signin.post("/login")
def login_from_elsewhere() -> Response:
    """Take a sign-in that another site begins by a form (4), by GET: only then does the browser send our cookie."""
    names = ("iss", "login_hint", "target_link_uri")
    given = {name: request.form[name] for name in names if name in request.form}
    return redirect(f"/login?{urlencode(given)}", 303)


@signin.get("/login")
def login() -> Response:
    """Send the browser to the provider; `profil=parent` or `login_hint` spares the choice of the profile there."""
    settings, session = current_settings(), current_session()
    if request.args.get("iss", settings.issuer) != settings.issuer:
        raise CheckError("login_iss", "the sign-in was begun for another provider")
    departure = current_provider().departure(_login_hint())
    browser = session.setdefault("browser", secrets.token_urlsafe(32))
    attempt = Attempt(departure.nonce, departure.code_verifier, _target(settings))
    current_store().start_attempt(departure.state, str(browser), attempt)
    return redirect(departure.url, 303)


def _login_hint() -> str | None:
    """Return the hint for the provider: the profile in our own words, or what the other site gave."""
    profile = request.args.get("profil", "").lower()
    if profile in _PROFILES:
        return f"profil:{profile}"
    return request.args.get("login_hint", "")[:_MAX_HINT] or None


def _target(settings: Settings) -> str:
    """Return where to go once inside: a page of this ENT, or its inside for any address that is not one (4)."""
    wanted = request.args.get("target_link_uri", "")
    path = wanted.removeprefix(settings.public_url)
    is_ours = wanted.startswith(f"{settings.public_url}/") and len(wanted) <= _MAX_TARGET
    is_page = path.isprintable() and not path.startswith("//") and "\\" not in path and path != "/"
    return path if is_ours and is_page and not path.startswith(("/login", "/callback")) else INSIDE


@signin.get("/callback")
def callback() -> Response:
    """Take the provider's answer, believe it only once everything is checked, and open the ENT."""
    settings, session = current_settings(), current_session()
    attempt = _take_attempt(settings)
    if "error" in request.args:
        raise ProviderRefusedError(request.args["error"])
    provider = current_provider()
    access_token, id_token = provider.redeem(_code(), attempt.code_verifier)
    expected = Expected(
        issuer=settings.issuer, client_id=settings.client_id, nonce=attempt.nonce, access_token=access_token
    )
    claims = verified_id_token(id_token, provider.keys, expected)
    userinfo = check_same_person(provider.userinfo(access_token), claims["sub"])
    person = Person(claims=claims | userinfo, id_token=str(id_token), access_token=access_token, signed_in_at=now())
    sign_in(session, person, settings, attempt.target)
    return redirect(next_page(session, person, settings, current_store()), 303)


def _take_attempt(settings: Settings) -> Attempt:
    """Return the sign-in that this answer ends. The issuer comes first: a foreign answer must use up nothing."""
    if any(len(request.args.getlist(name)) > 1 for name in _ANSWER):
        raise CheckError("duplicate", "the answer says one thing twice")
    check_answer_issuer(request.args.get("iss"), settings.issuer)
    browser = str(current_session().get("browser", ""))
    attempt = current_store().take_attempt(request.args.get("state", ""), browser)
    if attempt is None:
        raise AttemptLostError
    return attempt


def _code() -> str:
    """Return the code of the answer."""
    code = request.args.get("code")
    if not code:
        raise CheckError("code", "the answer holds neither a code nor an error")
    return code


@signin.post("/logout")
def logout() -> Response | str:
    """Sign out here first, whatever comes next, then at the provider, which sends the browser back to the home."""
    session = current_session()
    person = find_person(session)
    session.renew()
    if person is None:
        return redirect("/", 303)
    state = secrets.token_urlsafe(16)
    try:
        url = current_provider().sign_out_url(person.id_token, state)
    except (ProviderDownError, CheckError):
        url = None
    if url is None:
        return render_template("signed_out_here.html")
    session["sign_out"] = state
    return redirect(url, 303)
