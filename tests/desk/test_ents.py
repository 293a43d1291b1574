"""ENTs at the desk: who sees and changes which, what a form cannot reach, the secret, the trial, the charter."""

import re
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from werkzeug.test import TestResponse

from idp import opaque
from idp.audit.models import AuditEntry
from idp.charter import service as charters
from idp.charter.models import CharterVersion
from idp.clients.models import Client
from idp.clock import now
from idp.db import db
from idp.desk.ents import views
from idp.desk.staff.models import Role
from idp.registration.trial import checks
from idp.registration.trial.findings import Finding
from tests.builders import LYCEE, Build
from tests.desk.colleagues import Colleagues, post
from tests.relying_party import RelyingParty

READERS = [Role.HEAD, Role.ENT_OPERATOR, Role.HELPDESK, Role.DPO, Role.ENGINEER]
MANAGERS = [Role.ENT_OPERATOR, Role.ENGINEER]


def row(ent: RelyingParty) -> Client:
    db.session.expire_all()
    return db.session.query(Client).filter_by(client_id=ent.client_id).one()


def text(answer: TestResponse) -> str:
    return answer.get_data(as_text=True)


@pytest.fixture
def own(build: Build) -> RelyingParty:
    build.school()
    return build.ent("Passerelle", charter="provider")


@pytest.fixture
def other(build: Build) -> RelyingParty:
    build.school(LYCEE)
    return build.ent("Ailleurs", "ailleurs.test", uais=[LYCEE], charter="provider")


def registration(client: Client, **changed: Any) -> dict[str, Any]:
    """Return the fields of the form with what is registered, and what a test changes."""
    return {
        "name": client.name,
        "home_uri": client.home_uri,
        "redirect_uris": "\r\n".join(client.redirect_uris),
        "post_logout_redirect_uris": "\r\n".join(client.post_logout_redirect_uris),
        "charter": client.charter_mode.value,
        **changed,
    }


@pytest.mark.parametrize("role", READERS)
def test_the_list_holds_the_ents_in_scope(
    colleagues: Colleagues, own: RelyingParty, other: RelyingParty, role: Role
) -> None:
    page = text(colleagues.signed_in(role, client_id=own.client_id).get("/ent"))
    sees_all = role in {Role.HELPDESK, Role.DPO, Role.ENGINEER}
    assert ("Passerelle" in page, "Ailleurs" in page) == (True, sees_all)


def test_an_operator_reads_no_charter_of_another_ent(
    colleagues: Colleagues, own: RelyingParty, other: RelyingParty
) -> None:
    browser = colleagues.signed_in(Role.ENT_OPERATOR, client_id=own.client_id)
    charters.publish(other.client_id, "1", "# Charte")
    version = db.session.query(CharterVersion).one().id
    assert browser.get(f"/ent/{row(own).id}/charte/{version}").status_code == 404


@pytest.mark.parametrize("role", MANAGERS)
def test_a_registration_is_changed_and_journalled(colleagues: Colleagues, own: RelyingParty, role: Role) -> None:
    browser, client = colleagues.signed_in(role, client_id=own.client_id), row(own)
    path = f"/ent/{client.id}/modifier"
    more = "https://ent.test/cb\r\nhttps://ent.test/cb2"
    fields = registration(client, redirect_uris=more, backchannel_logout_uri="https://ent.test/out")
    if role is Role.ENGINEER:
        fields |= {"uais": "\r\n".join(client.uais), "audience": "families", "scopes": ["profile", "ent"]}
        fields |= {"auth_method": "client_secret_basic", "pkce_required": "y"}
    answer = post(browser, path, **fields)
    assert answer.headers["Location"] == f"/ent/{client.id}?fait=change", text(answer)
    assert (row(own).redirect_uris, row(own).backchannel_logout_uri) == (more.split(), "https://ent.test/out")
    assert row(own).scopes == (["openid", "profile", "ent"] if role is Role.ENGINEER else client.scopes)
    last = db.session.query(AuditEntry).filter_by(kind="client.changed").order_by(AuditEntry.id.desc()).limit(1).one()
    assert last.details["desk"]["role"] == role.value


def test_an_operator_widens_nothing_by_a_form_field(colleagues: Colleagues, own: RelyingParty) -> None:
    browser, client = colleagues.signed_in(Role.ENT_OPERATOR, client_id=own.client_id), row(own)
    before = (client.uais, client.audience, client.scopes, client.release_username, client.auth_method)
    raised = {
        "uais": f"{LYCEE}",
        "audience": "everyone",
        "scopes": ["address", "phone", "offline_access"],
        "release_username": "y",
        "auth_method": "none",
        "subject": "public",
        "client_id": "0" * 20,
        "secret_digest": "x",
    }
    post(browser, f"/ent/{client.id}/modifier", **registration(client, name="Passerelle 2", **raised))
    client = row(own)
    assert client.name == "Passerelle 2"
    assert (client.uais, client.audience, client.scopes, client.release_username, client.auth_method) == before
    assert (client.client_id, client.pkce_required) == (own.client_id, True)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"name": " "}, "Donnez un nom"),
        ({"redirect_uris": ""}, "Donnez au moins une adresse"),
        ({"redirect_uris": "ent.test/cb"}, "doit commencer par https://"),
        ({"redirect_uris": "http://ent.test/cb"}, "doit commencer par https://"),
        ({"redirect_uris": "https://ent.test/cb#x"}, "ni # ni crochets"),
        ({"redirect_uris": "https://ent.test/é"}, "pas une adresse web"),
        ({"redirect_uris": "https://ent.test/cb\r\nhttps://deux.test/cb"}, "plusieurs serveurs"),
        ({"redirect_uris": "https://voleur.test/cb"}, "prendrait chaque parent pour un inconnu"),
        ({"frontchannel_logout_uri": "https://voleur.test/x"}, "serveur d’une des adresses de retour"),
        ({"charter": "volé"}, "Choisissez une valeur de la liste"),
        ({"uais": "0599001X"}, "sept chiffres"),
        ({"uais": ""}, "Donnez au moins un établissement"),
        ({"scopes": ["tout"]}, "Choisissez une valeur de la liste"),
        ({"auth_method": "private_key_jwt"}, "La signature demande"),
        ({"auth_method": "none", "pkce_required": ""}, "ne va pas sans PKCE"),
        ({"auth_method": "x"}, "Choisissez une valeur de la liste"),
    ],
)
def test_a_fault_is_explained_in_french_beside_its_field(
    colleagues: Colleagues, own: RelyingParty, changed: dict[str, Any], sentence: str
) -> None:
    browser, client = colleagues.signed_in(Role.ENGINEER), row(own)
    whole = {"uais": client.uais[0], "audience": "families", "scopes": ["profile"], "pkce_required": "y"}
    whole["auth_method"] = "client_secret_basic"
    version = client.version
    page = text(post(browser, f"/ent/{client.id}/modifier", **registration(client, **whole | changed)))
    assert sentence in page.replace("\u00a0", " ")
    assert "https://ent.test/bye" in page, "nothing that was typed is lost"
    assert row(own).version == version


def secret_of(page: str) -> str:
    match = re.search(r'id="secret">([^<]+)<', page)
    assert match, page
    return match.group(1)


@pytest.mark.row("K-07")
@pytest.mark.parametrize("role", MANAGERS)
def test_a_new_secret_is_shown_once_and_the_former_one_works_for_a_day(
    colleagues: Colleagues, own: RelyingParty, role: Role, caplog: pytest.LogCaptureFixture
) -> None:
    browser, client = colleagues.signed_in(role, client_id=own.client_id), row(own)
    former, path = client.secret_digest, f"/ent/{client.id}/secret"
    answer = post(browser, path, way="normal")
    assert answer.headers["Cache-Control"] == "no-store"
    secret, client = secret_of(text(answer)), row(own)
    assert client.secret_digest == opaque.digest(secret)
    assert client.former_secret_digest == former
    assert (client.former_secret_until or now()) - now() > timedelta(hours=23)
    for shown in (path, f"/ent/{client.id}", "/ent"):
        assert secret not in text(browser.get(shown))
    assert secret not in caplog.text
    assert all(secret not in str(entry.details) for entry in db.session.query(AuditEntry))
    again = text(post(browser, path, way="normal"))
    assert "Choisissez ce que deviennent" in again, "a page that is sent again ends no secret"
    assert row(own).secret_digest == opaque.digest(secret)


@pytest.mark.parametrize(("way", "keeps"), [("fuite", False), ("perdu", True), ("force", True)])
def test_a_third_secret_says_which_one_it_ends(colleagues: Colleagues, own: RelyingParty, way: str, keeps: Any) -> None:
    browser = colleagues.signed_in(Role.ENT_OPERATOR, client_id=own.client_id)
    first, path = row(own).secret_digest, f"/ent/{row(own).id}/secret"
    second = opaque.digest(secret_of(text(post(browser, path, way="normal"))))
    third = opaque.digest(secret_of(text(post(browser, path, way=way))))
    client = row(own)
    assert client.secret_digest == third
    assert client.former_secret_digest == {"fuite": None, "perdu": first, "force": second}[way]
    assert (client.former_secret_until is not None) == keeps


def test_an_ent_without_a_secret_has_none_to_change(colleagues: Colleagues, build: Build) -> None:
    ent = build.ent(auth_method="none")
    browser = colleagues.signed_in(Role.ENGINEER)
    assert "n’a pas de secret" in text(browser.get(f"/ent/{row(ent).id}/secret"))
    answer = post(browser, f"/ent/{row(ent).id}/secret", "/ent", way="normal")
    assert "n’a pas de secret" in text(answer)


@pytest.mark.parametrize("role", MANAGERS)
def test_a_trial_shows_its_findings_without_commands(colleagues: Colleagues, own: RelyingParty, role: Role) -> None:
    browser = colleagues.signed_in(role, client_id=own.client_id)
    page = text(post(browser, f"/ent/{row(own).id}/test", "/ent"))
    assert re.search(r'"tag warn">à savoir</span> charte', page), "what is missing is no result"
    assert not re.search(r"\bidp [a-z]|\bIDP_[A-Z]| --[a-z]", page), "a page names no command, option or setting"


@pytest.mark.parametrize(
    ("steps", "lead"), [(1, "Tout ce qui a été testé est bon."), (2, "Ce qui a été vérifié est bon.")]
)
def test_a_trial_that_takes_too_long_says_what_it_left_out(
    colleagues: Colleagues, own: RelyingParty, monkeypatch: pytest.MonkeyPatch, steps: int, lead: str
) -> None:
    seconds = [0.0]
    monkeypatch.setattr(checks, "time", SimpleNamespace(monotonic=lambda: seconds[0]))

    def slow() -> list[Finding]:
        seconds[0] += views.TRIAL_SECONDS + 1
        return [Finding("a", True, "premier")]

    rest = [lambda: [Finding("b", True, "deuxième")]]
    monkeypatch.setattr(checks, "steps", lambda *_: [slow, *rest][:steps])
    page = text(post(colleagues.signed_in(Role.ENGINEER), f"/ent/{row(own).id}/test", "/ent"))
    assert "premier" in page
    assert lead in page
    assert ("20 secondes" in page) == (steps > 1)
    assert "deuxième" not in page


@pytest.mark.parametrize("role", MANAGERS)
def test_integrators_find_the_names_of_the_protocol(colleagues: Colleagues, own: RelyingParty, role: Role) -> None:
    browser, client = colleagues.signed_in(role, client_id=own.client_id), row(own)
    form, page = (text(browser.get(path)) for path in (f"/ent/{client.id}/modifier", f"/ent/{client.id}"))
    labels = re.sub(r'(name|id|for)="[^"]*"', "", form)
    of_form = ("client_name", "redirect_uris", "post_logout_redirect_uris", "jwks_uri", "backchannel_logout_uri")
    of_page = (
        "client_id",
        "redirect_uris",
        "subject_type",
        "(pairwise)",
        "policy_uri",
        "tos_uri",
        "initiate_login_uri",
    )
    assert [name for name in of_form if name not in labels] + [name for name in of_page if name not in page] == []
    assert ("token_endpoint_auth_method" in form) is (role is Role.ENGINEER)
