"""An import leaves suspensions as they are."""

import csv
import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from idp.accounts.models import SchoolNotice
from idp.accounts.suspensions import kept
from idp.accounts.suspensions.models import KeptSuspension, Suspension
from idp.accounts.suspensions.traces import Likeness, Names, Traces, TracesIndex, likeness
from idp.clock import now
from idp.db import db
from idp.families import admission, suspension
from idp.families.refusals import RefusedError
from idp.families.suspension import Decision
from idp.rostering.reconcile import known_suspensions
from tests.builders import Build
from tests.commands.conftest import Run
from tests.rostering.aaf_school import COLLEGE, Parent, Pupil, Year
from tests.rostering.seen import account, children_of, codes, imported
from tests.rostering.test_disputed_ties import FATHER, set_ties
from tests.rows import each_row

pytestmark = pytest.mark.row("R-13")


def test_an_import_keeps_a_suspended_tie_and_a_suspended_account(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    [tie, *_] = account(FATHER).guardianships
    suspension.suspend(account(FATHER).id, Decision(reason="jugement", child=tie.child_id))
    suspension.suspend(account(FATHER).id, Decision(reason="jugement"))
    before = children_of(FATHER)
    imported(act, folder)
    db.session.expire_all()
    assert children_of(FATHER) == before
    assert account(FATHER).is_suspended_at(now())
    assert len(db.session.scalars(select(Suspension).where(Suspension.ended_at.is_(None))).all()) == 2


def sentences_by_person(act: Run, folder: Path) -> dict[str, list[str]]:
    """Return what a check tells of each person, without the problems."""
    table = folder.parent / "difference.csv"
    table.unlink(missing_ok=True)
    assert act("roster", "check", str(folder), "--difference", str(table), "--force").code == 0
    lines: dict[str, list[str]] = {}
    for kind, person, _, sentence in csv.reader(table.read_text("utf-8-sig").splitlines(), delimiter=";"):
        if kind not in {"à corriger", "à vérifier", "sans compte"}:
            lines.setdefault(person, []).append(sentence)
    return lines


def test_a_suspended_tie_that_a_file_brings_back_is_still_suspended(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    [tie, *_] = account(FATHER).guardianships
    suspension.suspend(account(FATHER).id, Decision(reason="jugement", child=tie.child_id))
    [pupil] = [p for p in year.pupils.values() if any(key == FATHER for key, *_ in p.parents)]
    child = f"{pupil.given} {pupil.family}"
    year.change(pupil.key, parents=pupil.parents[:1])
    gone = sentences_by_person(act, year.write(folder))["FAMILLEAA Pèrea"]
    assert f"N’est plus responsable de {child} dans le fichier ; la suspension de l’accès reste." in gone
    imported(act, folder, "--force")
    year.change(pupil.key, parents=pupil.parents)
    back = sentences_by_person(act, year.write(folder))["FAMILLEAA Pèrea"]
    assert f"Devient responsable de {child} dans le fichier ; l’accès à {child} reste suspendu." in back
    assert "Responsable : a de nouveau un enfant ici, sans accès à cet enfant." in back
    whole = suspension.suspend(account(FATHER).id, Decision(reason="jugement"))
    assert (
        "Responsable : a de nouveau un enfant ici, le compte reste suspendu."
        in sentences_by_person(act, folder)["FAMILLEAA Pèrea"]
    )
    suspension.reopen(whole.id, "réglé")
    imported(act, folder)
    db.session.expire_all()
    [tie, *_] = account(FATHER).guardianships
    assert tie.is_unended
    assert not tie.holds_at(now())


@pytest.mark.row("R-14")
def test_a_new_guardian_of_a_pupil_waits_for_the_head_if_an_access_to_the_pupil_is_suspended(
    act: Run, year: Year, folder: Path
) -> None:
    imported(act, year.write(folder))
    father = account(FATHER)
    suspension.suspend(father.id, Decision(reason="jugement", child=father.guardianships[0].child_id))
    protected, other = year.pupils["9200000"], year.pupils["9200002"]
    added = ("9999", "9998", "9997", "9996")
    year.add(
        Parent("9999", "Paul", "AUTRE", civility="M."),
        Parent("9998", "P.", "FAMILLEAA", civility="M."),
        Parent("9997", "Pèrea", "FAMILLEAX", civility="M."),
        Parent("9996", "Pèrea", "FAMILLEAA", civility="Mme"),
    )
    year.change(
        protected.key, parents=(*protected.parents, ("9999", "90", "1"), ("9998", "20", "1"), ("9996", "10", "1"))
    )
    year.change(other.key, parents=(*other.parents, ("9997", "20", "1")))
    table = folder.parent / "difference.csv"
    assert act("roster", "check", str(year.write(folder)), "--difference", str(table)).code == 0
    problems = {
        line.split(";")[1].strip('"'): line
        for line in table.read_text("utf-8-sig").splitlines()
        if "à corriger" in line or "à vérifier" in line
    }
    assert problems.keys() == {"AUTRE Paul", "FAMILLEAA P.", "FAMILLEAX Pèrea", "FAMILLEAA Pèrea"}
    assert "xml, ligne " in problems["AUTRE Paul"]
    assert "n’a pas accès à l’élève tant que la direction n’a pas décidé" in problems["AUTRE Paul"]
    assert "La personne attend la direction : ni accès ni courrier avant sa réponse." in table.read_text("utf-8-sig")
    assert f"Élève : {protected.given} {protected.family}." in problems["AUTRE Paul"]
    for recognised, waiting in ((1, 3), (0, 0)):
        report = imported(act, folder)
        assert (codes(report).count("suspended"), codes(report).count("guardian_waits")) == (recognised, waiting)
        assert report["waiting"]["accounts"] == recognised + waiting
        assert all(children_of(key) == [] for key in (*added, FATHER)), "another civility waits too"
        assert children_of("9100000") == [protected.given], "who was known before keeps the access"
    notices = {notice.account_id: notice for notice in db.session.scalars(select(SchoolNotice))}
    assert {notice.kind for notice in notices.values()} == {"guardian_waits"}
    assert notices.keys() == {account(key).id for key in added}
    waits = dict(db.session.execute(select(Suspension.account_id, Suspension.wait).where(Suspension.wait != "")).all())
    expected = {"9999": "new_guardian", "9998": "recognised", "9996": "new_guardian", "9997": "alike"}
    assert waits == {account(key).id: wait for key, wait in expected.items()}
    [notice, late] = (notices[account(key).id] for key in ("9999", "9997"))
    assert notice.child_ids == [account("9999").guardianships[0].child_id.hex]
    admission.admit(notice.id, "vu avec la mère")
    assert (children_of("9999"), children_of("9997"), children_of(FATHER)) == ([protected.given], [], [])
    with pytest.raises(RefusedError):
        admission.admit(notice.id, "vu avec la mère")
    same = notices[account("9998").id]
    admission.keep_out(same.id, "c’est lui")
    assert (children_of("9998"), db.session.get_one(SchoolNotice, same.id).settled_at is None) == ([], False)
    assert act("account", "reopen", account("9997").username, "--reason", "vu au dossier").code == 0
    assert children_of("9997") == [other.given]
    assert db.session.get_one(SchoolNotice, late.id, populate_existing=True).settled_at is not None


@pytest.mark.row("R-14")
def test_a_new_number_of_the_pupil_or_a_former_account_of_the_person_bypasses_no_suspension(
    act: Run, year: Year, folder: Path
) -> None:
    pupil = year.pupils["9200000"]
    year.add(Parent("9998", "Pèrea", "FAMILLEAA", civility="M."))
    year.change(pupil.key, parents=(*pupil.parents, ("9998", "20", "1")))
    imported(act, year.write(folder))
    past = now() - timedelta(days=1)
    set_ties("9998", ended_at=now(), suspended_at=past, suspended_until=past)
    father = account(FATHER)
    suspension.suspend(father.id, Decision(reason="jugement", child=father.guardianships[0].child_id))
    assert codes(imported(act, folder)).count("suspended") == 1, "the person's other account had the tie"
    assert children_of("9998") == [], "a former suspension that is over ends no wait"
    former = account("9998")
    of_former = select(SchoolNotice).where(SchoolNotice.account_id == former.id, SchoolNotice.settled_at.is_(None))
    admission.admit(db.session.scalars(of_former).one().id, "vu au dossier")
    set_ties("9998", ended_at=now())
    former.given_name = former.first_given_name = "P."
    db.session.commit()
    year.change("9998", given="P.")
    for waiting in (1, 0):
        assert codes(imported(act, year.write(folder))).count("guardian_waits") == waiting, "nearly the person's name"
        assert children_of("9998") == []
    [notice] = db.session.scalars(of_former)
    assert notice.kind == "guardian_waits"
    year.add(Parent("9999", "Paul", "AUTRE", civility="M."))
    year.add(Pupil("9299999", "Enfanta", "FAMILLEA", uai=pupil.uai, parents=(("9999", "20", "1"),)))
    assert "guardian_waits" in codes(imported(act, year.write(folder)))
    assert children_of("9999") == []
    year.add(Parent("9997", "Luc", "TIERS", civility="M."))
    year.change("9299999", parents=(("9999", "20", "1"), ("9997", "20", "1")))
    assert "guardian_waits" in codes(imported(act, year.write(folder))), "an earlier file brought the new number"
    assert children_of("9997") == []


@pytest.mark.row("R-14")
def test_a_suspended_person_and_the_pupil_who_are_new_in_another_school_wait_for_its_head(
    act: Run, year: Year, folder: Path
) -> None:
    pupil = year.pupils["9200000"]
    year.change("9150002", given="Pèrea", family="FAMILLEAA")  # a namesake, known in the same school
    imported(act, year.write(folder))
    father = account(FATHER)
    suspension.suspend(father.id, Decision(reason="jugement", child=father.guardianships[0].child_id))
    year.add(
        Parent("9999", "Pèrea", "familleaa", civility="M."),
        Parent("9998", "Paul", "FAMILLEAA", civility="M."),
        Parent("9997", "Pèrea", "FAMILLEAA", civility="M."),
        Pupil("9299999", "Enfanta", "Familleaa", uai=COLLEGE, parents=(("9999", "20", "1"), ("9998", "20", "1"))),
        Pupil("9299998", "Zoé", "FAMILLEAA", uai=COLLEGE, parents=(("9997", "20", "1"),)),
        Pupil("9299997", "Zoé", "FAMILLEZZ", uai=COLLEGE, parents=(("9997", "20", "1"),)),
    )
    assert pupil.uai != COLLEGE
    sentences = [sentence for lines in sentences_by_person(act, year.write(folder)).values() for sentence in lines]
    assert "Responsable : un compte est créé, pour Enfanta Familleaa." in sentences
    assert not [sentence for sentence in sentences if "direction" in sentence], "an answer about the other school"
    for waiting in (1, 0):
        report = imported(act, folder)
        assert report["waiting"]["people"] == waiting
        assert not {"suspended", "guardian_waits"}.intersection(codes(report)), "a secretary reads the issues"
        assert children_of("9999") == []
    assert (children_of("9998"), sorted(children_of("9997"))) == (["Enfanta"], ["Zoé", "Zoé"])
    row = db.session.scalars(select(Suspension).where(Suspension.wait != "")).one()
    assert (row.account_id, row.wait, "suspendu" in row.reason) == (account("9999").id, "check", False)
    notice = db.session.scalars(select(SchoolNotice).where(SchoolNotice.account_id == row.account_id)).one()
    admission.admit(notice.id, "vu avec la famille")
    assert children_of("9999") == ["Enfanta"]


@pytest.mark.row("R-14")
def test_a_pair_of_another_school_waits_also_if_one_is_known_or_has_nearly_the_names(
    act: Run, year: Year, folder: Path
) -> None:
    def add(pupil: str, *guardians: Parent, given: str = "Enfanta", family: str = "FAMILLEAA") -> None:
        year.add(*(guardian for guardian in guardians if guardian.key not in year.parents))
        parents = tuple((guardian.key, "20", "1") for guardian in guardians)
        year.add(Pupil(pupil, given, family, uai=COLLEGE, parents=parents))

    def father(key: str, given: str = "Pèrea", family: str = "FAMILLEAA") -> Parent:
        return Parent(key, given, family, civility="M.")

    returns, known, mother = father("9990"), father("9991"), Parent("9992", "Anne", "MERE", civility="Mme")
    add("9299990", returns)
    imported(act, year.write(folder))
    set_ties("9990", ended_at=now())
    suspended = account(FATHER)
    suspension.suspend(suspended.id, Decision(reason="jugement", child=suspended.guardianships[0].child_id))
    del year.pupils["9299990"]
    add("9299991", known, given="Zoé")
    add("9299992", mother)
    assert imported(act, year.write(folder))["waiting"]["people"] == 0
    add("9299990", returns)
    year.add(father("9993"))
    year.change("9299992", parents=(("9992", "10", "1"), ("9993", "20", "1")))
    add("9299993", known)
    add("9299994", father("9994"), father("9995", family="FAMILLEAX"), family="FAMILLEAE")
    add("9299996", father("9996", given="P."), father("9997", family="FAMILLEAX"), father("9998", given="Paul"))
    add("9299999", father("9999"), given="Julie")
    add("9299980", father("9980"), given="FAMILLEAA", family="Enfanta")
    report = imported(act, year.write(folder))
    waits = set(db.session.scalars(select(Suspension.account_id).where(Suspension.wait == "check")))
    assert waits == {account(key).id for key in ("9990", "9991", "9993", "9994", "9996", "9997", "9980")}
    assert report["waiting"]["people"] == 7
    assert (children_of("9990"), children_of("9991"), children_of("9993")) == ([], ["Zoé"], [])
    assert (children_of("9992"), children_of("9995"), children_of("9999")) == (["Enfanta"], ["Enfanta"], ["Julie"])


@pytest.mark.row("R-14")
def test_the_corrected_name_of_a_guardian_who_never_got_a_letter_is_in_doubt_beside_a_suspension(
    act: Run, year: Year, folder: Path
) -> None:
    imported(act, year.write(folder))
    father, mother = account(FATHER), year.parents["9100000"]
    year.change(mother.key, given="Julie")
    year.change("9100001", given="Julie")
    suspension.suspend(father.id, Decision(reason="jugement", child=father.guardianships[0].child_id))
    report = imported(act, year.write(folder))
    assert account(mother.key).given_name == mother.given
    assert account("9100001").given_name == "Julie"
    assert (codes(report).count("name_in_doubt"), codes(report).count("name_corrected")) == (1, 1)


def test_a_kept_suspension_of_a_pupil_whom_a_purge_removes_meanwhile_stops_no_import(
    monkeypatch: pytest.MonkeyPatch, build: Build
) -> None:
    monkeypatch.setattr(kept, "holding", lambda *_: [kept.KeptTie(uuid.uuid4(), "", Traces.of(()), PERSON)])
    assert known_suspensions.suspended_people(build.settings.secrets) == []


def test_a_suspended_account_without_ties_is_opened_by_no_school(
    act: Run, year: Year, folder: Path, build: Build
) -> None:
    father = year.parents[FATHER]
    names = {"civility": "M.", "given_name": father.given.upper(), "family_name": "X", "birth_name": father.family}
    suspended = build.active(children=[], roster_key="aaf:1", **names)
    suspension.suspend_for_a_day(suspended.id, "jugement", "")
    table = folder.parent / "difference.csv"
    assert act("roster", "check", str(year.write(folder)), "--difference", str(table)).code == 0
    assert "direction" not in table.read_text("utf-8-sig"), "a check tells no school of a suspension elsewhere"
    report = imported(act, folder)
    assert not {"suspended", "guardian_waits"}.intersection(codes(report))
    assert children_of(FATHER) == []
    assert db.session.scalars(select(Suspension.wait).where(Suspension.wait != "")).all() == ["check"]
    [notice] = db.session.scalars(select(SchoolNotice).where(SchoolNotice.account_id == account(FATHER).id))
    assert notice.kind == "guardian_waits"


@pytest.mark.row("R-14")
def test_an_erased_person_gets_no_suspended_access_back(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    father = account(FATHER)
    suspension.suspend(father.id, Decision(reason="jugement", child=father.guardianships[0].child_id))
    answer = act("account", "erase", father.username, "--yes", "--reason", "demande 12")
    assert answer.code == 0, answer.err
    assert "stays: the school's file names the person" in answer.out
    assert codes(imported(act, folder)).count("suspended") == 1
    names = year.parents[FATHER]
    renamed = Parent("9999", names.given.upper(), "AUTRE", birth=names.family, civility="M.")
    [pupil] = [p for p in year.pupils.values() if any(key == FATHER for key, *_ in p.parents)]
    year.add(renamed, Parent("9998", "Paul", "TIERS", civility="M."))
    year.change(pupil.key, parents=(*pupil.parents, ("9999", "20", "1"), ("9998", "20", "1")))
    year.change(FATHER, family="ZIDANI")
    stopped_links = imported(act, year.write(folder), "--force")
    assert codes(stopped_links).count("suspended") == 1, "other names under another key"
    assert codes(stopped_links).count("guardian_waits") == 1
    assert children_of(FATHER) == children_of("9999") == children_of("9998") == []
    [row] = db.session.scalars(select(KeptSuspension))
    key, person = str(row.id), row.person
    row.person = b"0" * len(person)
    db.session.commit()
    stopped = act("roster", "import", str(folder))
    assert (stopped.code, "IDP_SECRET_KEY_FALLBACKS" in stopped.err) == (1, True)
    assert act("account", "end-kept-suspension", key, "--reason", "jugement levé").code == 0
    assert "suspended" not in codes(imported(act, folder))
    assert children_of("9999") == [], "the person waits already"
    [notice] = db.session.scalars(select(SchoolNotice).where(SchoolNotice.account_id == account("9999").id))
    admission.admit(notice.id, "jugement levé")
    assert children_of("9999") == [pupil.given]


@pytest.mark.row("R-14")
def test_all_new_ties_of_a_recognised_person_wait_also_in_another_school(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    father = account(FATHER)
    suspension.suspend(father.id, Decision(reason="jugement"))
    here, elsewhere = year.pupils["9200000"], year.pupils["9200001"]
    year.add(Parent("9999", "Pèrea", "FAMILLEAA", civility="M."))
    for pupil in (here, elsewhere):
        year.change(pupil.key, parents=(*pupil.parents, ("9999", "20", "1")))
    report = imported(act, year.write(folder))
    assert codes(report).count("suspended") == 2
    assert children_of("9999") == []
    notices = db.session.scalars(select(SchoolNotice).where(SchoolNotice.account_id == account("9999").id)).all()
    assert len({notice.school_id for notice in notices}) == 2, "each head decides about the own pupil"


PERSON = Traces.of([Names.of("aaf:7", "Mme", ["Anne Marie"], ["LE GOFF-DURAND", "Nguyễn"])])
TYPED = Traces.of([Names.of("", "M.", ["Jean-Pierre"], ["MARCHAND"])])
INITIAL = Traces.of([Names.of("", "", ["J."], ["N’DIAYE"])])
SHORT = Traces.of([Names.of("", "", ["Léa"], ["BA"])])


def names(civility: str, given: str, family: str, birth: str = "", key: str = "") -> Names:
    return Names.of(key, civility, [given], [family, birth])


@pytest.mark.row("R-14")
@each_row(
    ("traces", "other", "expected"),
    [
        (PERSON, names("MME", "anne marie", "le goff durand"), Likeness.SAME),
        (PERSON, names("Mlle", "Marie", "NGUYEN"), Likeness.SAME),
        (PERSON, names("", "Anne", "GOFF"), Likeness.SAME),
        (PERSON, names("Mme", "Durand", "Anne"), Likeness.SAME),
        (PERSON, names("Mme", "Anne", "Autre", "DURAND"), Likeness.SAME),
        (PERSON, names("M.", "Paul", "AUTRE", key="aaf:7"), Likeness.SAME),
        (PERSON, names("", "Marie-Anne", "NGUYEN"), Likeness.NEAR),
        (PERSON, names("M.", "Anne Marie", "LE GOFF-DURAND"), Likeness.NEAR),
        (PERSON, names("Mme", "Anne", "LE ROUX"), Likeness.NONE),
        (PERSON, names("Mme", "Julie", "LE GOFF-DURAND"), Likeness.NONE),
        (PERSON, names("Mme", "Anne", ""), Likeness.NONE),
        (PERSON, names("", "", ""), Likeness.NONE),
        (TYPED, names("M.", "Jean Pierre", "MARCHAND"), Likeness.SAME),
        (TYPED, names("M.", "Jean-Pierre", "MARCHANT"), Likeness.NEAR),
        (TYPED, names("M.", "Jean-Pierre", "MARCHANDS"), Likeness.NEAR),
        (TYPED, names("M.", "Jean-Pierre", "MACHAND"), Likeness.NEAR),
        (TYPED, names("M.", "Jean-Pierre", "XMARCHAND"), Likeness.NEAR),
        (TYPED, names("M.", "Jean-Pierre", "MARHCAND"), Likeness.NEAR),
        (TYPED, names("M.", "Jean-Pierre", "MARHCANT"), Likeness.NONE),
        (TYPED, names("M.", "Jean-Piere", "MARCHAND"), Likeness.NEAR),
        (TYPED, names("M.", "Jeam-Pierre", "MARCHANT"), Likeness.NEAR),
        (TYPED, names("M.", "Jeam", "MARCHANT"), Likeness.NONE),
        (TYPED, names("Mme", "MARCHANT", "Pierre"), Likeness.NEAR),
        (TYPED, names("", "Pierre", "MARCHAND-DUBOIS"), Likeness.NEAR),
        (TYPED, names("", "J.", "MARCHAND"), Likeness.NEAR),
        (TYPED, names("", "J.-P.", "MARCHANT"), Likeness.NEAR),
        (TYPED, names("", "K.", "MARCHAND"), Likeness.NONE),
        (TYPED, names("", "Julie", "MARCHAND"), Likeness.NONE),
        (INITIAL, names("", "Jean", "N’DIAYE"), Likeness.NEAR),
        (INITIAL, names("", "Jean", "N’GUESSAN"), Likeness.NONE),
        (INITIAL, names("", "Karim", "N’DIAYE"), Likeness.NONE),
        (SHORT, names("", "Lea", "Ba"), Likeness.SAME),
        (SHORT, names("", "Lɛa", "Ɓa"), Likeness.SAME),
        (TYPED, names("M.", "Jɛan-Pierre", "MARCHANƊ"), Likeness.SAME),
        (SHORT, names("", "Lia", "Ba"), Likeness.NONE),
        (SHORT, names("", "Léa", "Da"), Likeness.NONE),
    ],
)
def test_a_suspended_person_is_recognised_by_the_names(traces: Traces, other: Names, expected: Likeness) -> None:
    assert likeness(other, traces) is expected
    assert likeness(other, Traces.loads(traces.dumps())) is expected
    candidates = TracesIndex([(SHORT, "another"), (traces, "person")]).candidates(other)
    assert "person" in candidates or expected is Likeness.NONE, "the index leaves out nobody who is alike"
