"""FrEduVecteur in the kit: five fields, for both degrees, parents and pupils."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.kit.checks import CheckError, Vector, parse_vectors
from idp.accounts.models import Degree
from idp.clients.released import guardian_vector
from tests.rows import each_row


def read(*values: Any) -> list[Vector]:
    return parse_vectors({"FrEduVecteur": list(values)})


def test_a_parent_has_one_for_each_child_and_school() -> None:
    first, second = read("2|LEROY-VANDEPUTTE|Noémie|701001|0599001N", "1|LEROY-VANDEPUTTE|Noémie|A-12|0620001A")
    assert first == ("2", "LEROY-VANDEPUTTE", "Noémie", "701001", "0599001N")
    assert (second.profile, second.family_name, second.given_name) == ("1", "LEROY-VANDEPUTTE", "Noémie")
    assert (second.student_id, second.uai) == ("A-12", "0620001A")


@pytest.mark.parametrize("value", ["4|||701294|0790031E", "3|LEROY|Malo|701294|0790031E"])
def test_a_pupil_has_one_often_without_names(value: str) -> None:
    assert [vector.student_id for vector in read(value)] == ["701294"]
    with pytest.raises(CheckError):
        read(value, value)
    with pytest.raises(CheckError):
        read(value, "2|LEROY|Noémie|701001|0599001N")


def test_names_are_kept_letter_by_letter() -> None:
    [vector] = read("2| d’ARC |Jehanne  Marie-Ève|1|0599001N")
    assert (vector.family_name, vector.given_name) == (" d’ARC ", "Jehanne  Marie-Ève")


def test_missing_claim_is_an_empty_list() -> None:
    assert parse_vectors({}) == []
    assert read() == []


@each_row(
    "value",
    [
        "",
        "2",
        "2|LEROY|Noémie|701001",
        "2|LEROY|Noémie|701001|",
        "2|LEROY|Noémie||0599001N",
        "2|LEROY|Noémie| |0599001N",
        "2||Noémie|701001|0599001N",
        "2|LEROY||701001|0599001N",
        "5|LEROY|Noémie|701001|0599001N",
        "0|LEROY|Noémie|701001|0599001N",
        "22|LEROY|Noémie|701001|0599001N",
        "2|LEROY|Noémie|701001|0599001N|x",
        "2|LEROY|Noémie|701001|0599001",
        "2|LEROY|Noémie|701001|0599001n",
        "2|LEROY|Noémie|701001|0599001N\n",
        "2;LEROY;Noémie;701001;0599001N",
        None,
        7,
        ["2", "LEROY", "Noémie", "701001", "0599001N"],
    ],
)
def test_invalid_vector_is_refused(value: object) -> None:
    with pytest.raises(CheckError) as caught:
        read("2|LEROY|Noémie|701001|0599001N", value)
    assert caught.value.check == "FrEduVecteur"


@each_row("given_claim", [None, "", 7, {}])
def test_a_claim_that_is_no_list_of_vectors_is_refused(given_claim: object) -> None:
    with pytest.raises(CheckError):
        parse_vectors({"FrEduVecteur": given_claim})


NAMES = st.text(min_size=1, max_size=20).filter(lambda name: bool(name.replace("|", "").strip()))


@given(st.sampled_from(Degree), NAMES, NAMES, st.from_regex(r"[0-9A-Z-]{1,12}", fullmatch=True))
def test_vectors_of_the_provider_are_parsed(degree: Degree, family: str, given_name: str, student: str) -> None:
    text = guardian_vector(degree, family_name=family, given_name=given_name, student_id=student, uai="0599001N")
    [vector] = read(text)
    assert vector.profile == {Degree.PRIMARY: "1", Degree.SECONDARY: "2"}[degree]
    assert (vector.family_name, vector.given_name) == (family.replace("|", " "), given_name.replace("|", " "))
    assert (vector.student_id, vector.uai) == (student, "0599001N")
