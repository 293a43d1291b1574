"""The recipe for entcore, as it is printed: its command registers the ENT, its settings make the relying party."""

import json
import re
import shlex
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from click.testing import CliRunner
from flask import Flask
from flask.testing import FlaskClient

from idp.accounts.models import Account, Child, Degree, School
from idp.charter import service as charters
from idp.cli.client.commands import add
from idp.db import db
from tests.builders import COLLEGE, LYCEE, PASSWORD, Build
from tests.entcore_party import Departure, EntcoreParty, RefusedError, read_key
from tests.pages import follow, heading, sign_in, submit
from tests.protocol.flow import HOST

CLIENTS = Path(__file__).parents[2] / "clients"
ENT = "https://ent.exemple.fr"
Register = Callable[..., EntcoreParty]


@pytest.fixture(name="register")
def recipe_register(app: Flask) -> Register:
    """Return a function that registers the ENT with the command of `clients/README.md` and fills in the recipe."""

    def run(*more: str, **settings: Any) -> EntcoreParty:
        chapter = (CLIENTS / "README.md").read_text().partition("\n## entcore\n")[2]
        [command] = re.findall(r"```sh\n(idp client add .*?)```", chapter, re.DOTALL)
        arguments = shlex.split(command.replace("\\\n", " "))[3:]
        result = CliRunner().invoke(add, [*arguments, *more, "--json"])
        assert result.exit_code == 0, result.output
        shown = json.loads(result.output)
        recipe = (CLIENTS / "recipes" / "entcore.json").read_text().replace("connexion.exemple.fr", HOST)
        [domain] = json.loads(recipe)["openid-federate"]["domains"].values()
        filled = domain | {"clientId": shown["client_id"], "secret": shown["client_secret"]} | settings
        return EntcoreParty(filled, app.test_client())

    return run


@pytest.fixture(name="entcore")
def recipe_party(register: Register) -> EntcoreParty:
    return register()


def location_for(browser: FlaskClient, departure: Departure) -> str:
    """Return the redirect of a signed-in browser, which encodes a space as %20."""
    answer = browser.get(urlsplit(departure.url).path, query_string=departure.query.replace(" ", "%20"))
    assert answer.status_code in {302, 303}, answer.get_data(as_text=True)
    return answer.headers["Location"]


def arrive(browser: FlaskClient, party: EntcoreParty) -> dict[str, Any]:
    departure = party.leave()
    return party.receive(location_for(browser, departure), departure)


def signed_in(browser: FlaskClient, account: Account) -> Account:
    assert sign_in(browser, "/connexion", account.username, PASSWORD).status_code == 200
    return account


def test_a_parent_signs_in_and_is_found_by_the_join_key_behind_the_prefix(
    browser: FlaskClient, build: Build, entcore: EntcoreParty
) -> None:
    parent = build.active()
    entcore.users = {f"LILLE-{parent.join_key}": "the parent", str(parent.join_key): "somebody of another academy"}
    departure = entcore.leave(f"{ENT}/timeline/timeline?fil=1")
    assert departure.query.endswith("&scope=openid profile")
    assert "code_challenge" not in departure.query
    page = follow(browser, browser.get("/authorize", query_string=departure.query))
    assert heading(page) == "Sélectionnez votre profil"
    page = submit(browser, page, profil="parent")
    answer = submit(browser, page, identifiant=parent.username, mot_de_passe=PASSWORD)
    claims = entcore.receive(answer.headers["Location"], departure)
    assert claims["sub"] == f"LILLE-{parent.join_key}"
    assert entcore.user(claims) == "the parent"
    assert claims["FrEduVecteur"], "though the scope does not ask for it"
    assert "email" not in claims


def test_an_unencoded_space_in_the_scope_is_accepted(browser: FlaskClient, build: Build, entcore: EntcoreParty) -> None:
    # entcore (clients/README.md); OpenID Connect Core 1.0, 13.1.
    parent = signed_in(browser, build.active())
    departure = entcore.leave()
    answer = browser.get("/authorize", query_string=departure.query)
    assert b"scope=openid profile" in answer.request.query_string
    claims = entcore.receive(answer.headers["Location"], departure)
    assert (claims["sub"], claims["given_name"]) == (f"LILLE-{parent.join_key}", parent.given_name)


def test_the_state_is_returned_unchanged(browser: FlaskClient, build: Build, entcore: EntcoreParty) -> None:
    # RFC 6749, 4.1.2. Entcore puts the page that was wanted into it, and encodes nothing.
    signed_in(browser, build.active())
    for landing in (f"{ENT}/", f"{ENT}/blog?id=1", f"{ENT}/a:b@c;d,e!f$g'h(i)*j~k", f"{ENT}:443//x/../y?z=/?"):
        departure = entcore.leave(landing)  # sent as it is
        assert entcore.tokens(location_for(browser, departure), departure)
    for landing in (f"{ENT}/a?b=c&d=e#f", f"{ENT}/a+b%20c%2Bd%C3%A9", f"{ENT}/é œ%"):
        written = entcore.leave(quote(landing, safe=""))  # read once when it arrives, written once when it leaves
        state = written.state.partition(":")[0] + f":{landing}"
        assert entcore.tokens(location_for(browser, written), Departure(state, written.nonce, written.url))


@pytest.mark.row("D-03")
def test_an_rsa_key_is_built_from_its_certificate_and_from_nothing_else(
    browser: FlaskClient, build: Build, entcore: EntcoreParty
) -> None:
    # entcore (clients/README.md); Security row D-03.
    signed_in(browser, build.active())
    arrive(browser, entcore)
    [jwk] = browser.get("/jwks.json").get_json()["keys"]
    assert set(entcore.keys) == {jwk["kid"]}
    del jwk["x5c"]
    with pytest.raises(ValueError, match="larger than modulus"):
        read_key(jwk)


def test_without_userinfo_the_id_token_says_who_it_is_and_whether_the_charter_is_owed(
    browser: FlaskClient, build: Build, entcore: EntcoreParty
) -> None:
    # entcore (clients/README.md); OpenID Connect Core 1.0, 2.
    charters.publish(entcore.settings["clientId"], "2026", "# Charte\n\nSoyons polis.")
    parent = signed_in(browser, build.active())
    whole = arrive(browser, entcore)
    entcore.settings["userInfoUrn"] = "/nulle-part"
    alone = arrive(browser, entcore)
    assert alone["sub"] == whole["sub"] == f"LILLE-{parent.join_key}"
    for claims in (alone, whole):
        assert (claims["charter_accepted"], claims["charter_version"]) == (False, "2026")
    assert "FrEduVecteur" in whole
    assert "FrEduVecteur" not in alone


def test_an_account_without_join_key_has_no_key_claim(
    browser: FlaskClient, build: Build, entcore: EntcoreParty
) -> None:
    # entcore (clients/README.md); OpenID Connect Core 1.0, 2.
    parent = signed_in(browser, build.active(join_key=None))
    entcore.users = {"LILLE-": "nobody", "LILLE-None": "nobody", "": "nobody", str(parent.roster_key): "nobody"}
    claims = arrive(browser, entcore)
    assert claims["sub"] == arrive(browser, entcore)["sub"]
    assert re.fullmatch(r"[0-9a-f]{32}", claims["sub"])
    assert "ENTPersonJointure" not in claims
    assert len(claims["FrEduVecteur"]) == 1, "the vector needs no key"
    with pytest.raises(RefusedError, match="unknown externalId"):
        entcore.user(claims)


ECOLE = "0599003R"


def test_two_children_are_two_vectors(browser: FlaskClient, build: Build, entcore: EntcoreParty) -> None:
    malo, lina = build.child(), build.child("Lina")
    signed_in(browser, build.active(children=[malo, lina]))
    vectors = arrive(browser, entcore)["FrEduVecteur"]
    assert vectors == [
        f"2|LEROY-VANDEPUTTE|Noémie|{malo.student_id}|{COLLEGE}",
        f"2|LEROY-VANDEPUTTE|Noémie|{lina.student_id}|{COLLEGE}",
    ]


def test_names_are_those_of_the_file_unchanged(browser: FlaskClient, build: Build, entcore: EntcoreParty) -> None:
    family_name, given_name = "D’ARTAGNAN  - Lœ'wÉ", unicodedata.normalize("NFD", "ÀnAïs-şükran")
    signed_in(browser, build.active(family_name=family_name, given_name=given_name))
    claims = arrive(browser, entcore)
    assert (claims["family_name"], claims["given_name"]) == (family_name, given_name)
    [vector] = claims["FrEduVecteur"]
    assert vector.split("|")[1:3] == [family_name, given_name]


def primary_school() -> School:
    school = School(uai=ECOLE, name="École des Peupliers", degree=Degree.PRIMARY, postal_address=[], phone="")
    db.session.add(school)
    db.session.commit()
    return school


@pytest.mark.row("N-03")
def test_a_child_of_a_primary_school_has_the_prefix_1_and_one_of_a_college_2(
    browser: FlaskClient, build: Build, register: Register
) -> None:
    # Security row N-03. The first field marks a parent for entcore's SAML classes: 1 for primary schools,
    # 2 for collèges and lycées.
    primary_school()
    small, big, elsewhere = build.child("Inès", uai=ECOLE), build.child(), build.child("Lina", uai=LYCEE)
    signed_in(browser, build.active(children=[small, big, elsewhere]))
    claims = arrive(browser, register("--uai", ECOLE))
    assert claims["FrEduVecteur"] == [
        f"1|LEROY-VANDEPUTTE|Noémie|{small.student_id}|{ECOLE}",
        f"2|LEROY-VANDEPUTTE|Noémie|{big.student_id}|{COLLEGE}",
    ]
    assert claims["uai"] == [COLLEGE, ECOLE]
    assert [child["given_name"] for child in claims["children"]] == ["Inès", "Malo"]
    assert LYCEE not in json.dumps(claims)
    assert elsewhere.student_id not in json.dumps(claims)


def link_ended(_build: Build, account: Account, child: Child) -> None:
    [link] = [link for link in account.guardianships if link.child_id == child.id]
    link.ended_at = datetime.now(UTC)


def moved_to_a_school_that_the_ent_does_not_serve(build: Build, _account: Account, child: Child) -> None:
    child.school_id = build.school(LYCEE).id


@pytest.mark.row("N-03")
@pytest.mark.parametrize("happened", [link_ended, moved_to_a_school_that_the_ent_does_not_serve])
def test_a_child_who_left_is_in_no_claim_from_the_next_token_on(
    browser: FlaskClient, build: Build, entcore: EntcoreParty, happened: Callable[[Build, Account, Child], None]
) -> None:
    # OpenID Connect Core 1.0, 5.3; Security row N-03.
    malo, lina = build.child(), build.child("Lina")
    parent = signed_in(browser, build.active(children=[malo, lina]))
    departure = entcore.leave()
    held = entcore.tokens(location_for(browser, departure), departure)["access_token"]
    assert len(arrive(browser, entcore)["FrEduVecteur"]) == 2
    happened(build, parent, lina)
    db.session.commit()
    bearer = {"Authorization": f"Bearer {held}"}
    for claims in (arrive(browser, entcore), browser.get("/userinfo", headers=bearer).get_json()):
        assert [vector.split("|")[3] for vector in claims["FrEduVecteur"]] == [malo.student_id]
        assert claims["uai"] == [COLLEGE]
        assert [child["given_name"] for child in claims["children"]] == ["Malo"]
        assert lina.student_id not in json.dumps(claims)
        assert claims["sub"] == f"LILLE-{parent.join_key}", "who it is does not change"
    happened(build, parent, malo)
    db.session.commit()
    assert location_for(browser, entcore.leave()).startswith("/authorize/autre-ent?"), "the last child left"
    assert browser.get("/userinfo", headers=bearer).status_code == 401
