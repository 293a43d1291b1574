"""What happens to a person between the file and the account: the rules, as tables."""

from itertools import product

import pytest

from idp.folding import foreign_letter
from idp.rostering.reconcile.continuity import Named, Verdict, given_names_agree, judge
from idp.rostering.reconcile.decide import (
    ClassName,
    KeyKind,
    Known,
    KnownStudent,
    Outcome,
    Record,
    StudentOutcome,
    StudentRecord,
    Ties,
    decide,
    decide_student,
)
from idp.rostering.reconcile.outcomes import GUARDIANS, STUDENTS, Fate
from idp.rostering.records import Act
from tests.rows import each_row

PUT, MODIFY, DELETE = Act.PUT, Act.MODIFY, Act.DELETE
MARIE = Named("Mme", "Marie", "MARTIN", "")
MARRIED = Named("Mme", "Marie", "DURAND", "")
JULIE = Named("Mme", "Julie", "MARTIN", "")
PAUL = Named("M.", "Paul", "DURAND", "")


def put(names: Named = MARIE, kind: KeyKind = KeyKind.NUMBER, ties: Ties = Ties.OPEN) -> Record:
    return Record(PUT, ties, names, kind)


def known(**facts: bool) -> Known:
    return Known(MARIE, "Marie", **facts)


@each_row(
    ("act", "ties", "is_retired", "outcome"),
    [
        (PUT, Ties.OPEN, False, Outcome.NEW),
        (PUT, Ties.OPEN, True, Outcome.RETIRED_KEY),
        (PUT, Ties.NO_OPEN_STUDENT, False, Outcome.NO_OPEN_STUDENT),
        (PUT, Ties.NO_OPEN_STUDENT, True, Outcome.NO_OPEN_STUDENT),
        (PUT, Ties.NOT_LEGAL, False, Outcome.NO_LEGAL_AUTHORITY),
        (PUT, Ties.NONE, False, Outcome.NO_STUDENT),
        (MODIFY, Ties.OPEN, False, Outcome.CHANGE_OF_UNKNOWN),
        (MODIFY, Ties.NONE, True, Outcome.CHANGE_OF_UNKNOWN),
        (DELETE, Ties.OPEN, False, Outcome.UNKNOWN_GONE),
        (DELETE, Ties.NONE, False, Outcome.UNKNOWN_GONE),
    ],
)
def test_a_new_key_is_decided_by_act_and_ties(act: Act, ties: Ties, is_retired: bool, outcome: Outcome) -> None:  # noqa: FBT001 - a row
    assert decide(Record(act, ties, key_is_retired=is_retired), None) is outcome


@each_row(
    ("act", "is_alias", "outcome"),
    [
        (PUT, False, Outcome.KNOWN), (MODIFY, False, Outcome.KNOWN), (DELETE, False, Outcome.GONE),
        (PUT, True, Outcome.ALIAS), (MODIFY, True, Outcome.ALIAS), (DELETE, True, Outcome.ALIAS),
    ],
)  # fmt: skip
def test_a_person_with_the_same_names_is_known(act: Act, is_alias: bool, outcome: Outcome) -> None:  # noqa: FBT001 - a row
    for ties in Ties:
        assert decide(Record(act, ties, MARIE), known(is_alias=is_alias)) is outcome
        assert decide(Record(act, ties), Known(is_alias=is_alias)) is outcome


def test_a_number_and_the_same_names_identify_a_person() -> None:
    facts = ("is_blank", "has_children", "keeps_child", "keeps_home", "keeps_email", "is_exchanged")
    for kind, values in product((KeyKind.NUMBER, KeyKind.AAF), product((False, True), repeat=len(facts))):
        account = known(**dict(zip(facts, values, strict=True)))
        assert decide(put(kind=kind), account) is Outcome.KNOWN


@each_row(
    ("facts", "outcome"),
    [
        ({}, Outcome.NAMESAKE),
        ({"keeps_email": True}, Outcome.NAMESAKE),
        ({"is_blank": True}, Outcome.NAMESAKE),
        ({"has_children": False}, Outcome.NAMESAKE),
        ({"is_blank": True, "has_children": False}, Outcome.KNOWN),
        ({"keeps_child": True}, Outcome.KNOWN),
        ({"keeps_home": True}, Outcome.KNOWN),
        ({"keeps_home": True, "is_alias": True}, Outcome.ALIAS),
        ({"is_alias": True}, Outcome.NAMESAKE),
    ],
)
def test_a_key_made_of_names_needs_a_child_or_the_home(facts: dict[str, bool], outcome: Outcome) -> None:
    assert decide(put(kind=KeyKind.NAMES), known(**facts)) is outcome


@each_row(
    ("names", "kind", "facts", "outcome"),
    [
        # the same given name and civility
        (MARRIED, KeyKind.NUMBER, {"keeps_child": True}, Outcome.KNOWN),
        (MARRIED, KeyKind.AAF, {"keeps_email": True}, Outcome.KNOWN),
        (MARRIED, KeyKind.NUMBER, {}, Outcome.NAME_IN_DOUBT),
        (MARRIED, KeyKind.AAF, {}, Outcome.NAME_IN_DOUBT),
        (MARRIED, KeyKind.NUMBER, {"is_blank": True}, Outcome.NAME_CORRECTED),
        # another given name
        (JULIE, KeyKind.NUMBER, {"keeps_home": True}, Outcome.NAME_IN_DOUBT),
        (JULIE, KeyKind.NUMBER, {"keeps_home": True, "is_blank": True}, Outcome.NAME_CORRECTED),
        (JULIE, KeyKind.NUMBER, {}, Outcome.OTHER_NAMES),
        (JULIE, KeyKind.NUMBER, {"keeps_child": True}, Outcome.OTHER_NAMES),
        (JULIE, KeyKind.AAF, {}, Outcome.KEY_OF_OTHER_PERSON),
        # another person altogether
        (PAUL, KeyKind.NUMBER, {}, Outcome.OTHER_NAMES),
        (PAUL, KeyKind.NUMBER, {"is_blank": True}, Outcome.OTHER_NAMES),
        (PAUL, KeyKind.NUMBER, {"is_blank": True, "has_children": False}, Outcome.KNOWN),
        (PAUL, KeyKind.NUMBER, {"is_alias": True}, Outcome.OTHER_NAMES),
        # files correct names under the account's other key only
        (MARRIED, KeyKind.NUMBER, {"is_alias": True, "is_blank": True}, Outcome.ALIAS),
        (PAUL, KeyKind.AAF, {}, Outcome.KEY_OF_OTHER_PERSON),
        (PAUL, KeyKind.AAF, {"is_blank": True, "has_children": False}, Outcome.KEY_OF_OTHER_PERSON),
        # the person of another account
        (PAUL, KeyKind.NUMBER, {"is_exchanged": True}, Outcome.KEYS_EXCHANGED),
        (MARRIED, KeyKind.NUMBER, {"is_exchanged": True, "keeps_child": True}, Outcome.KEYS_EXCHANGED),
        (PAUL, KeyKind.AAF, {"is_exchanged": True, "is_blank": True}, Outcome.KEYS_EXCHANGED),
        # a namesake is one before anything else is compared
        (MARRIED, KeyKind.NAMES, {"is_exchanged": True}, Outcome.NAMESAKE),
    ],
)
def test_other_names_under_a_known_key_are_judged(
    names: Named, kind: KeyKind, facts: dict[str, bool], outcome: Outcome
) -> None:
    assert decide(put(names, kind), known(**facts)) is outcome


@each_row(
    ("ties", "outcome"),
    [
        (Ties.NO_OPEN_STUDENT, Outcome.NO_OPEN_STUDENT),
        (Ties.NOT_LEGAL, Outcome.NO_LEGAL_AUTHORITY),
        (Ties.NONE, Outcome.NO_STUDENT),
    ],
)
def test_another_person_without_an_account_does_not_take_the_key(ties: Ties, outcome: Outcome) -> None:
    assert decide(put(PAUL, ties=ties), known()) is outcome
    assert decide(put(kind=KeyKind.NAMES, ties=ties), known()) is outcome


def test_a_departure_is_not_compared() -> None:
    for kind in KeyKind:
        assert decide(Record(DELETE, Ties.NONE, PAUL, kind), known(is_exchanged=True)) is Outcome.GONE


HERE, LEFT = KnownStudent(), KnownStudent(is_left=True)


@each_row(
    ("record", "account", "outcome"),
    [
        (StudentRecord(PUT), None, StudentOutcome.OPEN),
        (StudentRecord(PUT), HERE, StudentOutcome.OPEN),
        (StudentRecord(PUT), LEFT, StudentOutcome.OPEN),
        (StudentRecord(PUT), KnownStudent(keeps_school=False), StudentOutcome.OPEN),
        (StudentRecord(PUT), KnownStudent(keeps_a_name=False), StudentOutcome.OTHER_PERSON),
        (StudentRecord(MODIFY), None, StudentOutcome.CHANGE_OF_UNKNOWN),
        (StudentRecord(MODIFY), LEFT, StudentOutcome.CHANGE_OF_UNKNOWN),
        (StudentRecord(MODIFY), KnownStudent(keeps_a_name=False), StudentOutcome.OTHER_PERSON),
        (StudentRecord(MODIFY, class_name=ClassName.UNSAID), HERE, StudentOutcome.OPEN),
        (StudentRecord(MODIFY, class_name=ClassName.UNSAID), KnownStudent(has_class=False), StudentOutcome.KEPT),
        (StudentRecord(PUT, class_name=ClassName.NONE), None, StudentOutcome.WITHOUT_CLASS),
        (StudentRecord(PUT, class_name=ClassName.NONE), LEFT, StudentOutcome.WITHOUT_CLASS),
        (StudentRecord(PUT, class_name=ClassName.NONE), HERE, StudentOutcome.KEPT_WITHOUT_CLASS),
        (StudentRecord(PUT, has_school=False), None, StudentOutcome.SCHOOL_UNKNOWN),
        (StudentRecord(PUT, has_school=False, has_left=True), HERE, StudentOutcome.SCHOOL_UNKNOWN),
        (StudentRecord(PUT, has_left=True), HERE, StudentOutcome.LEFT),
        (StudentRecord(PUT, has_left=True), None, StudentOutcome.LEFT_ELSEWHERE),
        (StudentRecord(PUT, has_left=True), KnownStudent(keeps_school=False), StudentOutcome.LEFT_ELSEWHERE),
        (StudentRecord(DELETE), None, StudentOutcome.UNKNOWN_GONE),
        (StudentRecord(DELETE, has_school=False), HERE, StudentOutcome.GONE),
        (StudentRecord(DELETE), KnownStudent(keeps_a_name=False, keeps_school=False), StudentOutcome.GONE),
    ],
)
def test_a_pupil_is_decided_by_record_and_account(
    record: StudentRecord, account: KnownStudent | None, outcome: StudentOutcome
) -> None:
    assert decide_student(record, account) is outcome


def test_every_outcome_has_a_consequence() -> None:
    assert list(GUARDIANS) == list(Outcome)
    assert list(STUDENTS) == list(StudentOutcome)


def test_records_in_doubt_are_refused() -> None:
    doubts = {outcome for outcome, consequence in GUARDIANS.items() if consequence.is_doubt}
    assert doubts == {Outcome.KEYS_EXCHANGED, Outcome.KEY_OF_OTHER_PERSON, Outcome.NAME_IN_DOUBT}
    assert {GUARDIANS[outcome].fate for outcome in doubts} == {Fate.REFUSED}


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
