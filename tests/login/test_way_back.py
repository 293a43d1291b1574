"""« Revenir à l’ENT »: on the sign-in page and the choice of the profile, only for requests of an ENT."""

import re

import pytest
from flask.testing import FlaskClient

from tests.builders import Build
from tests.pages import follow, heading, sign_in, submit
from tests.relying_party import Attempt, RelyingParty

_BACK = "Revenir à l’"
_LISTS = re.compile(r'<(ul|p) class="links">(.*?)</\1>', re.DOTALL)
_LINKS = re.compile(r"<a [^>]*>(.*?)</a>")


def links(text: str) -> list[str]:
    match = _LISTS.search(text)
    return _LINKS.findall(match.group(2)) if match else []


def test_the_link_is_the_last_of_the_sign_in_also_after_a_failure(browser: FlaskClient, ent: RelyingParty) -> None:
    offered = ["Identifiant oublié", "Mot de passe oublié", "Revenir à l’ENT Passerelle"]
    page = follow(browser, browser.get(ent.url(Attempt())))
    assert links(page.text) == offered
    for _ in range(6):
        page = submit(browser, page, identifiant="x.inconnu", mot_de_passe="faux")
        assert links(page.text) == offered
    assert page.status_code == 429


@pytest.mark.parametrize(
    ("name", "written"), [("ENT 59", "l’ENT 59"), ("École & Cie <b>", "l’ENT École &amp; Cie &lt;b&gt;")]
)
def test_the_ent_is_named_as_elsewhere(browser: FlaskClient, build: Build, name: str, written: str) -> None:
    page = follow(browser, browser.get(build.ent(name).url(Attempt(), login_hint=None)))
    assert links(page.text) == [f"Revenir à {written}"]
    assert links(submit(browser, page, profil="parent").text)[-1] == f"Revenir à {written}"


def test_page_without_an_ent_has_no_link_back(browser: FlaskClient, build: Build) -> None:
    assert _BACK not in browser.get("/connexion").text
    profile = browser.get("/profil")
    assert _BACK not in profile.text
    chosen = submit(browser, profile, profil="parent")
    assert (heading(chosen), "demande" in chosen.request.args) == ("Connexion", True)
    assert _BACK not in chosen.text
    assert _BACK not in sign_in(browser, "/connexion", "x.inconnu", "faux").text
    astray = browser.get(chosen.request.full_path.replace("/connexion?", "/authorize/refus?"))
    assert (astray.status_code, heading(astray)) == (400, "Reprenons depuis l’ENT")
