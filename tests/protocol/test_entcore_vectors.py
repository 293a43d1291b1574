"""FrEduVecteur as ENTs of the entcore family read it: parents and their children (security row N-03)."""

import json
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from idp.accounts.models import Account, Child, Degree, Guardianship, School
from idp.db import db
from tests.builders import COLLEGE, LYCEE, Build
from tests.entcore_party import EntcoreParty, RefusedError, Relative, match
from tests.protocol.entcore_recipe import (  # noqa: F401 - fixtures too
    Register,
    arrive,
    location_for,
    recipe_party,
    recipe_register,
    signed_in,
)

ECOLE = "0599003R"


def test_two_children_are_two_vectors_and_name_one_parent(
    browser: FlaskClient, build: Build, entcore: EntcoreParty
) -> None:
    malo, lina = build.child(), build.child("Lina")
    parent = signed_in(browser, build.active(children=[malo, lina]))
    vectors = arrive(browser, entcore)["FrEduVecteur"]
    assert vectors == [
        f"2|LEROY-VANDEPUTTE|Noémie|{malo.student_id}|{COLLEGE}",
        f"2|LEROY-VANDEPUTTE|Noémie|{lina.student_id}|{COLLEGE}",
    ]
    children = frozenset({(malo.student_id, COLLEGE), (lina.student_id, COLLEGE)})
    known = Relative(parent.family_name, parent.given_name, children)
    others = [
        Relative("LEROY", "Karim", children),
        Relative(parent.family_name.title(), parent.given_name, children),
        Relative(parent.family_name, parent.given_name, frozenset({(malo.student_id, LYCEE)})),
        Relative(parent.family_name, parent.given_name, frozenset({("1", COLLEGE)})),
    ]
    for claimed_vectors in (vectors, vectors[:1], vectors[1:]):
        assert match([*others, known], claimed_vectors) == [known]
    with pytest.raises(RefusedError, match="no user"):
        match(others, vectors)


def test_names_are_those_of_the_file_unchanged(browser: FlaskClient, build: Build, entcore: EntcoreParty) -> None:
    family_name, given_name = "D’ARTAGNAN  - Lœ'wÉ", unicodedata.normalize("NFD", "ÀnAïs-şükran")
    parent = signed_in(browser, build.active(family_name=family_name, given_name=given_name))
    claims = arrive(browser, entcore)
    assert (claims["family_name"], claims["given_name"]) == (family_name, given_name)
    [vector] = claims["FrEduVecteur"]
    assert vector.split("|")[1:3] == [family_name, given_name]
    known = Relative(family_name, given_name, frozenset({(parent.children[0].student_id, COLLEGE)}))
    assert match([known], [vector]) == [known]


def primary_school() -> School:
    school = School(uai=ECOLE, name="École des Peupliers", degree=Degree.PRIMARY, postal_address=[], phone="")
    db.session.add(school)
    db.session.commit()
    return school


@pytest.mark.row("N-03")
def test_a_child_of_a_primary_school_has_the_prefix_1_and_one_of_a_college_2(
    browser: FlaskClient, build: Build, register: Register
) -> None:
    """Security row N-03. The first field marks a parent for entcore's SAML classes: 1 for primary schools,
    2 for collèges and lycées.
    """
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
    """OpenID Connect Core 1.0, 5.3; Security row N-03."""
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


def test_a_link_that_ended_takes_the_child_from_that_parent_alone(
    app: Flask, browser: FlaskClient, build: Build, entcore: EntcoreParty
) -> None:
    """OpenID Connect Core 1.0, 5.3."""
    malo, others = build.child(), app.test_client()
    first, second = signed_in(browser, build.active(children=[malo])), build.active(children=[malo])
    signed_in(others, second)
    link_ended(build, first, malo)
    db.session.commit()
    assert location_for(browser, entcore.leave()).startswith("/authorize/autre-ent?")
    assert len(arrive(others, entcore)["FrEduVecteur"]) == 1
    ended = db.session.scalars(select(Guardianship).where(Guardianship.ended_at.is_not(None))).all()
    assert [link.account_id for link in ended] == [first.id]


def test_the_relying_party_itself_refuses_vectors_that_the_real_one_does() -> None:
    known = Relative("LEROY", "Karim", frozenset({("701", COLLEGE)}))
    good = f"2|LEROY|Karim|701|{COLLEGE}"
    assert match([known], [good]) == match([known], [good, f"1|LEROY|Karim|9|{ECOLE}"]) == [known]
    for vectors, reason in (
        ([], "invalid.vector"),
        (["2|LEROY|Karim|701|"], "invalid.vector"),
        ([f"2|LEROY|Karim| |{COLLEGE}"], "invalid.vector"),
        ([good, f"4|||701|{COLLEGE}"], "invalid.vector"),
        ([f"5|LEROY|Karim|701|{COLLEGE}"], "invalid.user.profile"),
        ([f"2|leroy|Karim|701|{COLLEGE}"], "no user"),
    ):
        with pytest.raises(RefusedError, match=f"^{reason}$"):
            match([known], vectors)
    with pytest.raises(RefusedError, match="no user"):
        match([known, Relative("LEROY", "Karim", frozenset({("701", COLLEGE), ("702", LYCEE)}))], [good])
