"""Valid requests of programs and of passkeys: each function creates a new request, which the service must accept."""

import random
from collections.abc import Callable
from typing import Any

from flask.testing import FlaskClient

from tests.authenticator import Authenticator, key_of_parent, options
from tests.builders import LYCEE
from tests.fuzz.bends import Shot, filled, opening
from tests.fuzz.world import World
from tests.my_account.passkeys import CHALLENGE, PAGE, add, begin
from tests.protocol.flow import OFFLINE
from tests.protocol.registering import bearer, invited, of_another, registered
from tests.relying_party import Attempt, RelyingParty

Make = Callable[[World, random.Random], Shot]
Form = dict[str, str]


def _request(ent: RelyingParty, attempt: Attempt) -> Form:
    return {
        "response_type": "code",
        "client_id": ent.client_id,
        "redirect_uri": ent.redirect_uri,
        "scope": OFFLINE,
        "state": attempt.state,
        "nonce": attempt.nonce,
        "code_challenge": attempt.challenge,
        "code_challenge_method": "S256",
    }


def _authorize(world: World, draw: random.Random) -> Shot:
    ent = draw.choice(world.ents)
    query = list(_request(ent, Attempt()).items())
    return Shot("GET", "/authorize", query, browser=world.at_home(), right=(303, f"{ent.redirect_uri}?code="))


def _wished(world: World, draw: random.Random) -> Shot:
    shot = _authorize(world, draw)
    shot.right = None
    shot.query += draw.sample(
        [
            ("response_mode", "form_post"),
            ("prompt", draw.choice(["none", "login", "select_account consent"])),
            ("max_age", draw.choice(["0", "600"])),
            ("id_token_hint", world.tokens()["id_token"]),
            ("claims", '{"userinfo":{"email":{"essential":true}},"id_token":{"acr":{"values":["x"]}}}'),
            ("acr_values", "urn:scolarite-services:acr:password-known-device"),
            ("login_hint", "profil:parent"),
            ("ui_locales", "fr"),
        ],
        draw.randint(1, 4),
    )
    return shot


def _authorize_by_post(world: World, draw: random.Random) -> Shot:
    shot = draw.choice([_authorize, _wished])(world, draw)
    return Shot("POST", "/authorize", form=shot.query, browser=shot.browser, right=(303, "/authorize?"))


def _pushed(world: World, draw: random.Random) -> Shot:
    ent = draw.choice([world.secret, world.signing])
    uri = ent.pushed(world.stranger, Attempt(), scope=OFFLINE)
    query = [("client_id", ent.client_id), ("request_uri", uri)]
    return Shot("GET", "/authorize", query, browser=world.at_home(), right=(303, f"{ent.redirect_uri}?code="))


def _proved(world: World, draw: random.Random, ent: RelyingParty, path: str, form: Form) -> Shot:
    shot = Shot("POST", path, form=[])
    if ent is world.secret:
        shot.headers = ent.basic()
    elif ent is world.signing:
        form = {**form, **world.signing.assertion()}
    else:
        form = {**form, "client_id": ent.client_id, **({"client_secret": ent.secret} if ent.secret else {})}
    if path in {"/token", "/par"} and draw.random() < 0.3:
        shot.headers["DPoP"] = world.secret.fresh_proof(path)
    shot.form = list(form.items())
    return shot


def _code(world: World, draw: random.Random) -> Shot:
    ent = draw.choice(world.ents)
    code, attempt = world.code(ent)
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": ent.redirect_uri}
    return _proved(world, draw, ent, "/token", {**form, "code_verifier": attempt.verifier})


def _refresh(world: World, draw: random.Random) -> Shot:
    token = world.fresh_tokens()["refresh_token"]
    form = {"grant_type": "refresh_token", "refresh_token": token, "scope": "openid"}
    return _proved(world, draw, world.secret, "/token", form)


def _push(world: World, draw: random.Random) -> Shot:
    ent = draw.choice(world.ents)
    shot = _proved(world, draw, ent, "/par", _request(ent, Attempt()))
    shot.right = (201, "")
    return shot


def _revoke(world: World, draw: random.Random) -> Shot:
    kind = draw.choice(["access_token", "refresh_token"])
    form = {"token": world.fresh_tokens()[kind], "token_type_hint": kind}
    return _proved(world, draw, world.secret, "/revoke", form)


def _introspect(world: World, draw: random.Random) -> Shot:
    token = draw.choice([world.tokens()["access_token"], world.tokens()["id_token"], "x" * 43])
    form = {"token": token, "token_type_hint": "access_token"}
    return _proved(world, draw, world.secret, "/introspect", form)


def _with_token(world: World, draw: random.Random, method: str, path: str) -> Shot:
    if draw.random() < 0.3:
        token = world.tokens()["bound"]
        proof = world.secret.fresh_proof(path, method, token)
        return Shot(method, path, headers={"Authorization": f"DPoP {token}", "DPoP": proof})
    return Shot(method, path, headers=bearer(world.tokens()["access_token"]))


def _userinfo(world: World, draw: random.Random) -> Shot:
    return _with_token(world, draw, "GET", "/userinfo")


def _userinfo_by_post(world: World, draw: random.Random) -> Shot:
    if draw.random() < 0.5:
        return Shot("POST", "/userinfo", form=[("access_token", world.tokens()["access_token"])])
    return _with_token(world, draw, "POST", "/userinfo")


def _charter(world: World, draw: random.Random) -> Shot:
    return _with_token(world, draw, "GET", "/charter")


def _acceptance(world: World, draw: random.Random) -> Shot:
    shot = _with_token(world, draw, "POST", "/charter/acceptance")
    shot.json = {"version": "1"}
    return shot


def _outdated_acceptance(world: World, draw: random.Random) -> Shot:
    shot = _acceptance(world, draw)
    shot.json, shot.right = {"version": "0"}, (409, "")
    return shot


def _metadata(world: World, draw: random.Random) -> dict[str, Any]:
    return {
        **of_another(),
        "scope": "openid profile",
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": draw.choice(["client_secret_basic", "private_key_jwt", "none"]),
        "jwks": {"keys": [{**world.key.jwk, "kid": "k1"}]},
        "subject_type": "pairwise",
        "contacts": ["a@b.test"],
        "post_logout_redirect_uris": ["https://nouveau.test/"],
        "default_max_age": 600,
    }


def _invited() -> str:
    """Invite an ENT of a school without parents in this world, so that their pages do not grow."""
    return invited(uais=(LYCEE,))


def _register(world: World, draw: random.Random) -> Shot:
    return Shot("POST", "/register", json=_metadata(world, draw), headers=bearer(_invited()), right=(201, ""))


def _registered(method: str) -> Make:
    def make(world: World, draw: random.Random) -> Shot:
        metadata = _metadata(world, draw)
        response = registered(world.stranger, _invited(), **metadata)
        shot = Shot(method, f"/register/{response['client_id']}", headers=bearer(response["registration_access_token"]))
        if method == "PUT":
            shot.json = {**metadata, "client_id": response["client_id"], **of_another()}
        if method == "DELETE":
            shot.right = (204, "")
        return shot

    return make


_BYE = "https://secret.test/bye"


def _leaving(world: World) -> tuple[FlaskClient, Form]:
    """Return the browser of a parent who may sign out, and the ENT's request for it."""
    pairs = {"client_id": world.secret.client_id, "post_logout_redirect_uri": _BYE, "state": "s"}
    return world.signed_in(), pairs


def _logout(world: World, _draw: random.Random) -> Shot:
    leaving, pairs = _leaving(world)
    pairs["id_token_hint"] = world.fresh_tokens(leaving)["id_token"]
    return Shot("GET", "/logout", list(pairs.items()), browser=leaving, right=(303, _BYE))


def _logout_by_post(world: World, draw: random.Random) -> Shot:
    shot = _logout(world, draw)
    return Shot("POST", "/logout", form=shot.query, browser=shot.browser, right=(303, "/logout?"))


def _logout_by_form(world: World, _draw: random.Random) -> Shot:
    leaving, pairs = _leaving(world)
    shot = filled(leaving.get("/logout", query_string=pairs), leaving, pairs, right=(303, _BYE))
    shot.query = []
    return shot


def _document(path: str) -> Make:
    def make(world: World, _draw: random.Random) -> Shot:
        return Shot("GET", path, browser=world.stranger)

    return make


_DOCUMENTS = (
    *("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server", "/jwks.json"),
    "/session/check",
)
PROTOCOL: dict[str, tuple[Make, ...]] = {
    "GET /authorize": (_authorize, _wished, _pushed),
    "POST /authorize": (_authorize_by_post,),
    "POST /token": (_code, _refresh),
    "POST /par": (_push,),
    "POST /revoke": (_revoke,),
    "POST /introspect": (_introspect,),
    "GET /userinfo": (_userinfo,),
    "POST /userinfo": (_userinfo_by_post,),
    "GET /charter": (_charter,),
    "POST /charter/acceptance": (_acceptance, _outdated_acceptance),
    "POST /register": (_register,),
    **{f"{method} /register/<client_id>": (_registered(method),) for method in ("GET", "PUT", "DELETE")},
    "GET /logout": (_logout,),
    "POST /logout": (_logout_by_form, _logout_by_post),
    **{f"GET {path}": (_document(path),) for path in _DOCUMENTS},
}


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
