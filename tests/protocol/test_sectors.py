"""Pairwise subjects by sector (OpenID Connect Core 8.1): which clients get the same `sub`, and for how long."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import delete, func, select, update

from idp.accounts.models import Account
from idp.app import create_app
from idp.clients import registry
from idp.clients.models import Client, ClientInvite, ClientSchool, Sector
from idp.config import Settings
from idp.db import db
from idp.oidc.claims import release
from idp.registration import approvals, registrations, rows, sectors
from idp.registration.faults import RegistrationRefusedError
from idp.registration.metadata import ClientMetadata
from tests.builders import COLLEGE, Build, change_registration, commit
from tests.databases import SECRET, settings_for
from tests.protocol.ent_server import Answer, EntServer, Resolver, authority, listening_ent
from tests.protocol.flow import refused, tokens_for
from tests.protocol.registering import bearer, invited, party, register, registered, replaced
from tests.protocol.test_races import rush
from tests.relying_party import RelyingParty

BOTH = ["https://un.test/cb", "https://deux.test/cb"]


def sub(browser: FlaskClient, ent: RelyingParty) -> str:
    return str(tokens_for(browser, ent, scope="openid")["claims"]["sub"])


def requested(client_id: str) -> ClientMetadata:
    return rows.read(registrations.get(client_id))


@pytest.mark.row("U-06")
def test_clients_of_one_host_share_a_subject_and_others_do_not(
    browser: FlaskClient, build: Build, session: Account
) -> None:
    # OpenID Connect Core 1.0, 8.1.
    first, same, usual, port = (
        build.ent(name, host)
        for name, host in (("A", "un.test"), ("B", "un.test"), ("C", "un.test:443"), ("D", "un.test:8443"))
    )
    others = [build.ent(host, host) for host in ("deux.test", "a.un.test")]
    shared = sub(browser, first)
    assert sub(browser, same) == sub(browser, usual) == sub(browser, port) == shared
    assert len({shared, *(sub(browser, other) for other in others)}) == 3
    assert session.id.hex not in shared


@pytest.mark.row("U-06")
def test_a_subject_outlives_the_client_and_the_secret_key(
    browser: FlaskClient, build: Build, session: Account, settings: Settings
) -> None:
    # OpenID Connect Core 1.0, 8. A client that is removed and registered again gets the same subjects.
    first = build.ent(host="un.test")
    before = sub(browser, first)
    key = db.session.scalar(select(Client.id).where(Client.client_id == first.client_id))
    db.session.execute(delete(ClientSchool).where(ClientSchool.client_id == key))
    commit(delete(Client).where(Client.id == key))
    assert sub(browser, build.ent("Autre", "un.test")) == before
    account = session.id
    db.session.rollback()
    changed = settings_for(settings.database_url, secret_key="another " + SECRET, secret_key_fallbacks=[SECRET])
    app = create_app(changed)
    with app.app_context():
        registry.forget()
        row, _ = registrations.register(
            changed, ClientMetadata(name="Encore", redirect_uris=["https://un.test/autre"], uais=[COLLEGE])
        )
        client = registry.find(row.client_id)
        assert client is not None
        assert release.subject(client, account, None) == before
        db.session.remove()
        db.engine.dispose()


@pytest.mark.row("U-06")
def test_clients_older_than_sectors_keep_their_salt(
    browser: FlaskClient, build: Build, session: Account, settings: Settings
) -> None:
    # OpenID Connect Core 1.0, 8. Clients that are older than sectors keep their subjects, also when their
    # registration changes.
    old = build.ent(host="un.test")
    commit(update(Client).values(subject_salt=b"a salt of before the sectors"))
    registry.forget()
    before = sub(browser, old)
    assert sub(browser, build.ent("Nouveau", "un.test")) != before
    client = registrations.get(old.client_id)
    more = replace(rows.read(client), redirect_uris=[old.redirect_uri, "https://un.test/cb2"])
    change_registration(settings, client, more)
    registry.forget()
    assert sub(browser, old) == before


def test_several_hosts_without_a_document(browser: FlaskClient, build: Build, settings: Settings) -> None:
    # OpenID Connect Core 1.0, 8.1, 8.
    metadata: dict[str, Any] = {"redirect_uris": BOTH, "subject_type": "pairwise"}
    refused(register(browser, invited(), **metadata), "invalid_client_metadata")
    with pytest.raises(RegistrationRefusedError, match="sector_identifier_uri is needed"):
        build.ent(redirect_uris=BOTH)
    registration = registered(browser, invited(), redirect_uris=BOTH, subject_type="public")
    assert registration["redirect_uris"] == BOTH
    changed = registrations.get(build.ent(host="un.test").client_id)
    both = replace(rows.read(changed), redirect_uris=BOTH)
    with pytest.raises(RegistrationRefusedError, match=r"sector_identifier_uri is needed on un\.test"):
        change_registration(settings, changed, both)


@pytest.mark.row("U-06")
def test_several_hosts_without_a_document_keep_a_sector_of_their_own(
    browser: FlaskClient, build: Build, session: Account, settings: Settings
) -> None:
    # OpenID Connect Registration 1.0, 2; OpenID Connect Core 1.0, 8.
    registration = registered(browser, invited(), redirect_uris=BOTH)
    assert (registration["subject_type"], registration["redirect_uris"]) == ("pairwise", BOTH)
    before = sub(browser, party(settings, registration))
    twin = registered(browser, invited(), client_name="Jumeau", redirect_uris=BOTH)
    neighbours = [build.ent("Un", "un.test"), build.ent("Deux", "deux.test")]
    others = [sub(browser, party(settings, twin)), *(sub(browser, neighbour) for neighbour in neighbours)]
    assert len({before, *others}) == 4
    for change in ({"redirect_uris": BOTH[:1]}, {"redirect_uris": BOTH[:1], "subject_type": "pairwise"}):
        answer = replaced(browser, registration, **change)
        assert answer.status_code == 200, answer.text
        assert sub(browser, party(settings, registration)) == before
    client = registrations.get(registration["client_id"])
    for uris in (BOTH, [*BOTH, "https://trois.test/cb"]):  # an operator adds hosts
        change_registration(settings, client, replace(rows.read(client), redirect_uris=uris))
        registry.forget()
        assert sub(browser, party(settings, registration)) == before
    document = {"redirect_uris": BOTH, "sector_identifier_uri": "https://un.test/uris.json"}
    refused(replaced(browser, registration, **document), "invalid_client_metadata")


def test_a_change_that_would_change_the_sector_is_refused(build: Build, settings: Settings) -> None:
    # OpenID Connect Core 1.0, 8.1.
    client = registrations.get(build.ent(host="un.test").client_id)
    now = rows.read(client)
    for uris in (["https://deux.test/cb"], ["https://a.un.test/cb"]):
        with pytest.raises(RegistrationRefusedError, match="another sector"):
            change_registration(settings, client, replace(now, redirect_uris=uris))
    change_registration(settings, client, replace(now, redirect_uris=["https://un.test:8443/cb"]))
    with pytest.raises(RegistrationRefusedError, match="subject cannot change"):
        change_registration(settings, client, replace(now, subject="public"))


@pytest.mark.row("U-06")
def test_an_ent_that_changes_its_host_gets_other_sids(
    browser: FlaskClient, build: Build, session: Account, settings: Settings
) -> None:
    # Back-Channel Logout 1.0, 2.1. An ENT that was registered on the host of another ENT and then moves must not
    # know the other one's `sid`.
    victim = build.ent(host="un.test")
    registration = registered(browser, invited(), subject_type="public", redirect_uris=["https://un.test/autre"])
    waits = replaced(browser, registration, subject_type="public", redirect_uris=["https://ailleurs.test/cb"])
    assert waits.get_json()["redirect_uris"] == ["https://un.test/autre"]
    approvals.approve(settings, registration["client_id"])
    moved = replaced(browser, registration, subject_type="public", redirect_uris=["https://ailleurs.test/cb"])
    assert moved.status_code == 200
    elsewhere = party(settings, moved.get_json() | {"client_secret": registration["client_secret"]})
    sids = [tokens_for(browser, client)["claims"]["sid"] for client in (victim, elsewhere)]
    assert len(set(sids)) == 2


def test_concurrent_registrations_of_a_sector_share_a_salt(app: Flask, settings: Settings) -> None:
    # OpenID Connect Core 1.0, 8.1.
    tokens = [invited() for _ in range(4)]
    bodies = [json.dumps({"client_name": f"ENT {n}", "redirect_uris": [f"https://r{n}.test/cb"]}) for n in range(4)]
    common = {"path": "/register", "method": "POST", "content_type": "application/json"}
    rush(
        settings.database_url,
        settings.issuer,
        [{**common, "data": body, "headers": bearer(token)} for body, token in zip(bodies, tokens, strict=True)],
        processes=4,
    )
    assert db.session.scalar(select(func.count()).select_from(Sector)) == 4
    salts = {identifier: sectors.salt(identifier) for identifier in db.session.scalars(select(Sector.identifier))}
    assert len(set(salts.values())) == 4
    for client in db.session.scalars(select(Client)):
        assert client.subject_salt == salts[urlsplit(client.redirect_uris[0]).hostname or ""]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    fake_resolver = Resolver(monkeypatch)
    fake_resolver.hosts = {"secteur.test": ["127.0.0.1"]}
    return fake_resolver


@pytest.fixture
def server(resolver: Resolver, tmp_path: Path) -> Iterator[EntServer]:
    with listening_ent(authority(tmp_path, "secteur.test").chain) as served:
        yield served


class TestDocuments:
    @pytest.fixture
    def settings(self, database_url: str, tmp_path: Path, server: EntServer) -> Settings:
        assert server.port
        return settings_for(
            database_url, ca_bundle=tmp_path / "secteur.test.root.pem", outgoing_allow=("secteur.test",)
        )

    @pytest.mark.row("U-06")
    @pytest.mark.usefixtures("session")
    def test_a_document_joins_hosts_in_one_sector(
        self, browser: FlaskClient, settings: Settings, server: EntServer
    ) -> None:
        # OpenID Connect Core 1.0, 8.1; OpenID Connect Registration 1.0, 5.
        document = server.uri("secteur.test", "/uris.json")
        server.served["/uris.json"] = (200, {}, json.dumps([*BOTH, "https://trois.test/cb", 5]).encode())
        first, second, third = (
            registered(browser, invited(), client_name=name, redirect_uris=uris, sector_identifier_uri=document)
            for name, uris in (("Un", BOTH), ("Deux", BOTH[:1]), ("Trois", ["https://trois.test/cb"]))
        )
        assert first["sector_identifier_uri"] == document
        subjects = {sub(browser, party(settings, registration)) for registration in (first, second, third)}
        assert len(subjects) == 1
        alone = registered(browser, invited(), client_name="Seul", redirect_uris=BOTH[:1])
        assert sub(browser, party(settings, alone)) not in subjects

    @pytest.mark.parametrize(
        "answer",
        [
            (200, {}, b'["https://un.test/cb"]'),
            (200, {}, b'["https://un.test/cb", "https://deux.test/CB"]'),
            (200, {}, b'{"https://un.test/cb": 1, "https://deux.test/cb": 1}'),
            (200, {}, b'"https://un.test/cb https://deux.test/cb"'),
            (200, {}, b"null"),
            (200, {}, b"["),
            (200, {}, b"[" * 5000),
            (200, {}, b"\xff"),
            (200, {}, b'["https://un.test/cb", "https://deux.test/cb", "' + b"x" * 66_000 + b'"]'),
            (302, {"Location": "/uris.json"}, b'["https://un.test/cb", "https://deux.test/cb"]'),
            (404, {}, b'["https://un.test/cb", "https://deux.test/cb"]'),
            (500, {}, b""),
        ],
    )
    def test_a_document_that_does_not_hold(self, browser: FlaskClient, server: EntServer, answer: Answer) -> None:
        # OpenID Connect Registration 1.0, 5. An unreadable document contains no URI. The invitation stays valid.
        token = invited()
        server.served["/s"] = answer
        document = server.uri("secteur.test", "/s")
        for subjects in ("pairwise", "public"):
            response = register(
                browser, token, redirect_uris=BOTH, sector_identifier_uri=document, subject_type=subjects
            )
            refused(response, "invalid_client_metadata")
            assert "sector_identifier_uri" in response.get_json()["error_description"]
        assert db.session.scalar(select(func.count()).select_from(Client)) == 0
        assert db.session.scalars(select(ClientInvite.used_at)).one() is None
        server.served["/s"] = (200, {}, json.dumps(BOTH).encode())
        registered(browser, token, redirect_uris=BOTH, sector_identifier_uri=document)

    def test_the_document_is_asked_for_when_it_decides(self, browser: FlaskClient, server: EntServer) -> None:
        # OpenID Connect Registration 1.0, 5. Another change must not fail because the ENT's server is
        # unavailable.
        document = server.uri("secteur.test", "/s")
        server.served["/s"] = (200, {}, json.dumps(BOTH).encode())
        registration = registered(browser, invited(), redirect_uris=BOTH, sector_identifier_uri=document)
        server.served.clear()
        same: dict[str, Any] = {"redirect_uris": BOTH, "sector_identifier_uri": document}
        assert replaced(browser, registration, client_name="Autre", **same).status_code == 200
        assert len(server.asked) == 1
        refused(replaced(browser, registration, **{**same, "redirect_uris": BOTH[:1]}), "invalid_client_metadata")
        assert replaced(browser, registration, **{**same, "sector_identifier_uri": None}).status_code == 400


def test_an_internal_sector_document_is_not_fetched(browser: FlaskClient, server: EntServer) -> None:
    # OWASP ASVS 5, V 1.3.6. A URL chosen by others must not lead into the network of the service.
    response = register(browser, invited(), redirect_uris=BOTH, sector_identifier_uri=server.uri("secteur.test", "/s"))
    refused(response, "invalid_client_metadata")
    assert server.asked == []
    # the error does not reveal which internal hosts exist and listen
    for elsewhere in ("https://nulle-part.test/s", "https://127.0.0.1/s", server.uri("secteur.test", "/s")):
        response = register(browser, invited(), redirect_uris=BOTH, sector_identifier_uri=elsewhere)
        assert response.get_json()["error_description"] == "sector_identifier_uri cannot be read"
