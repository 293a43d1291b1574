"""What an import makes of ties that a person disputed, and of those that the school then excluded."""

import uuid
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from idp.accounts.models import Account, Child, Guardianship, SchoolNotice
from idp.clock import now
from idp.db import db
from idp.operations.purge import unused_accounts
from tests.builders import Build, commit
from tests.closed import closed_as, dispute, exclude, settle_dispute
from tests.commands.conftest import Run
from tests.rostering.aaf_school import COLLEGE, LYCEE, Pupil, Year, modify, write
from tests.rostering.by_names import FIRST, of_name, written
from tests.rostering.seen import account, children_of, codes, imported

pytestmark = pytest.mark.row("R-13")

FATHER = "9150000"


def set_ties(key: str, *children: str, **values: datetime | None) -> None:
    """Change the ties of a parent to the named children (all without names)."""
    ties = update(Guardianship).where(Guardianship.account_id == account(key).id)
    if children:
        ties = ties.where(Guardianship.child_id.in_(select(Child.id).where(Child.given_name.in_(children))))
    commit(ties.values(**values).execution_options(synchronize_session=False))


def _children(*names: str) -> list[uuid.UUID]:
    return list(db.session.scalars(select(Child.id).where(Child.given_name.in_(names)))) if names else []


def excluded(key: str, *children: str) -> None:
    exclude(account(key).id, children=_children(*children))


def tie(key: str, child: str) -> Guardianship:
    statement = select(Guardianship).join(Child, Child.id == Guardianship.child_id)
    return db.session.scalars(
        statement.where(Guardianship.account_id == account(key).id, Child.given_name == child)
    ).one()


def sister(uai: str) -> Pupil:
    return Pupil("88", "Sœur", "FAMILLEAA", uai=uai, parents=(("9100000", "10", "1"), (FATHER, "20", "1")))


def test_an_excluded_tie_stays_ended_while_the_file_still_names_it(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    excluded(FATHER)
    for _ in range(2):
        assert codes(imported(act, folder)).count("tie_excluded") == 1
        assert children_of(FATHER) == []
        assert "excluded" in closed_as(tie(FATHER, "Enfanta"))
    day = folder.parent / "delta"
    write(day / "ENT_Delta_Eleve_0000.xml", [modify("Eleve", "9200000", {"ENTEleveClasses": ["52001$3EME2"]})])
    imported(act, day)
    again = modify("Eleve", "9200000", {"ENTElevePersRelEleve": ["9100000$10$1$1$1$0", f"{FATHER}$20$1$1$1$0"]})
    write(day / "ENT_Delta_Eleve_0000.xml", [again])
    imported(act, day)
    assert children_of(FATHER) == []


@pytest.mark.parametrize("parent", [(FATHER, "39", "1"), (FATHER, "20", "2")])
def test_an_excluded_tie_waits_for_the_head_when_its_record_changes(
    act: Run, year: Year, folder: Path, parent: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    imported(act, year.write(folder))
    excluded(FATHER)
    imported(act, folder)
    assert account(FATHER).disabled_at is not None
    year.change("9200000", parents=(("9100000", "10", "1"), parent))
    monkeypatch.setenv("IDP_ROSTER_PERSON_IN_CHARGE", "1")
    report = imported(act, year.write(folder))
    assert not {"tie_excluded", "tie_disputed"} & set(codes(report))
    assert codes(report).count("guardian_waits") == 1
    assert children_of(FATHER) == []
    opened = tie(FATHER, "Enfanta")
    assert (closed_as(opened), opened.ended_at) == ({"returned"}, None)
    assert account(FATHER).disabled_at is None, "shut by a file, opened by a file"


@pytest.mark.parametrize(("before", "after"), [("", "20"), ("20", "")])
def test_an_added_or_removed_column_does_not_readmit_a_tie(
    act: Run, year: Year, folder: Path, before: str, after: str
) -> None:
    imported(act, year.write(folder))
    excluded(FATHER)
    ours = Guardianship.account_id == account(FATHER).id
    commit(update(Guardianship).where(ours).values(kinship=before))
    year.change("9200000", parents=(("9100000", "10", "1"), (FATHER, after, "1")))
    report = imported(act, year.write(folder))
    assert (codes(report).count("tie_excluded"), codes(report).count("guardian_waits")) == (1, 0)
    assert children_of(FATHER) == []
    assert "excluded" in closed_as(tie(FATHER, "Enfanta"))


def test_an_exclusion_ends_when_the_file_omits_the_tie(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    excluded(FATHER)
    year.change("9200000", parents=(("9100000", "10", "1"),))
    assert "tie_excluded" not in codes(imported(act, year.write(folder), "--force"))
    ended = tie(FATHER, "Enfanta")
    assert (closed_as(ended), ended.ended_at is None) == ({"returned"}, False)


def test_an_unreadable_link_keeps_the_exclusion(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    excluded(FATHER)
    year.change("9200000", parents=(("9100000", "10", "1"), (FATHER, "20", "?")))
    imported(act, year.write(folder))
    assert "excluded" in closed_as(tie(FATHER, "Enfanta"))


def test_a_parent_with_only_excluded_ties_has_no_child(act: Run, year: Year, folder: Path) -> None:
    year.add(sister(COLLEGE))
    imported(act, year.write(folder))
    excluded(FATHER, "Enfanta")
    report = imported(act, folder)
    assert (account(FATHER).disabled_at, report["accounts"]["disabled"]) == (None, 0)
    del year.pupils["88"]
    report = imported(act, year.write(folder), "--force")
    assert report["accounts"]["disabled"] == 1
    assert account(FATHER).has_left
    assert imported(act, folder)["accounts"]["disabled"] == 0
    assert account(FATHER).disabled_at is not None


def test_purge_keeps_the_exclusions_of_the_school(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    excluded(FATHER)
    settle_dispute(account(FATHER).id)
    imported(act, folder)
    long_ago = now() - unused_accounts.DISABLED_KEPT - timedelta(days=1)
    set_ties(FATHER, ended_at=long_ago)
    gone = update(Account).where(Account.id == account(FATHER).id)
    commit(gone.values(disabled_at=long_ago, has_left=True))
    assert act("purge").code == 0
    assert imported(act, folder)["accounts"]["created"] == 0
    assert children_of(FATHER) == []


def test_an_excluded_only_guardian_is_not_reported_as_missing(act: Run, year: Year, folder: Path) -> None:
    year.change("9200000", parents=((FATHER, "20", "1"),))
    imported(act, year.write(folder))
    excluded(FATHER)
    report = imported(act, folder)
    assert "student_without_representative" not in codes(report)
    assert "tie_excluded" in codes(report)


def test_a_disputed_tie_stays_disputed_and_the_report_shows_it(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    dispute(account(FATHER).id)
    [issue] = [issue for issue in imported(act, folder)["issues"] if issue["code"] == "tie_disputed"]
    assert (issue["severity"], issue["key"]) == ("warning", f"aaf:{FATHER}")
    assert issue["message"].startswith(
        "Quelqu’un a dit au nom de cette personne, en ligne ou au téléphone, qu’elle n’est pas rep"
    )
    answer = act("roster", "check", str(folder))
    assert "warning: " in answer.err
    assert "n’est pas représentante légale" in answer.err
    year.change("9200000", parents=(("9100000", "10", "1"), (FATHER, "39", "1")))
    imported(act, year.write(folder))
    assert "disputed" in closed_as(tie(FATHER, "Enfanta"))
    assert children_of(FATHER) == []


def test_a_disputed_tie_of_a_key_of_names_is_reported_by_line(act: Run, folder: Path) -> None:
    imported(act, written(folder, FIRST))
    dispute()
    report = imported(act, folder)
    assert [(issue["code"], issue["line"]) for issue in report["issues"] if "tie" in issue["code"]] == [
        ("tie_disputed", 2)
    ]
    assert of_name("MARTIN")[0].children == []


def test_a_parent_who_disputed_every_child_of_a_school_gets_no_other_there(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    dispute(account(FATHER).id)
    year.add(sister(year.pupils["9200000"].uai))
    imported(act, year.write(folder))
    assert children_of("9100000") == ["Enfanta", "Sœur"]
    assert children_of(FATHER) == []
    [notice] = db.session.scalars(select(SchoolNotice))
    assert (notice.kind, notice.account_id) == ("not_guardian", account(FATHER).id)
    assert notice.child_ids == [tie(FATHER, "Sœur").child_id.hex]


def test_the_open_notice_also_names_the_next_child(act: Run, year: Year, folder: Path, build: Build) -> None:
    imported(act, year.write(folder))
    dispute(account(FATHER).id)
    first = tie(FATHER, "Enfanta")
    db.session.add(
        SchoolNotice(
            school_id=first.child.school_id, account_id=first.account_id, kind="not_guardian",
            child_ids=[first.child_id.hex],
        )
    )  # fmt: skip
    db.session.commit()
    year.add(sister(year.pupils["9200000"].uai))
    imported(act, year.write(folder))
    [notice] = db.session.scalars(select(SchoolNotice))
    assert notice.child_ids == [first.child_id.hex, tie(FATHER, "Sœur").child_id.hex]


def test_a_dispute_concerns_one_school(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    dispute(account(FATHER).id)
    other = COLLEGE if year.pupils["9200000"].uai == LYCEE else LYCEE
    year.add(sister(other))
    imported(act, year.write(folder))
    assert children_of(FATHER) == ["Sœur"]
    assert db.session.scalars(select(SchoolNotice)).all() == []


def test_a_parent_who_disputed_one_of_several_children_gets_the_next(act: Run, year: Year, folder: Path) -> None:
    uai = year.pupils["9200000"].uai
    year.add(Pupil("87", "Frère", "FAMILLEAA", uai=uai, parents=((FATHER, "20", "1"),)))
    imported(act, year.write(folder))
    dispute(account(FATHER).id, children=_children("Enfanta"))
    year.add(sister(uai))
    imported(act, year.write(folder))
    assert children_of(FATHER) == ["Frère", "Sœur"]


def test_a_settled_dispute_allows_the_next_child(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    excluded(FATHER)
    year.add(sister(year.pupils["9200000"].uai))
    imported(act, year.write(folder))
    assert children_of(FATHER) == ["Sœur"]


def test_an_open_dispute_remains_after_the_child_leaves(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    dispute(account(FATHER).id)
    uai = year.pupils.pop("9200000").uai
    imported(act, year.write(folder), "--force")
    year.add(sister(uai))
    imported(act, year.write(folder))
    assert children_of(FATHER) == []
    assert "disputed" in closed_as(tie(FATHER, "Sœur"))
