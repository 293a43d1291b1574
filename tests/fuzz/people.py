"""Valid requests of people: public pages, pages of an account, forms."""

import random
from collections.abc import Callable

from idp.accounts import one_time_links
from idp.accounts.one_time_links import Purpose
from idp.clients.registry import LETTER_HINT
from tests.activation.steps import CHOSEN, open_activation
from tests.builders import HOME, PASSWORD, PROVISIONAL
from tests.fuzz.bends import Shot, filled, opening
from tests.fuzz.protocol import Make, sign_in_by_key
from tests.fuzz.world import Opened, World
from tests.pages import follow, form_token, submit
from tests.relying_party import Attempt

TWICE = {"nouveau": CHOSEN, "confirmation": CHOSEN}


def _public(path: str) -> Make:
    def make(world: World, draw: random.Random) -> Shot:
        browser, url = _open_profile(world)
        query = url.partition("?")[2] if draw.random() < 0.5 else ""
        shot = opening(f"{path}?{query}", browser)
        shot.query.append(("ui_locales", "fr"))
        return shot

    return make


def _open_profile(world: World) -> Opened:
    browser = world.app.test_client()
    return browser, browser.get(world.open.url(Attempt(), login_hint=None)).headers["Location"]


def _root(world: World, draw: random.Random) -> Shot:
    shot = opening("/", draw.choice([world.stranger, world.at_home()]))
    shot.right = (303, "/mon-compte")
    return shot


def _change_password(world: World, draw: random.Random) -> Shot:
    """Open the well-known URL for a change of password, as password managers do."""
    browser = draw.choice([world.stranger, world.at_home()])
    return opening("/.well-known/change-password", browser, right=(303, "/mon-compte/mot-de-passe"))


def _security_txt(world: World, _draw: random.Random) -> Shot:
    return opening("/.well-known/security.txt", world.stranger, right=(404, ""))


def _profile(world: World, draw: random.Random) -> Shot:
    browser, url = _open_profile(world)
    profile, leads_to = draw.choice([("parent", "/authorize/resume?"), ("enseignant", "/profil/ailleurs?")])
    return filled(browser.get(url), browser, {"profil": profile}, right=(303, leads_to))


def _elsewhere(world: World, _draw: random.Random) -> Shot:
    browser, url = _open_profile(world)
    page = submit(browser, browser.get(url), profil="enseignant")
    return opening(page.request.full_path, browser)


def _sign_in(world: World, draw: random.Random) -> Shot:
    browser = world.app.test_client()
    page = follow(browser, browser.get(draw.choice(["/connexion", world.open.url(Attempt())])))
    username, password, leads_to = world.build.never_activated(**HOME).username, PROVISIONAL, "/activation?"
    if draw.random() < 0.5:
        username, password = world.parent().username, PASSWORD
        leads_to = "/authorize/resume?" if "demande" in page.request.args else "/mon-compte"
    fields = {"identifiant": username, "mot-de-passe": password}
    return filled(page, browser, fields, right=(303, leads_to))


def _open_activation(world: World) -> Opened:
    browser = world.app.test_client()
    return browser, open_activation(browser, world.build.never_activated()).request.full_path


def _activation_page(path: str) -> Make:
    def make(world: World, _draw: random.Random) -> Shot:
        browser, url = world.lasting("activation", lambda: _open_activation(world))
        return opening(url.replace("/activation?", f"{path}?"), browser)

    return make


def _activation(world: World, _draw: random.Random) -> Shot:
    browser, url = _open_activation(world)
    fields = {**TWICE, "mail": world.new_email()}
    return filled(browser.get(url), browser, fields, right=(303, "/adresse/confirmation?"))


def _not_guardian(world: World, _draw: random.Random) -> Shot:
    browser, url = _open_activation(world)
    return filled(
        browser.get(url.replace("/activation?", "/activation/non-representant?")), browser, {"enfant": "0" * 32}
    )


def _waiting_page(path: str) -> Make:
    def make(world: World, _draw: random.Random) -> Shot:
        browser, _ = world.lasting(path, lambda: (world.signed_in(world.unconfirmed()), path))
        return opening(path, browser)

    return make


def _resend(world: World, _draw: random.Random) -> Shot:
    browser = world.signed_in(world.unconfirmed())
    return filled(browser.get("/adresse/confirmation"), browser, {}, right=(303, "/adresse/confirmation"))


def _take_code(world: World, _draw: random.Random) -> Shot:
    account = world.unconfirmed()
    browser = world.signed_in(account)
    page = submit(browser, browser.get("/adresse/confirmation"))  # sends the mail
    link = one_time_links.find_alive(Purpose.CONFIRM_EMAIL, account.id)
    code = one_time_links.code(world.build.settings, link) if link else None
    return filled(page, browser, {"code": str(code)}, right=(200, ""))


def _correct(world: World, _draw: random.Random) -> Shot:
    browser = world.signed_in(world.unconfirmed())
    fields = {"mail": world.new_email(), "mot-de-passe": PASSWORD}
    return filled(browser.get("/adresse/modifier"), browser, fields, right=(303, "/adresse/confirmation"))


def _link(*purposes: Purpose) -> Make:
    def make(world: World, draw: random.Random) -> Shot:
        return opening(world.link(draw.choice(purposes)), world.stranger)

    return make


def _use_link(purpose: Purpose, fields: dict[str, str], right: tuple[int, str]) -> Make:
    def make(world: World, _draw: random.Random) -> Shot:
        return filled(world.stranger.get(world.link(purpose)), world.stranger, fields, right)

    return make


def _forgotten(path: str, field: str) -> Make:
    def make(world: World, _draw: random.Random) -> Shot:
        value = world.parent().username if field == "identifiant" else world.new_email()
        return filled(world.stranger.get(path), world.stranger, {field: value}, right=(303, f"{path}/envoye"))

    return make


def _owes_charter(world: World) -> Opened:
    browser = world.signed_in()
    return browser, browser.get(world.provider.url(Attempt())).headers["Location"]


def _charter_page(path: str, right: tuple[int, str]) -> Make:
    def make(world: World, _draw: random.Random) -> Shot:
        browser, url = world.lasting("charter", lambda: _owes_charter(world))
        return opening(url.replace("/charte?", f"{path}?"), browser, right)

    return make


def _charter(world: World, _draw: random.Random) -> Shot:
    browser, url = _owes_charter(world)
    fields = {"version": "1", "accepte": "y"}
    return filled(browser.get(url), browser, fields, right=(303, "/authorize/resume?"))


def _owes_agreement(world: World) -> Opened:
    browser = world.at_home()
    return browser, browser.get(world.open.url(Attempt(), prompt="consent")).headers["Location"]


def _agreement_page(world: World, _draw: random.Random) -> Shot:
    browser, url = _owes_agreement(world)
    return opening(url, browser)


def _agreement(world: World, _draw: random.Random) -> Shot:
    browser, url = _owes_agreement(world)
    return filled(browser.get(url), browser, {}, right=(303, "/authorize/resume?"))


def _scan_letter(world: World) -> Opened:
    browser = world.signed_in()
    return browser, browser.get(world.open.url(Attempt(), login_hint=LETTER_HINT)).headers["Location"]


def _who_page(world: World, _draw: random.Random) -> Shot:
    browser, url = _scan_letter(world)
    return opening(url, browser)


def _who(fields: dict[str, str]) -> Make:
    def make(world: World, _draw: random.Random) -> Shot:
        browser, url = _scan_letter(world)
        return filled(browser.get(url), browser, fields, right=(303, "/authorize/resume?"))

    return make


def _not_this_ent(world: World, _draw: random.Random) -> Shot:
    browser = world.at_home()
    url = browser.get(world.foreign.url(Attempt())).headers["Location"]
    return opening(url, browser)


def _resume(world: World, _draw: random.Random) -> Shot:
    browser, url = _owes_agreement(world)
    answer = browser.post(url, data={"csrf_token": form_token(browser.get(url))})
    return opening(answer.headers["Location"], browser, right=(303, f"{world.open.redirect_uri}?code="))


def _deny(world: World, draw: random.Random) -> Shot:
    """Refuse the consent, or go back from the choice of the profile."""
    browser, url = draw.choice([_owes_agreement, _open_profile])(world)
    leads_to = f"{world.open.redirect_uri}?error=access_denied"
    return opening(f"/authorize/refus?{url.partition('?')[2]}", browser, right=(303, leads_to))


def _mine(path: str) -> Make:
    def make(world: World, _draw: random.Random) -> Shot:
        return opening(path, world.at_home(path))

    return make


def _my_charter(world: World, _draw: random.Random) -> Shot:
    return opening(f"/mon-compte/charte/{world.charter}", world.at_home())


def _change(
    path: str, fields: Callable[[World], dict[str, str]], leads_to: str, *, pending: bool = False, query: str = ""
) -> Make:
    """Send a form of the account's pages, for a parent without further steps."""

    def make(world: World, _draw: random.Random) -> Shot:
        browser = world.signed_in(world.parent(pending_email=world.new_email()) if pending else None)
        return filled(browser.get(f"{path}{query}"), browser, fields(world), right=(303, leads_to))

    return make


def _end_others(world: World, _draw: random.Random) -> Shot:
    account = world.parent()
    _, browser = world.signed_in(account), world.signed_in(account)
    return filled(browser.get(_SESSIONS), browser, {"toutes": "1"}, right=(303, f"{_SESSIONS}?fait=autres"))


def _letter(world: World) -> dict[str, str]:
    return {"identifiant": world.build.never_activated(**HOME).username, "mot-de-passe": PROVISIONAL}


def _open_doubt(world: World) -> Opened:
    browser = world.signed_in()
    letter = world.build.never_activated(family_name="MARTIN", given_name="Paul")
    page = browser.get("/mon-compte/courrier")
    return browser, submit(browser, page, identifiant=letter.username, mot_de_passe=PROVISIONAL).request.path


def _doubt(world: World, _draw: random.Random) -> Shot:
    browser, url = world.lasting("doubt", lambda: _open_doubt(world))
    return opening(url, browser)


_CONFIRM, _CHANGE, _CONTEST = Purpose.CONFIRM_EMAIL, Purpose.CHANGE_EMAIL, Purpose.CONTEST_EMAIL
_REPORT = Purpose.REPORT_ACTIVATION
_OPEN = (
    *("/healthz", "/readyz", "/accessibilite", "/donnees-personnelles", "/mentions-legales", "/connexion", "/profil"),
    *("/identifiant-oublie", "/identifiant-oublie/envoye", "/mot-de-passe-oublie", "/mot-de-passe-oublie/envoye"),
    "/mot-de-passe/change",
)
_HOME, _PASSWORD, _EMAIL = "/mon-compte", "/mon-compte/mot-de-passe", "/mon-compte/adresse"
_SESSIONS, _PROOF, _LETTER = "/mon-compte/sessions", "/mon-compte/verification", "/mon-compte/courrier"
_MINE = (_HOME, _PASSWORD, _EMAIL, _SESSIONS, _PROOF, _LETTER, "/mon-compte/charte", "/mon-compte/ent")
PEOPLE: dict[str, tuple[Make, ...]] = {
    **{f"GET {path}": (_public(path),) for path in _OPEN},
    **{f"GET {path}": (_mine(path),) for path in _MINE},
    "GET /": (_root,),
    "GET /.well-known/change-password": (_change_password,),
    "GET /.well-known/security.txt": (_security_txt,),
    "POST /profil": (_profile,),
    "GET /mon-ent": (_public("/mon-ent"),),
    "GET /profil/ailleurs": (_elsewhere,),
    "POST /connexion": (_sign_in, sign_in_by_key),
    "GET /activation": (_activation_page("/activation"),),
    "POST /activation": (_activation,),
    "GET /activation/non-representant": (_activation_page("/activation/non-representant"),),
    "POST /activation/non-representant": (_not_guardian,),
    "GET /adresse/confirmation": (_waiting_page("/adresse/confirmation"),),
    "POST /adresse/confirmation": (_resend, _take_code),
    "GET /adresse/confirmation/etat": (_waiting_page("/adresse/confirmation/etat"),),
    "GET /adresse/modifier": (_waiting_page("/adresse/modifier"),),
    "POST /adresse/modifier": (_correct,),
    "GET /adresse/lien/<token>": (_link(_CONFIRM, _CHANGE),),
    "POST /adresse/lien/<token>": tuple(
        _use_link(purpose, {"mot-de-passe": PASSWORD}, (200, "")) for purpose in (_CONFIRM, _CHANGE)
    ),
    "GET /adresse/contestation/<token>": (_link(_CONTEST),),
    "POST /adresse/contestation/<token>": (_use_link(_CONTEST, {}, (303, "/adresse/contestation/")),),
    "GET /adresse/signalement/<token>": (_link(_REPORT),),
    "POST /adresse/signalement/<token>": (_use_link(_REPORT, {}, (303, "/adresse/signalement/")),),
    "GET /mot-de-passe/lien/<token>": (_link(Purpose.RESET_PASSWORD),),
    "POST /mot-de-passe/lien/<token>": (_use_link(Purpose.RESET_PASSWORD, TWICE, (303, "/mot-de-passe/change")),),
    "POST /identifiant-oublie": (_forgotten("/identifiant-oublie", "mail"),),
    "POST /mot-de-passe-oublie": (_forgotten("/mot-de-passe-oublie", "identifiant"),),
    "GET /charte": (_charter_page("/charte", (200, "")),),
    "POST /charte": (_charter,),
    "GET /charte/refus": (_charter_page("/charte/refus", (303, "/authorize/refus?")),),
    "GET /authorize/accord": (_agreement_page,),
    "GET /authorize/autre-ent": (_not_this_ent,),
    "GET /authorize/est-ce-vous": (_who_page,),
    "POST /authorize/est-ce-vous": (_who({}), _who({"autre": "1"})),
    "POST /authorize/accord": (_agreement,),
    "GET /authorize/resume": (_resume,),
    "GET /authorize/refus": (_deny,),
    "GET /mon-compte/charte/<version>": (_my_charter,),
    "GET /mon-compte/courrier/doute": (_doubt,),
    "POST /mon-compte/mot-de-passe": (_change(_PASSWORD, lambda _: {"actuel": PASSWORD, **TWICE}, f"{_HOME}?"),),
    "POST /mon-compte/adresse": (
        _change(_EMAIL, lambda world: {"actuel": PASSWORD, "mail": world.new_email()}, _EMAIL),
        _change(_EMAIL, lambda _: {"renvoyer": "1"}, f"{_EMAIL}?", pending=True),
        _change(_EMAIL, lambda _: {"garder": "1"}, f"{_HOME}?", pending=True),
    ),
    "POST /mon-compte/sessions": (_end_others,),
    "POST /mon-compte/verification": (
        _change(_PROOF, lambda _: {"mot-de-passe": PASSWORD}, f"{_SESSIONS}?", query="?suite=connexions"),
    ),
    "POST /mon-compte/courrier": (_change(_LETTER, _letter, f"{_HOME}?"),),
}
