"""The team: who is listed to whom, who may be invited, ended, renewed and given a lost access back."""

from urllib.parse import urlencode

import pytest
from werkzeug.test import TestResponse

from idp.audit.models import AuditEntry
from idp.clock import now
from idp.db import db
from idp.desk.staff import posts
from idp.desk.staff.models import Role, StaffAccount, StaffInvitation, StaffRole
from idp.desk.staff.posts import Grant
from idp.desk.team import invitations, mails
from idp.outbox.queue import OutboxMessage
from tests.builders import LYCEE, Build
from tests.desk.colleagues import Colleagues, post
from tests.desk.contract import AT_A_SCHOOL

PERSON = {"nom": "Inès Nouvelle", "mail": "ines@college.test"}
MANAGERS = [Role.HEAD, Role.ENT_OPERATOR, Role.HELPDESK, Role.ENGINEER]


@pytest.fixture
def places(build: Build) -> dict[str, str]:
    """Two ENTs and two schools; return the ids of the ENTs."""
    build.school(), build.school(LYCEE)
    own, other = build.ent(), build.ent("Autre", "autre.test")
    return {"own": own.client_id, "other": other.client_id}


def text(answer: TestResponse) -> str:
    return answer.get_data(as_text=True)


def named(colleagues: Colleagues, name: str, role: Role, **scope: object) -> StaffRole:
    return colleagues.grant(colleagues.person(name), role, **scope)  # type: ignore[arg-type]


def invited() -> StaffAccount | None:
    return db.session.query(StaffAccount).filter_by(mailbox=PERSON["mail"]).one_or_none()


def roles_of(staff: StaffAccount) -> list[StaffRole]:
    return db.session.query(StaffRole).filter_by(staff_id=staff.id).all()


@pytest.mark.parametrize("role", MANAGERS)
def test_the_list_holds_the_colleagues_in_scope_and_nobody_else(
    colleagues: Colleagues, places: dict[str, str], role: Role
) -> None:
    named(colleagues, "Secrétaire d’ici", Role.SECRETARY)
    named(colleagues, "Secrétaire d’ailleurs", Role.SECRETARY, uai=LYCEE)
    named(colleagues, "Exploitante d’ici", Role.ENT_OPERATOR, client_id=places["own"])
    named(colleagues, "Exploitante d’ailleurs", Role.ENT_OPERATOR, client_id=places["other"])
    named(colleagues, "Assistance", Role.HELPDESK)
    named(colleagues, "Délégué", Role.DPO)
    page = colleagues.signed_in(role, client_id=places["own"]).get("/equipe").get_data(as_text=True)
    seen = {
        name
        for name in ("Secrétaire d’ici", "Secrétaire d’ailleurs", "Exploitante d’ici", "Exploitante d’ailleurs")
        if name in page
    }
    expected = {
        Role.HEAD: {"Secrétaire d’ici"},
        Role.ENT_OPERATOR: {"Exploitante d’ici"},
        Role.HELPDESK: set(),
        Role.ENGINEER: {"Secrétaire d’ici", "Secrétaire d’ailleurs", "Exploitante d’ici", "Exploitante d’ailleurs"},
    }
    assert seen == expected[role]
    assert ("Délégué" in page) == (role is Role.ENGINEER)


@pytest.mark.row("K-18")
@pytest.mark.parametrize(
    ("role", "granted"),
    [
        (Role.HEAD, {"secretary", "head"}),
        (Role.ENT_OPERATOR, {"ent_operator"}),
        (Role.HELPDESK, {"helpdesk"}),
        (Role.ENGINEER, {role.value for role in Role}),
    ],
)
@pytest.mark.parametrize("posted", [role.value for role in Role])
def test_no_form_field_raises_a_role(
    colleagues: Colleagues, places: dict[str, str], build: Build, role: Role, granted: set[str], posted: str
) -> None:
    browser = colleagues.signed_in(role, client_id=places["own"])
    fields = {"role": posted, "uai": LYCEE, **PERSON}
    if role is Role.ENGINEER and posted == "ent_operator":
        page = browser.get("/equipe/inviter").get_data(as_text=True)
        fields["ent"] = page.partition(">Autre</option>")[0].rpartition('value="')[2].partition('"')[0]
    answer = post(browser, "/equipe/inviter", **fields)
    staff = invited()
    if posted not in granted:
        assert "Choisissez un rôle de la liste" in answer.get_data(as_text=True)
        assert staff is None
        refused = db.session.query(AuditEntry).filter_by(kind="desk.refused").one()
        assert refused.details["subject"] == posted
        return
    assert answer.headers["Location"] == "/equipe?fait=invite"
    assert staff is not None
    [row] = roles_of(staff)
    assert row.role.value == posted
    if role is Role.HEAD:
        assert row.school_id == build.school().id, "the UAI of another school is not read"
    if role is Role.ENGINEER and row.role in AT_A_SCHOOL:
        assert row.school_id == build.school(LYCEE).id
    assert db.session.query(StaffInvitation).filter_by(staff_id=staff.id).count() == 1


@pytest.mark.parametrize("typed", ["{}@{}", "{}+chef@{}", "{}+@{}", "{}+A+b@{}"])
def test_nobody_invites_themselves_also_by_a_tag(colleagues: Colleagues, build: Build, typed: str) -> None:
    staff = colleagues.person()
    colleagues.grant(staff, Role.HEAD)
    mail = typed.format(*staff.email.upper().split("@"))
    answer = post(colleagues.session(staff)[0], "/equipe/inviter", nom="Moi", mail=mail, role="head")
    assert "à soi-même" in text(answer)
    assert db.session.query(StaffAccount).count() == 1


@pytest.mark.row("K-33")
@pytest.mark.parametrize(
    ("by", "role", "informed"),
    [
        (Role.HEAD, "head", {"head", "other head", "engineer"}),
        (Role.ENGINEER, "head", {"head", "other head", "engineer"}),
        (Role.ENGINEER, "engineer", {"engineer", "dpo"}),
        (Role.ENGINEER, "dpo", {"engineer", "dpo"}),
        (Role.HELPDESK, "helpdesk", {"engineer", "dpo"}),
        (Role.HEAD, "secretary", set()),
    ],
)
def test_a_new_role_is_told_also_to_who_granted_it(
    colleagues: Colleagues, build: Build, by: Role, role: str, informed: set[str]
) -> None:
    school = build.school()
    people = {
        "head": named(colleagues, "Cheffe", Role.HEAD),
        "other head": named(colleagues, "Adjointe", Role.HEAD),
        "engineer": named(colleagues, "Ingénieure", Role.ENGINEER),
        "dpo": named(colleagues, "Déléguée", Role.DPO),
        "helpdesk": named(colleagues, "Assistante", Role.HELPDESK),
        "secretary": named(colleagues, "Secrétaire", Role.SECRETARY),
    }
    browser, _ = colleagues.session(db.session.get_one(StaffAccount, people[by.value].staff_id), reason="ticket 4512")
    post(browser, "/equipe/inviter", role=role, uai=school.uai, **PERSON)
    assert invited()
    sent = db.session.query(OutboxMessage).filter_by(kind=mails.NEW_ROLE).all()
    assert {mail.payload["recipient"] for mail in sent} == {str(people[name].staff_id) for name in informed}
    assert {mail.payload["by"] for mail in sent} <= {str(people[by.value].staff_id)}


def test_a_renewed_role_is_told_to_nobody(colleagues: Colleagues, build: Build) -> None:
    named(colleagues, "Ingénieure", Role.ENGINEER)
    for _ in range(2):
        invitations.invite(build.settings, "dpd@bureau.test", "Ana Lima", Grant(Role.DPO))
    assert db.session.query(OutboxMessage).filter_by(kind=mails.NEW_ROLE).count() == 1


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"nom": ""}, "Écrivez le prénom et le nom"),
        ({"nom": "x" * 121}, "120 caractères au plus"),
        ({"mail": "ines"}, "Il manque une partie"),
        ({"role": ""}, "Choisissez un rôle"),
        ({"uai": "0599001X"}, "sept chiffres et une lettre"),
        ({"uai": "0599003R"}, "Aucun établissement"),
        ({"role": "ent_operator", "ent": "12"}, "Choisissez l’ENT"),
    ],
)
def test_a_wrong_invitation_is_explained(
    colleagues: Colleagues, build: Build, fields: dict[str, str], sentence: str
) -> None:
    build.school()
    given = {**PERSON, "role": "head", "uai": LYCEE, **fields}
    page = post(colleagues.signed_in(Role.ENGINEER), "/equipe/inviter", **given).get_data(as_text=True)
    assert sentence in page
    assert db.session.query(StaffInvitation).count() == 0


def test_a_head_ends_a_colleague_who_is_out_at_once(colleagues: Colleagues, build: Build) -> None:
    staff = colleagues.person("Ancien Secrétaire")
    row = colleagues.grant(staff, Role.SECRETARY)
    theirs, _ = colleagues.session(staff)
    browser = colleagues.signed_in(Role.HEAD)
    answer = post(browser, f"/equipe/{row.id}/terminer")
    assert answer.headers["Location"] == "/equipe?fait=termine"
    assert theirs.get("/").status_code == 303
    assert db.session.query(AuditEntry).filter_by(kind="staff.role_ended").one().details["role"] == "secretary"
    assert "déjà terminé" in post(browser, f"/equipe/{row.id}/terminer").get_data(as_text=True)
    post(browser, "/equipe/inviter", nom=staff.name, mail=staff.email, role="secretary")
    assert theirs.get("/").status_code == 303, "the new role does not revive the session"
    listed = text(browser.get("/equipe")).partition(staff.email)[2].partition("</tr>")[0]
    assert listed.index("actif") < listed.index("Rendre un accès")


@pytest.mark.parametrize(
    ("role", "target", "scope"),
    [
        (Role.HEAD, Role.SECRETARY, {"uai": LYCEE}),
        (Role.HEAD, Role.HEAD, {"uai": LYCEE}),
        (Role.HEAD, Role.ENGINEER, {}),
        (Role.HEAD, Role.ENT_OPERATOR, {"client_id": "own"}),
        (Role.ENT_OPERATOR, Role.ENT_OPERATOR, {"client_id": "other"}),
        (Role.ENT_OPERATOR, Role.SECRETARY, {}),
        (Role.ENT_OPERATOR, Role.ENGINEER, {}),
        (Role.HELPDESK, Role.DPO, {}),
        (Role.HELPDESK, Role.HEAD, {}),
        (Role.HELPDESK, Role.SECRETARY, {}),
        (Role.HELPDESK, Role.ENGINEER, {}),
    ],
)
def test_staff_outside_the_scope_is_not_found(
    colleagues: Colleagues, places: dict[str, str], role: Role, target: Role, scope: dict[str, str]
) -> None:
    if "client_id" in scope:
        scope = {"client_id": places[scope["client_id"]]}
    row = named(colleagues, "Cible", target, **scope)
    until = row.valid_until
    browser = colleagues.signed_in(role, client_id=places["own"])
    for act in ("terminer", "acces"):
        assert browser.get(f"/equipe/{row.id}/{act}").status_code == 404
        assert post(browser, f"/equipe/{row.id}/{act}", "/equipe").status_code == 404
    post(browser, "/equipe/renouveler", "/equipe", acces=str(row.id))
    db.session.refresh(row)
    assert row.ended_at is None
    assert row.valid_until == until
    assert db.session.query(StaffInvitation).count() == 0


def test_the_last_head_ends_only_by_the_engineer(colleagues: Colleagues, build: Build) -> None:
    staff = colleagues.person("Chef")
    own = colleagues.grant(staff, Role.HEAD)
    browser, _ = colleagues.session(staff)
    waiting = named(colleagues, "Pas encore là", Role.HEAD)
    db.session.get(StaffAccount, waiting.staff_id).enrolled_at = None  # type: ignore[union-attr]
    db.session.commit()
    answer = post(browser, f"/equipe/{own.id}/terminer")
    assert "dernière direction" in answer.get_data(as_text=True)
    assert post(colleagues.signed_in(Role.ENGINEER), f"/equipe/{own.id}/terminer").status_code == 303
    db.session.refresh(own)
    assert own.ended_at is not None


def test_a_head_hands_over_to_another(colleagues: Colleagues, build: Build) -> None:
    staff = colleagues.person("Chef")
    own = colleagues.grant(staff, Role.HEAD)
    browser, _ = colleagues.session(staff)
    named(colleagues, "Suivante", Role.HEAD)
    answer = post(browser, f"/equipe/{own.id}/terminer")
    assert answer.headers["Location"] == "/connexion?fait=termine"
    assert "Votre accès est terminé." in browser.get(answer.headers["Location"]).get_data(as_text=True)
    assert "Votre accès est terminé." not in browser.get("/connexion").get_data(as_text=True)


@pytest.mark.parametrize("role", MANAGERS)
def test_nobody_gives_their_own_lost_access_back(colleagues: Colleagues, places: dict[str, str], role: Role) -> None:
    staff = colleagues.person()
    row = colleagues.grant(staff, role, client_id=places["own"])
    browser, _ = colleagues.session(staff)
    for answer in (browser.get(f"/equipe/{row.id}/acces"), post(browser, f"/equipe/{row.id}/acces", "/equipe")):
        assert "à soi-même" in answer.get_data(as_text=True)
    assert db.session.query(StaffInvitation).count() == 0


def test_several_roles_are_renewed_after_their_names_are_shown(colleagues: Colleagues, build: Build) -> None:
    rows = [named(colleagues, name, Role.SECRETARY) for name in ("Ana", "Bilal")]
    browser = colleagues.signed_in(Role.HEAD)
    path = f"/equipe/renouveler?{urlencode([('acces', str(row.id)) for row in rows])}"
    page = browser.get(path).get_data(as_text=True)
    assert [name in page for name in ("Ana", "Bilal")] == [True, True]
    answer = post(browser, "/equipe/renouveler", path, acces=[str(row.id) for row in rows])
    assert answer.headers["Location"] == "/equipe?fait=renouvele"
    for row in rows:
        db.session.refresh(row)
        assert row.valid_until == posts.end_of_year(now())
    assert db.session.query(AuditEntry).filter_by(kind="staff.role_granted").count() == 2


def test_the_hand_over_names_the_roles_that_end_on_31_august(colleagues: Colleagues, build: Build) -> None:
    row = named(colleagues, "Jusqu’à l’été", Role.SECRETARY)
    named(colleagues, "Remplaçante", Role.SECRETARY, days=3)
    row.valid_until = posts.end_of_year(now())
    db.session.commit()
    browser = colleagues.signed_in(Role.HEAD)
    page = browser.get("/equipe").get_data(as_text=True)
    section = page.partition("Ces accès finissent le 31 août")[2]
    assert f'value="{row.id}"' not in section, "a form from July"
    assert "Accès à renouveler" not in text(browser.get("/")), "a tile from July"
    assert "Jusqu’à l’été" in section
    assert "Remplaçante" not in section


def test_nobody_renews_their_own_role(colleagues: Colleagues, build: Build) -> None:
    staff = colleagues.person()
    row = colleagues.grant(staff, Role.HEAD)
    until = row.valid_until
    browser, _ = colleagues.session(staff)
    post(browser, "/equipe/renouveler", "/equipe", acces=[str(row.id), "x"])
    db.session.refresh(row)
    assert row.valid_until == until
