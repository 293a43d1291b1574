"""Names of two records that agree, or leave a doubt."""

from typing import Any

from idp.accounts.models import Account, SchoolProfile
from idp.accounts.same_person import same_person
from tests.rows import each_row


@each_row(
    ("mine", "other"),
    [
        ({}, {}),
        ({"given_name": "Noémie"}, {"given_name": "NOEMIE Anne"}),
        ({"given_name": "Anne-Marie"}, {"given_name": "ANNE MARIE"}),
        ({"civility": "Mlle"}, {"civility": "Mme"}),
        ({"civility": ""}, {"civility": "Mme"}),
        ({"family_name": "LE GALL"}, {"family_name": "Le-Gall"}),
        ({"family_name": "LEROY"}, {"family_name": "LEROY-VANDEPUTTE"}),
        ({"family_name": "VANDEPUTTE LEROY"}, {"family_name": "LEROY-VANDEPUTTE"}),
        ({"family_name": "MARTIN", "birth_name": "LEROY"}, {"family_name": "LEROY"}),
        ({"family_name": "LEROY"}, {"family_name": "MARTIN", "birth_name": "Leroy"}),
        ({"family_name": "D’ARTAGNAN"}, {"family_name": "d'Artagnan"}),
        ({"family_name": "ŒUVRARD"}, {"family_name": "Oeuvrard"}),
        ({"given_name": "İbrahim", "family_name": "YILMAZ"}, {"given_name": "Ibrahim", "family_name": "Yılmaz"}),
        ({"given_name": "كريم", "family_name": "بن علي"}, {"given_name": "كريم", "family_name": "بن علي"}),
    ],
)
def test_names_that_agree(mine: dict[str, str], other: dict[str, str]) -> None:
    assert same_person(_named(mine), _named(other))
    assert same_person(_named(other), _named(mine))


@each_row(
    ("mine", "other"),
    [
        ({"given_name": "Noémie"}, {"given_name": "Karim"}),
        ({"given_name": "Anne Marie"}, {"given_name": "Marie"}),
        ({"given_name": "Anne-Marie"}, {"given_name": "Anne-Sophie"}),
        ({"given_name": "Anne-Marie"}, {"given_name": "Anne"}),
        ({"civility": "M.", "given_name": "Dominique"}, {"civility": "Mme", "given_name": "Dominique"}),
        ({"given_name": "Thi Lan"}, {"given_name": "Thi Hoa"}),
        ({"given_name": "Jean-Pierre"}, {"given_name": "Jean-Paul"}),
        ({"family_name": "DE"}, {"family_name": "DE SOUSA"}),
        ({"family_name": "LEROY"}, {"family_name": "LEROYER"}),
        ({"family_name": "LEROY-MARTIN"}, {"family_name": "LEROY-DURAND"}),
        ({"family_name": "LEROY", "birth_name": "DURAND"}, {"family_name": "MARTIN", "birth_name": "PETIT"}),
        ({"family_name": ""}, {"family_name": "LEROY"}),
        ({"family_name": "'-"}, {"family_name": "'-"}),
        ({"given_name": ""}, {"given_name": ""}),
        ({}, {"profile": SchoolProfile.STUDENT}),
    ],
)
def test_names_that_leave_a_doubt(mine: dict[str, str], other: dict[str, str]) -> None:
    assert not same_person(_named(mine), _named(other))
    assert not same_person(_named(other), _named(mine))


def _named(names: dict[str, str]) -> Account:
    common: dict[str, Any] = {"given_name": "Noémie", "family_name": "LEROY", "birth_name": ""}
    return Account(**{**common, "profile": SchoolProfile.GUARDIAN, **names})
