"""`/connexion/cle-d-acces`: sign-in by a passkey, and the offer of a first passkey.

The decisions about the account are those for its password; every failure has one text.
"""

from flask import Blueprint, Response, request

from idp.accounts import directory
from idp.accounts.authentication import Refused, Throttled
from idp.accounts.models import Account
from idp.audit import log
from idp.audit.credential_events import PasskeyRefused
from idp.config import Settings
from idp.db import unit_of_work
from idp.interaction import store
from idp.login import admission, service
from idp.login.service import Closed, MustRenew, NeedsSlot, SignedIn
from idp.passkeys import keys
from idp.passkeys.ceremony import PasskeyError, as_json
from idp.passkeys.keys import Proof
from idp.services import services
from idp.sessions import devices, listed, manager
from idp.sessions.guard import signed_in
from idp.sessions.models import METHODS, PASSKEY_IN_HARDWARE, PASSKEY_IN_SOFTWARE, Session
from idp.throttle import guard, limits
from idp.throttle.limits import Limit
from idp.web.declarations import Trait, declares
from idp.web.redirects import render_page
from idp.web.request_context import describe_device

blueprint = Blueprint("passkey_sign_in", __name__)


@blueprint.post("/connexion/cle-d-acces/defi")
def challenge() -> Response:
    """Begin a sign-in by a passkey: return the options for the browser. Nothing is stored, and no account is read."""
    return as_json(keys.begin_sign_in(services().settings))


@blueprint.get("/connexion/cle-d-acces")
@declares(Trait.LEADS_TO_ENT)
@signed_in
def offer(_session: Session, _account: Account) -> Response:
    """Offer a passkey after the first sign-in; « Plus tard » leads to the next page at once."""
    interaction = store.current()
    return render_page(
        "login/cle_d_acces.html",
        dest=None,
        add_url=store.page_url("account_passkeys.add", interaction),
        onward_url=store.resume_url(interaction),
        failed=request.args.get("fait") == "echec",
    )


class UnknownKey(Refused):
    """The answer was of this browser and in time, and no account has its key: the person removed it."""


Outcome = SignedIn | MustRenew | Closed | Refused | Throttled


def sign_in(
    settings: Settings, answer: str, browser: manager.Browser, *, former: str | None, stays: bool = False
) -> Outcome:
    """Sign in with the answer of a browser's passkey.

    `former` is the session cookie that the browser sent. `stays` says that the person stays signed in on this device.
    """
    tries = _tries_from_here(browser.ip)
    verdict = guard.take(*tries)
    if isinstance(verdict, guard.Wait):
        return Throttled(verdict.seconds)
    try:
        with unit_of_work():
            proof = keys.authenticate(settings, answer)
        outcome: Outcome = service.with_slot(
            lambda wait: _admit(settings, proof, browser, former, wait=wait, stays=stays)
        )
    except PasskeyError as error:
        with unit_of_work():
            device = describe_device(browser.user_agent).code
            log.record(PasskeyRefused(account_id=keys.owner_of(answer), reason=error.reason, device=device))
        return UnknownKey() if error.reason == "unknown" else Refused()
    guard.settle_success(tries)
    return outcome


def _tries_from_here(ip: str) -> tuple[Limit, str]:
    """Return the limit of tries: of a browser in which a parent signed in before, or else of the IP."""
    device = devices.of_parent()
    return (limits.PASSKEY_DEVICE, device.number) if device else (limits.PASSKEY_IP, ip)


@unit_of_work()
def _admit(
    settings: Settings, proof: Proof, browser: manager.Browser, former: str | None, *, wait: int | None, stays: bool
) -> SignedIn | MustRenew | Closed | NeedsSlot:
    """Decide in one transaction, by the account's present state; `wait` is that of `service.sign_in`.

    Raises:
        PasskeyError: the account is disabled or not activated, or the account or its key changed meanwhile.
    """
    account, closed = directory.get_for_sign_in(proof.account_id)
    if account is None or account.generation != proof.generation:
        raise PasskeyError("closed")
    if account.disabled_at is not None or account.activated_at is None or not keys.is_there(proof):
        raise PasskeyError("closed")
    known_device = _is_known_device(account)
    if service.is_refused(account, closed=closed):
        if wait is None:
            return service.slot_of_refusal(account, closed=closed)
        return service.refuse(settings, account, closed=closed, known_device=known_device, wait=wait)
    listed.check_room(account.id)
    strength = PASSKEY_IN_SOFTWARE if proof.is_copyable else PASSKEY_IN_HARDWARE
    cookie = manager.open_session(account, METHODS[strength], browser, former=former, acr=strength)
    device_cookie = service.keep_and_tell(
        settings, account, cookie, browser.user_agent, known_device=known_device, stays=stays
    )
    admission.note(account.id, account.password_hash)
    return SignedIn(cookie, account.id, account.username, device_cookie)


def _is_known_device(account: Account) -> bool:
    device, changed_at = devices.known(account.username), account.password_changed_at
    return device is not None and (changed_at is None or changed_at < device.since)
