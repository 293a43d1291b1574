"""Valid requests with passkeys."""

import random

from tests.authenticator import Authenticator, key_of_parent, options
from tests.fuzz.protocol import Make
from tests.fuzz.shots import Shot, filled, opening
from tests.fuzz.world import World
from tests.my_account.passkeys import CHALLENGE, PAGE, add, begin

_LIST = f"{PAGE}?fait="


def _challenge(path: str, page: str) -> Make:
    def make(world: World, _draw: random.Random) -> Shot:
        browser = world.signed_in()
        shot = filled(browser.get(page), browser, {})
        shot.path = path
        return shot

    return make


def _page(path: str) -> Make:
    def make(world: World, _draw: random.Random) -> Shot:
        return opening(path, world.signed_in())

    return make


def _endpoints(world: World, _draw: random.Random) -> Shot:
    return opening("/.well-known/passkey-endpoints", world.stranger)


def sign_in_by_key(world: World, _draw: random.Random) -> Shot:
    key, browser = key_of_parent(), world.app.test_client()
    add(world.signed_in(), key)
    answer = key.get(options(browser, CHALLENGE, "/connexion"))
    return filled(browser.get("/connexion"), browser, {"passkey": answer}, right=(303, "/mon-compte"))


def _add(world: World, _draw: random.Random) -> Shot:
    browser = world.signed_in()
    answer = begin(browser, Authenticator(origin=key_of_parent().origin, rp_id=key_of_parent().rp_id))
    fields = {"passkey": answer, "nom": "téléphone"}
    return filled(browser.get(PAGE), browser, fields, right=(303, f"{_LIST}ajoutee"))


def _change(path: str, done: str) -> Make:
    def make(world: World, _draw: random.Random) -> Shot:
        browser = world.signed_in()
        add(browser, key_of_parent())
        page = browser.get(PAGE)
        key = page.text.partition('name="cle" value="')[2].partition('"')[0]
        shot = filled(page, browser, {"cle": key, "nom": "autre"}, right=(303, f"{_LIST}{done}"))
        shot.path = f"{PAGE}/{path}"
        return shot

    return make


PASSKEYS: dict[str, tuple[Make, ...]] = {
    "GET /.well-known/passkey-endpoints": (_endpoints,),
    "GET /connexion/cle-d-acces": (_page("/connexion/cle-d-acces"),),
    f"POST {CHALLENGE}": (_challenge(CHALLENGE, PAGE),),
    f"GET {PAGE}": (_page(PAGE),),
    f"POST {PAGE}": (_add,),
    f"POST {PAGE}/defi": (_challenge(f"{PAGE}/defi", PAGE),),
    f"POST {PAGE}/nom": (_change("nom", "nommee"),),
    f"POST {PAGE}/retirer": (_change("retirer", "retiree"),),
}
