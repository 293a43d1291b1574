"""Twenty thousand parents with a child each, and the ENT of their schools: the size of a département.

The parents who sign in are spread over the whole table, so that query plans that are only good for the first pages of
an index do badly.
"""

import uuid
from collections.abc import Iterator
from itertools import cycle
from typing import Any

from sqlalchemy import insert, text

from bench.driver.provider import Client, Person, Provider
from idp import schema
from idp.accounts.models import Account, Child, Degree, Guardianship, School
from idp.accounts.passwords.hasher import Hasher
from idp.app import create_app
from idp.clock import now
from idp.config import Settings
from idp.db import Base, db, unit_of_work
from idp.oidc.keys import rotation
from idp.registration.metadata import ClientMetadata
from idp.registration.registrations import register
from idp.services import services_of
from idp.sessions import manager
from idp.uai import uai_of_number
from idp.web.browser import cookie_name

ACCOUNTS = 20_000
PASSWORD = "tasse vélo nuage citron"  # noqa: S105 - of all accounts, in a temporary database
PRODUCT = "idp"
"""The service's name in the tables."""
REDIRECT_URI = "http://127.0.0.1:9/callback"
SCOPES = "openid profile email ent charter offline_access"
_CLAIMS = frozenset({"sub", "name", "email", "children"})
_WITH_SESSION = 2_000  # enough that no session reaches its rate limit
_SCHOOLS = 40
_AT_ONCE = 2_000


def populate(settings: Settings, back_channel: str = "") -> Provider:
    """Migrate the database of `settings`, fill it, register the client and open sessions.

    Args:
        settings: of the service.
        back_channel: the client's URL for logout tokens, if it has one.

    Returns:
        The service, with the parents who sign in.
    """
    schema.upgrade(settings)
    app = create_app(settings)
    with app.app_context():
        rotation.rotate(settings)
        password_hash = Hasher(settings).hash(PASSWORD, "sign_in")
        with unit_of_work():
            uais = _schools()
            accounts = _families(password_hash, uais)
        metadata = ClientMetadata(
            name="Banc d’essai",
            redirect_uris=[REDIRECT_URI],
            uais=list(uais),
            scopes=SCOPES.split(),
            refresh_id_token=True,
            backchannel_logout_uri=back_channel,
        )
        client, secret = register(settings, metadata)
        cookie = cookie_name(settings, "ss")
        with unit_of_work():
            parents = [_with_session(account, cookie) for account in accounts]
            if db.engine.dialect.name == "postgresql":  # autovacuum would do it within a minute
                db.session.execute(text("ANALYZE"))
        db.session.remove()
        db.engine.dispose()
        services_of(app).close()
        client_id = client.client_id
    return Provider(
        name=PRODUCT,
        port=int(settings.issuer.rpartition(":")[2]),
        client=Client(client_id, secret or "", REDIRECT_URI, SCOPES, {"login_hint": "profil:parent"}),
        username_field="identifiant",
        password_field="mot-de-passe",  # noqa: S106 - the name of a field
        password=PASSWORD,
        people=parents,
        claims=_CLAIMS,
        at_hash=True,
    )


def _schools() -> dict[str, uuid.UUID]:
    """Add schools; return their keys by UAI."""
    schools = {uai_of_number(9_990_000 + number): uuid.uuid4() for number in range(_SCHOOLS)}
    _insert(
        School,
        (
            {
                "id": key,
                "uai": uai,
                "name": f"Collège {uai}",
                "degree": Degree.SECONDARY,
                "postal_address": [],
                "phone": "",
            }
            for uai, key in schools.items()
        ),
    )
    return schools


def _families(password_hash: str, schools: dict[str, uuid.UUID]) -> list[uuid.UUID]:
    """Add parents and children, all with one password; return the keys of those who get a session."""
    keys_of_schools = cycle(schools.values())
    people = [(number, uuid.uuid4(), uuid.uuid4()) for number in range(ACCOUNTS)]
    _insert(Account, (_account(number, key, password_hash) for number, key, _ in people))
    _insert(
        Child,
        (
            {
                "id": child,
                "school_id": next(keys_of_schools),
                "student_id": str(700_000 + number),
                "family_name": f"LEROY {number}",
                "given_name": "Malo",
                "class_name": "6e 1",
            }
            for number, _, child in people
        ),
    )
    _insert(
        Guardianship,
        ({"account_id": key, "child_id": child, "rank": 0, "kinship": "10"} for _, key, child in people),
    )
    return [key for _, key, _ in people[:: ACCOUNTS // _WITH_SESSION]]


def _account(number: int, key: uuid.UUID, password_hash: str) -> dict[str, Any]:
    moment = now()
    return {
        "id": key,
        "username": username(number),
        "civility": "Mme",
        "given_name": "Noémie",
        "family_name": f"LEROY {number}",
        "join_key": str(9_000_000 + number),
        "password_hash": password_hash,
        "password_changed_at": moment,
        "activated_at": moment,
        "email": f"{username(number)}@exemple.fr",
        "email_confirmed_at": moment,
        "generation": 1,
        "address_lines": ["12 rue des Tilleuls"],
    }


def username(number: int) -> str:
    """Return the identifier of a parent by number."""
    return f"n.leroy{number:05d}"


def _with_session(key: uuid.UUID, cookie: str) -> Person:
    account = db.session.get_one(Account, key)
    browser = manager.Browser("127.0.0.1", "bench")
    value = manager.open_session(account, ["pwd"], browser, former=None)
    return Person(account.username, {cookie: value})


def _insert(table: type[Base], rows: Iterator[dict[str, Any]]) -> None:
    pending = list(rows)
    for start in range(0, len(pending), _AT_ONCE):
        db.session.execute(insert(table), pending[start : start + _AT_ONCE])
