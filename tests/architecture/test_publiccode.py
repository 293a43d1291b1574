"""publiccode.yml has what its standard (https://yml.publiccode.tools, 0.4) demands, and agrees with the project."""

import tomllib

import yaml

from idp import __version__
from idp.languages import OFFERED
from idp.paths import CHECKOUT

PUBLICCODE = yaml.safe_load((CHECKOUT / "publiccode.yml").read_text(encoding="utf-8"))
MANDATORY = {
    "publiccodeYmlVersion", "name", "url", "platforms", "categories", "developmentStatus", "softwareType",
    "description", "legal", "maintenance", "localisation",
}  # fmt: skip
OPTIONAL = {"softwareVersion", "releaseDate", "logo", "landingURL", "intendedAudience", "roadmap", "dependsOn"}
STATES = {"concept", "development", "beta", "stable", "obsolete"}


def test_publiccode_has_the_mandatory_keys_and_no_unknown_ones() -> None:
    assert set(PUBLICCODE) >= MANDATORY
    assert set(PUBLICCODE) <= MANDATORY | OPTIONAL
    assert PUBLICCODE["publiccodeYmlVersion"] == "0.4"
    assert PUBLICCODE["url"].startswith("https://")
    assert PUBLICCODE["developmentStatus"] in STATES
    assert set(PUBLICCODE["categories"]) <= {"identity-management", "it-security"}, "words of the standard's list"
    assert PUBLICCODE["maintenance"]["type"] == "community"
    assert PUBLICCODE["maintenance"]["contacts"], "which the type `community` demands"
    assert PUBLICCODE["localisation"]["localisationReady"] is True


def test_descriptions_have_the_lengths_of_the_standard() -> None:
    assert set(PUBLICCODE["description"]) == {"fr", "en"}
    for text in PUBLICCODE["description"].values():
        assert set(text) == {"shortDescription", "longDescription", "features"}
        assert len(text["shortDescription"]) <= 150
        assert 150 <= len(text["longDescription"]) <= 10_000
        assert all(len(feature) <= 100 for feature in text["features"])


def test_publiccode_agrees_with_the_project() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert PUBLICCODE["legal"]["license"] == project["license"]
    assert PUBLICCODE["softwareVersion"] == __version__
    assert tuple(PUBLICCODE["localisation"]["availableLanguages"]) == OFFERED
