"""The standard claims, all twenty (security rows U-04, T-19; OpenID Connect Core 1.0, 5.1)."""

import json
import re
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask.testing import FlaskClient
from hypothesis import given, settings, strategies as st

from idp.accounts.models import Account
from idp.clock import now
from idp.db import db
from idp.oidc.claims import standard
from idp.oidc.claims.standard import ClaimError, with_changes
from tests.builders import PASSWORD, Build
from tests.pages import sign_in
from tests.protocol.flow import tokens_for
from tests.relying_party import RelyingParty
from tests.rows import each_row

WIDE = "openid profile email address phone"
SET = {
    "middle_name": "Anne",
    "nickname": "Nono",
    "profile": "https://exemple.fr/~noemie?a=b#c",
    "picture": "https://exemple.fr/noemie.jpg",
    "website": "https://exemple.fr/",
    "gender": "female",
    "birthdate": "1984-02-29",
    "zoneinfo": "Europe/Paris",
    "phone_number": "+33 1 99 00 12 34",
    "phone_number_verified": "true",
    "address.region": "Hauts-de-Rive",
}
STANDARD = {
    *("sub", "name", "given_name", "family_name", "middle_name", "nickname", "preferred_username", "profile"),
    *("picture", "website", "email", "email_verified", "gender", "birthdate", "zoneinfo", "locale"),
    *("phone_number", "phone_number_verified", "address", "updated_at"),
}
RESERVED = ("iss", "aud", "sub", "exp", "iat", "nonce", "azp", "at_hash", "auth_time", "acr", "amr", "sid", "jti")
KNOWN_ELSEWHERE = ("name", "given_name", "family_name", "preferred_username", "email", "email_verified", "updated_at")


def fetch_info(browser: FlaskClient, ent: RelyingParty, scope: str = WIDE) -> dict[str, Any]:
    return dict(ent.userinfo(browser, tokens_for(browser, ent, scope=scope)["access_token"]).get_json())


@pytest.fixture
def wide(build: Build) -> RelyingParty:
    return build.ent(scopes=WIDE, release_username=True)


@pytest.fixture
def resident(browser: FlaskClient, build: Build) -> Account:
    """A parent whose address the school's file has, signed in."""
    account = build.active(
        address_lines=["12 rue des Tilleuls", "Bâtiment B"], postcode="59990", city="Rivebelle", country="France"
    )
    sign_in(browser, "/connexion", account.username, PASSWORD)
    return account


@pytest.mark.row("U-04")
def test_an_account_can_carry_all_twenty(browser: FlaskClient, wide: RelyingParty, resident: Account) -> None:
    # OpenID Connect Core 1.0, 5.1.
    resident.more_claims = with_changes({}, SET, ())
    db.session.commit()
    info = fetch_info(browser, wide)
    assert set(info) == STANDARD
    assert len(STANDARD) == 20
    texts = STANDARD - {"email_verified", "phone_number_verified", "updated_at", "address"}
    assert all(isinstance(info[name], str) and info[name] for name in texts)
    assert (info["email_verified"], info["phone_number_verified"]) == (True, True)
    assert isinstance(info["updated_at"], int)
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", info["birthdate"])
    assert info["phone_number"] == "+33199001234"
    assert info["address"] == {
        "formatted": "12 rue des Tilleuls\nBâtiment B\n59990 Rivebelle\nHauts-de-Rive\nFrance",
        "street_address": "12 rue des Tilleuls\nBâtiment B",
        "postal_code": "59990",
        "locality": "Rivebelle",
        "region": "Hauts-de-Rive",
        "country": "France",
    }


@pytest.mark.row("U-04")
def test_each_scope_releases_its_claims(browser: FlaskClient, wide: RelyingParty, resident: Account) -> None:
    # OpenID Connect Core 1.0, 5.4.
    resident.more_claims = with_changes({}, SET, ())
    db.session.commit()
    assert set(fetch_info(browser, wide, "openid address")) == {"sub", "address"}
    assert set(fetch_info(browser, wide, "openid phone")) == {"sub", "phone_number", "phone_number_verified"}
    profile = STANDARD - {"email", "email_verified", "address", "phone_number", "phone_number_verified"}
    assert set(fetch_info(browser, wide, "openid profile")) == profile


@pytest.mark.row("U-04")
def test_an_unknown_claim_is_absent_and_not_empty(browser: FlaskClient, wide: RelyingParty, session: Account) -> None:
    # OpenID Connect Core 1.0, 5.3.2.
    known = {"sub", "name", "given_name", "family_name", "preferred_username", "locale", "updated_at"}
    assert set(fetch_info(browser, wide)) == known | {"email", "email_verified"}
    session.given_name, session.city = "", "Rivebelle"
    db.session.commit()
    info = fetch_info(browser, wide)
    assert set(info) == known - {"given_name"} | {"email", "email_verified", "address"}
    assert info["address"] == {"formatted": "Rivebelle", "locality": "Rivebelle"}


@pytest.mark.row("U-04")
def test_a_number_is_unverified_until_somebody_says_otherwise(
    browser: FlaskClient, wide: RelyingParty, session: Account
) -> None:
    # OpenID Connect Core 1.0, 5.1.
    session.more_claims = with_changes({}, {"phone_number": "+33 (1) 99.00-12 34;ext=7"}, ())
    db.session.commit()
    info = fetch_info(browser, wide, "openid phone")
    assert (info["phone_number"], info["phone_number_verified"]) == ("+33199001234;ext=7", False)
    verified = with_changes(session.more_claims, {"phone_number_verified": "true"}, ())
    assert verified["phone_number_verified"] is True
    assert "phone_number_verified" not in with_changes(verified, {"phone_number": "+33199001235"}, ())
    assert with_changes(verified, {"phone_number": "+33199001235", "phone_number_verified": "true"}, ())
    assert with_changes(verified, {}, ["phone_number"]) == {}
    with pytest.raises(ClaimError, match="needs phone_number"):
        with_changes({}, {"phone_number_verified": "true"}, ())


@pytest.mark.row("U-04")
def test_each_part_of_the_address_may_be_set(browser: FlaskClient, wide: RelyingParty, resident: Account) -> None:
    # OpenID Connect Core 1.0, 5.1.1.
    resident.more_claims = with_changes(
        {}, {"address.locality": "Rivelaide", "address.formatted": "Chez Noémie\nLà"}, ()
    )
    db.session.commit()
    postal_address = fetch_info(browser, wide, "openid address")["address"]
    assert (postal_address["formatted"], postal_address["locality"]) == ("Chez Noémie\nLà", "Rivelaide")
    assert postal_address["postal_code"] == "59990"
    resident.more_claims = with_changes(resident.more_claims, {}, ["address.formatted"])
    db.session.commit()
    assert "59990 Rivelaide" in fetch_info(browser, wide, "openid address")["address"]["formatted"]
    assert with_changes(resident.more_claims, {}, ["address"]) == {}


@pytest.mark.row("U-04")
def test_a_change_of_claims_is_a_change_of_the_person(
    browser: FlaskClient, wide: RelyingParty, session: Account
) -> None:
    # OpenID Connect Core 1.0, 5.1.
    before = fetch_info(browser, wide)["updated_at"]
    with time_machine.travel(now() + timedelta(seconds=90)):
        session.more_claims = with_changes({}, {"nickname": "Nono"}, ())
        db.session.commit()
        assert fetch_info(browser, wide)["updated_at"] >= before + 90


@pytest.mark.row("T-19")
@each_row(
    ("name", "good", "bad"),
    [
        (
            "birthdate",
            ["1984-02-29", "0000-12-31", "0000-02-29", "1850", "2010", "1850-01-01"],
            ["", "1849", "1983-02-29", "9999", "2200-01-01", "84-02-29", "1984-2-9", "0000", "0000-13-01", "١٩٨٤"],
        ),
        ("gender", ["female", "male", "autre"], ["", " ", "x" * 41, "a\x00b", "a\nb"]),
        ("zoneinfo", ["Europe/Paris", "America/Cayenne"], ["", "Paris", "../etc/passwd", "europe/paris", "+01:00"]),
        (
            "picture",
            ["https://exemple.fr/a.jpg"],
            [
                *("", "http://exemple.fr/", "https://", "javascript:alert(1)", "https://a@b/", "https://é.fr/"),
                *("https://x/ y", "//x", "https://x/" + "a" * 500, "https://[/", "https://x/<script>", "https://x:a/"),
            ],
        ),
        (
            "phone_number",
            ["+33199001234", "+1 (425) 555-1212", "+33 1 99 00 12 34;ext=12"],
            [
                "",
                "0199001234",
                "+0199001234",
                "+33",
                "+331990012345678901",
                "tel:+33199001234",
                "+33199001234;ext=",
                "+٣٣",
            ],
        ),
        ("nickname", ["Nono", "É"], ["", "  ", "x" * 201, "a\u202eb", "a\x1b[2J"]),
        ("address.street_address", ["1 rue\n2e étage"], ["", "\n", "x" * 201, "a\x00"]),
        ("address.locality", ["Rivebelle"], ["a\nb"]),
    ],
)
def test_each_value_is_of_the_form_that_the_specification_gives(name: str, good: list[str], bad: list[str]) -> None:
    # OpenID Connect Core 1.0, 5.1.
    for value in good:
        assert with_changes({}, {name: value}, ())
    for value in bad:
        with pytest.raises(ClaimError, match=f"^{re.escape(name)}: must be "):
            with_changes({}, {name: value}, ())


@pytest.mark.row("T-19")
@each_row("name", [*RESERVED, *KNOWN_ELSEWHERE, "charter_accepted", "uai", "is_admin", "address", "é"])
def test_no_other_name_can_be_set_or_taken_away(name: str) -> None:
    # OpenID Connect Core 1.0, 2. Names and mail address come from the school's file and the person.
    with pytest.raises(ClaimError, match="cannot be set"):
        with_changes({}, {name: "x"}, ())
    if name != "address":
        with pytest.raises(ClaimError, match="cannot be set"):
            with_changes({}, {}, [name])


@pytest.mark.row("T-19")
def test_stored_claims_do_not_change_a_reserved_claim(browser: FlaskClient, build: Build, session: Account) -> None:
    # OpenID Connect Core 1.0, 5.3.2.
    ent = build.ent(scopes=WIDE)
    names = (*RESERVED, *KNOWN_ELSEWHERE, "charter_accepted", "is_admin")
    session.more_claims = dict.fromkeys(names, "https://evil.test")
    db.session.commit()
    claims_request = json.dumps({member: dict.fromkeys(names) for member in ("userinfo", "id_token")})
    tokens = tokens_for(browser, ent, scope=WIDE, claims=claims_request)  # verifies iss, aud, azp, nonce, exp, at_hash
    info = ent.userinfo(browser, tokens["access_token"]).get_json()
    assert info["sub"] == tokens["claims"]["sub"]
    assert "https://evil.test" not in json.dumps([tokens["claims"], info])


@pytest.mark.row("T-19")
@settings(derandomize=True, database=None, max_examples=200)
@given(st.sampled_from([*standard._VALIDATORS, "address", "x", "iss"]), st.text(max_size=60), st.booleans())
def test_anything_is_taken_or_refused(name: str, text: str, remove: bool) -> None:  # noqa: FBT001 - drawn
    # OpenID Connect Core 1.0, 13.3. A claim that is taken is text without control characters, or a boolean.
    try:
        held = with_changes({}, {} if remove else {name: text}, [name] if remove else [])
    except ClaimError:
        return
    for value in (*held.values(), *held.get("address", {}).values()):
        assert isinstance(value, dict | bool) or value.replace("\n", "").isprintable()
