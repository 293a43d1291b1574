"""Story: a school year, with the file and letters of September, and the changes of October in the tokens.

The file is imported with `idp roster import`, the letters are printed with `idp letters print`, the mails go through a
real SMTP server, and an ENT verifies the tokens with its own code.
"""

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from pypdf import PdfReader

from tests.activation.steps import ACTIVATION, SENT, fill_in
from tests.builders import Build
from tests.commands.conftest import Run, act, bare, engine, idp  # noqa: F401 - fixtures
from tests.email_confirmation.post import PostOffice, link_of, post_office
from tests.pages import follow, heading, sign_in, submit
from tests.protocol.flow import tokens_for
from tests.relying_party import Attempt, RelyingParty
from tests.rostering.aaf_school import COLLEGE, LYCEE, Parent, Pupil, add, modify, small_year, write
from tests.rostering.seen import imported

PASSWORD = "orage brique hamster violon"
KEYS = ("9100000", "9150000", "9100001", "9150001", "9100002", "9150003", "9100004", "9150004")


@dataclass
class Family:
    """A parent with an active account, and the browser of the phone."""

    username: str
    phone: FlaskClient


def test_changes_of_a_school_year_reach_the_tokens(
    act: Run,  # noqa: F811 - the fixture
    app: Flask,
    build: Build,
    tmp_path: Path,
) -> None:
    ents = {
        COLLEGE: build.ent("Passerelle", "college.test", uais=[COLLEGE]),
        LYCEE: build.ent("Horizon", "lycee.test", uais=[LYCEE]),
    }
    year = small_year()

    # September: the complete file, the letters of both schools; a third of the parents activate their accounts.
    report = imported(act, year.write(tmp_path / "complet"))
    assert report["accounts"] == {"total": 24, "created": 24, "disabled": 0}
    letters = print_letters(act, tmp_path, COLLEGE) | print_letters(act, tmp_path, LYCEE)
    assert len(letters) == 24
    with post_office(app) as post:
        parents = {key: activate(app, post, year.parents[key], letters) for key in KEYS}
        first = {key: claims_of(parents[key], ents) for key in KEYS}
    for key, seen in first.items():
        [(uai, claims)] = seen.items()
        child = year.pupils[str(9200000 + int(key[-1]))]
        assert uai == child.uai
        assert claims["FrEduVecteur"] == [vector(year.parents[key], child)]
        assert claims["ENTPersonJointure"] == key

    # October: a pupil changes schools, a sister arrives, a divorced parent moves.
    october = tmp_path / "delta"
    sister = Pupil("9300000", "Sœur", "FAMILLEBA", parents=(("9100001", "10", "1"), ("9150001", "20", "1")))
    write(
        october / "ENT_Delta_20261012_Eleve_0000.xml",
        [
            modify("Eleve", "9200000", {"ENTPersonStructRattach": ["52001"], "ENTEleveClasses": ["52001$3EME2"]}),
            add("Eleve", sister.key, sister.attributes()),
            modify("Eleve", "9200003", {"ENTElevePersRelEleve": ["9100003$10$1$1$1$0"]}),
        ],
    )
    moved = {
        "ENTPersonAdresse": ["27 rue du Moulin$$"],
        "ENTPersonCodePostal": ["59991"],
        "ENTPersonVille": ["Valdoux"],
    }
    write(october / "ENT_Delta_20261012_PersRelEleve_0000.xml", [modify("PersRelEleve", "9150004", moved)])
    changes = imported(act, october)
    assert changes["mode"] == "delta"
    assert [(issue["code"], issue["key"]) for issue in changes["issues"]] == [("guardian_left", "aaf:9150003")]
    assert changes["accounts"]["disabled"] == 1

    later = {key: claims_of(parents[key], ents) for key in KEYS if key != "9150003"}
    for key in ("9100000", "9150000"):  # the pupil is now in the collège: the lycée gets no data
        [(uai, claims)] = later[key].items()
        assert (uai, claims["children"][0]["class"]) == (COLLEGE, "3EME2")
    for key in ("9100001", "9150001"):
        assert [child["given_name"] for child in later[key][COLLEGE]["children"]] == ["Enfantb", "Sœur"]
        assert len(later[key][COLLEGE]["FrEduVecteur"]) == 2
    for key in ("9100002", "9100004", "9150004"):
        assert {uai: without_date(claims) for uai, claims in later[key].items()} == {
            uai: without_date(claims) for uai, claims in first[key].items()
        }
    # a former guardian cannot enter, neither with the session nor with the password
    removed = parents["9150003"]
    assert heading(follow(removed.phone, removed.phone.get("/mon-compte"))) == "Connexion"
    assert heading(sign_in(app.test_client(), "/connexion", removed.username, PASSWORD)) == "Connexion"
    # the next letter goes to the new postal address
    reprinted = print_letters(act, tmp_path, LYCEE, "--username", parents["9150004"].username, "--reason", "divorce")
    [new_letter] = reprinted.values()
    assert (new_letter["address1"], new_letter["postcode"], new_letter["city"]) == (
        "27 rue du Moulin",
        "59991",
        "Valdoux",
    )


def print_letters(act: Run, folder: Path, uai: str, *options: str) -> dict[str, dict[str, str]]:  # noqa: F811
    """Print the letters as a PDF and a list; return the list by username."""
    pdf, letter_list = folder / f"{uai}{len(options)}.pdf", folder / f"{uai}{len(options)}.csv"
    answer = act("letters", "print", "--school", uai, "--out", str(pdf), "--csv", str(letter_list), *options)
    assert answer.code == 0, answer.err
    rows = {
        row["username"]: row
        for row in csv.DictReader(io.StringIO(letter_list.read_text(encoding="utf-8-sig")), delimiter=";")
    }
    pages = PdfReader(io.BytesIO(pdf.read_bytes())).pages
    assert [sum(name in page.extract_text() for name in rows) for page in pages] == [1] * len(rows)
    return rows


def activate(app: Flask, post: PostOffice, parent: Parent, letters: dict[str, dict[str, str]]) -> Family:
    """Activate the account of the letter, and confirm the email."""
    [letter] = [c for c in letters.values() if (c["given_name"], c["family_name"]) == (parent.given, parent.family)]
    phone, email = app.test_client(), f"parent{parent.key}@exemple.fr"
    page = sign_in(phone, "/connexion", letter["username"], letter["provisional_password"])
    assert heading(page) == ACTIVATION
    assert heading(fill_in(phone, page, PASSWORD, email)) == SENT
    [mail] = [mail for mail in post.deliver() if mail["To"] == email]
    assert heading(submit(phone, phone.get(link_of(mail)))) == "Confirmation de votre adresse mail"
    sign_in(phone, "/connexion", letter["username"], PASSWORD)
    return Family(letter["username"], phone)


def claims_of(family: Family, ents: dict[str, RelyingParty]) -> dict[str, dict[str, Any]]:
    """Return the UserInfo claims for each ENT with a child of this parent; the ENT verifies the tokens."""
    claims_by_school = {}
    for uai, ent in ents.items():
        response = family.phone.get(ent.url(Attempt()))
        if response.headers["Location"].startswith("/"):
            page = follow(family.phone, response)
            assert heading(page) == "Vos enfants ne sont pas dans cet ENT"
            continue  # this ENT gets no data
        issued = tokens_for(family.phone, ent)
        claims: dict[str, Any] = ent.userinfo(family.phone, issued["access_token"]).get_json()
        assert claims["uai"] == [uai]
        claims_by_school[uai] = claims
    return claims_by_school


def vector(parent: Parent, child: Pupil) -> str:
    return f"2|{parent.family}|{parent.given}|7{child.key}|{child.uai}"


def without_date(claims: dict[str, Any]) -> dict[str, Any]:
    """Leave out `updated_at`, which changes with the postal address."""
    return {name: value for name, value in claims.items() if name != "updated_at"}
