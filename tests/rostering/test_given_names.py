"""Comparison of given names of one person, and the letters of names."""

import pytest

from idp.person_names import foreign_letter
from idp.rostering.reconcile.continuity import Named, Verdict, given_names_agree, judge


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Noémie", "NOEMIE"), ("Anne-Marie", "Anne Marie"), ("Anne-Marie", "ANNEMARIE"), ("Anne Marie", "Marie-Anne"),
        ("Anne", "Marie Anne"), ("Marie, Anne, Lou", "Lou Marie"), ("D’Arcy", "d'arcy"), ("李", "李"),
    ],
)  # fmt: skip
def test_case_accents_hyphens_order_and_number_are_ignored(first: str, second: str) -> None:
    assert given_names_agree(first, second)
    assert given_names_agree(second, first)


@pytest.mark.parametrize(
    ("first", "second"),
    [("Jean-Pierre", "Jean-Paul"), ("Anne", "Anne-Marie"), ("Marie", "Julie"), ("", ""), ("", "Marie"), ("Léo", "Léa")],
)
def test_different_given_names_do_not_agree(first: str, second: str) -> None:
    assert not given_names_agree(first, second)
    assert not given_names_agree(second, first)


def verdict(before: str, after: str, civilities: tuple[str, str]) -> Verdict:
    holder, record = (Named(civility, given_name, "MARTIN", "") for civility, given_name in zip(
        civilities, (before, after), strict=True
    ))  # fmt: skip
    return judge(record, holder, before, keeps_child=True, keeps_home=True, keeps_email=True)


@pytest.mark.parametrize(
    ("before", "after"), [("Noemie", "Noemmie"), ("Stephane", "Stehpane"), ("Mohamed", "Mohammed"), ("Sara", "Zara")]
)
def test_a_change_of_one_letter_is_a_correction(before: str, after: str) -> None:
    assert verdict(before, after, ("", "")) is Verdict.SAME
    assert verdict(after, before, ("", "")) is Verdict.SAME


@pytest.mark.parametrize(
    ("before", "after"),
    [("Paul", "Paule"), ("André", "Andrée"), ("Léo", "Léa"), ("Michel", "Michèle"), ("Marie", "Mario")],
)
def test_the_end_of_a_given_name_is_judged_with_the_civilities(before: str, after: str) -> None:
    assert verdict(before, after, ("", "")) is Verdict.DOUBT
    assert verdict(before, after, ("M.", "Mme")) is Verdict.OTHER
    assert verdict(before, after, ("Mme", "Mme")) is Verdict.SAME


@pytest.mark.parametrize(("before", "after"), [("Al", "Ali"), ("Marie", "Maia"), ("Noémie", "Naomi")])
def test_a_change_of_two_letters_is_doubtful(before: str, after: str) -> None:
    assert verdict(before, after, ("Mme", "Mme")) is Verdict.DOUBT


@pytest.mark.parametrize(
    ("name", "letter"),
    [
        *((name, "") for name in ("Öztürk İnci Ayşıl", "Wałęsa", "Nguyễn Đặng", "Șerban Țîru", "Oʼneill", "Straße")),
        *((name, "") for name in ("D’Œuvre-Ñandú", "Əliyev", "Ɓalɗe Kɔfi Mɛnsah", "1er", "Anne\u0301", "")),
        ("MАRCHAND", "А"),
        ("Ρaul", "Ρ"),
        ("Иван", "И"),
        ("ᴍARCHAND", "ᴍ"),
        ("Mɑrtin", "ɑ"),
        ("MⱭRTIN", "Ɑ"),
        ("ɑ", "ɑ"),
        ("əliyev", ""),
        ("ᴍᴀʀᴄʜᴀɴᴅ", "ᴍ"),
        ("بن يوسف", ""),
        ("بن Youssef", "ب"),
    ],
)
def test_all_latin_letters_pass_and_a_look_alike_does_not(name: str, letter: str) -> None:
    assert foreign_letter(name) == letter
