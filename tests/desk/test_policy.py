"""Who may import which files: the table of the roles and `policy.decide`, without a page."""

import pytest

from idp.desk.school_files import policy
from idp.desk.school_files.policy import Decision, Exceeded, Findings, Verdict
from idp.desk.staff.models import Role
from idp.rostering.imports import ALL_MISTAKES
from idp.rostering.records import Format
from tests.builders import COLLEGE
from tests.databases import settings_for
from tests.rows import each_row

IMPORT, AGREE, HAND_OVER, LEAVE, REFUSE = Decision
TOO_MANY = [Exceeded("students", 4, 40, 5)]


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[Exceeded]:
    """Return the limits that the files exceed: a test adds some."""
    exceeded: list[Exceeded] = []
    monkeypatch.setattr(policy, "exceeded", lambda *_: exceeded)
    return exceeded


def findings(*mistakes: str, refused: str = "", leaves: int = 0, shown: int = 0) -> Findings:
    return Findings(
        settings=settings_for("postgresql://idp@127.0.0.1:1/idp"),
        school=COLLEGE,
        leaving={"students": (leaves, 40)},
        mistakes=mistakes,
        refused=refused,
        shown={"students": shown},
    )


@each_row(
    ("mistakes", "secretary", "head", "engineer"),
    [
        ((), (IMPORT, ""), (IMPORT, ""), (IMPORT, "")),
        (("other_source",), (HAND_OVER, "for_the_head"), (AGREE, ""), (AGREE, "")),
        (("many_accounts", "many_ties", "emptied"), (HAND_OVER, "for_the_head"), (AGREE, ""), (AGREE, "")),
        (("many_strangers",), (LEAVE, "for_the_academy"), (LEAVE, "for_the_academy"), (AGREE, "")),
        (("emptied", "crowded"), (LEAVE, "for_the_academy"), (LEAVE, "for_the_academy"), (AGREE, "")),
    ],
)
def test_mistakes_are_for_the_first_role_that_accepts_them(
    limits: list[Exceeded],
    mistakes: tuple[str, ...],
    secretary: tuple[Decision, str],
    head: tuple[Decision, str],
    engineer: tuple[Decision, str],
) -> None:
    roles = (Role.SECRETARY, Role.HEAD, Role.ENGINEER)
    verdicts = [policy.decide(role, findings(*mistakes)) for role in roles]
    assert [(verdict.decision, verdict.reason) for verdict in verdicts] == [secretary, head, engineer]


@pytest.mark.row("K-13")
def test_limits_of_people_who_leave_are_the_secretarys_alone(limits: list[Exceeded]) -> None:
    limits += TOO_MANY
    assert policy.decide(Role.SECRETARY, findings()) == Verdict(HAND_OVER, "too_many_leave", TOO_MANY)
    assert policy.decide(Role.SECRETARY, findings("crowded")) == Verdict(LEAVE, "for_the_academy", TOO_MANY)
    for role in (Role.HEAD, Role.ENGINEER):
        assert policy.decide(role, findings()) == Verdict(IMPORT)


@each_row("role", [Role.SECRETARY, Role.HEAD, Role.ENGINEER])
def test_nobody_imports_refused_files_or_more_than_was_shown(limits: list[Exceeded], role: Role) -> None:
    assert policy.decide(role, findings(refused="half_pair")) == Verdict(REFUSE, "half_pair")
    assert policy.decide(role, findings(leaves=2, shown=1)) == Verdict(REFUSE, "changed_since")
    assert policy.decide(role, findings(leaves=1, shown=2)).imports


@each_row("role", [Role.HELPDESK, Role.DPO, Role.ENT_OPERATOR])
def test_other_roles_import_nothing(limits: list[Exceeded], role: Role) -> None:
    assert policy.decide(role, findings()) == Verdict(LEAVE, "for_the_academy")


def test_an_import_accepts_what_its_check_told_and_what_it_may_not_tell() -> None:
    assert policy.accepted(Role.SECRETARY, []) == frozenset()
    assert policy.accepted(Role.HEAD, ["emptied", "crowded"]) == {"emptied"}
    assert policy.accepted(Role.ENGINEER, ["emptied"]) == {"emptied", "crowded"}


def test_a_schools_staff_gives_the_files_of_its_school_alone() -> None:
    for role in (Role.SECRETARY, Role.HEAD):
        assert policy.terms(role, ALL_MISTAKES).formats == {Format.SIECLE, Format.ONDE, Format.CSV}
        assert policy.form({"school": COLLEGE, "role": role.value}, writes=True).refuses_others
    assert policy.terms(Role.ENGINEER, ALL_MISTAKES).formats == set(Format)
    assert not policy.form({"school": "", "role": Role.ENGINEER.value}, writes=True).refuses_others


@pytest.mark.row("K-12")
def test_a_role_without_names_learns_no_refusal_that_is_about_people() -> None:
    assert policy.told_refusal(Role.ENGINEER, "all_refused", refused=1, read=2) == ""
    assert policy.told_refusal(Role.ENGINEER, "all_refused", refused=2, read=2) == "all_refused"
    assert policy.told_refusal(Role.ENGINEER, "nobody", refused=0, read=1) == "nobody"
    assert policy.told_refusal(Role.HEAD, "all_refused", refused=1, read=2) == "all_refused"
