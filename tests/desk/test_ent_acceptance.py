"""ENTs that their operator registers: what waits, what the académie decides, what the operator cannot reach."""

import json
import re
import uuid
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from idp import opaque
from idp.app import outbox_handlers
from idp.audit.models import AuditEntry
from idp.clients import registry
from idp.clients.models import Audience, Client
from idp.clock import now
from idp.db import db
from idp.desk.ents import acceptance
from idp.desk.ents.acceptance import MAIL
from idp.desk.staff import posts
from idp.desk.staff.models import Role, StaffAccount, StaffRole
from idp.outbox.queue import OutboxMessage
from idp.outbox.worker import Outcome
from idp.registration import registrations
from idp.registration.faults import RegistrationRefusedError
from idp.services import services
from tests.builders import COLLEGE, LYCEE, Build
from tests.desk.colleagues import Colleagues, post
from tests.dpop_party import Key
from tests.pages import heading
from tests.relying_party import RelyingParty

PRIVATE = json.dumps({"keys": [{**Key.new("ES256").jwk, "d": "AAAA"}]})
PUBLIC = json.dumps({"keys": [Key.new("ES256").jwk]})
NEW = {
    "name": "Estuaire",
    "home_uri": "https://estuaire.test/",
    "redirect_uris": "https://estuaire.test/cb",
    "post_logout_redirect_uris": "https://estuaire.test/bye",
    "charter": "provider",
    "contacts": "Lina Roy, 03 53 01 00 00\r\nent@estuaire.test",
    "uais": f"{LYCEE}\r\n{COLLEGE}",
    "auth_method": "client_secret_basic",
}


def text(answer: TestResponse) -> str:
    return answer.get_data(as_text=True).replace("\u00a0", " ")


def estuaire() -> Client:
    db.session.expire_all()
    return db.session.query(Client).filter_by(name="Estuaire").one()


def waiting() -> list[Client]:
    db.session.expire_all()
    return db.session.query(Client).filter(Client.waiting_since.is_not(None)).all()


def news() -> list[tuple[str, str]]:
    mails = db.session.query(OutboxMessage).filter_by(kind=MAIL).order_by(OutboxMessage.id).all()
    return sorted((mail.payload["news"], mail.payload["recipient"]) for mail in mails)


def drawn_id(browser: FlaskClient) -> str:
    """Return the value that the form of a new ENT holds for its id."""
    page = text(browser.get("/ent/nouveau"))
    drawn = re.search(r'name="drawn" value="([\w.-]+)"', page)
    assert drawn, page
    return drawn.group(1)


def ask(browser: FlaskClient, **changed: Any) -> TestResponse:
    """Fill in the form of a new ENT and send it."""
    return post(browser, "/ent/nouveau", **{**NEW, "drawn": drawn_id(browser), **changed})


@pytest.fixture
def own(build: Build) -> RelyingParty:
    build.school(), build.school(LYCEE)
    return build.ent("Passerelle")


@pytest.fixture
def operator(colleagues: Colleagues, own: RelyingParty) -> StaffAccount:
    staff = colleagues.person("Lina Roy")
    colleagues.grant(staff, Role.ENT_OPERATOR, client_id=own.client_id)
    return staff


@pytest.fixture
def browser(colleagues: Colleagues, operator: StaffAccount) -> FlaskClient:
    return colleagues.session(operator)[0]


@pytest.mark.row("K-27")
def test_the_ent_of_an_operator_waits_closed_and_without_a_school(
    colleagues: Colleagues, operator: StaffAccount, browser: FlaskClient
) -> None:
    engineer = colleagues.person("Ingénieure")
    colleagues.grant(engineer, Role.ENGINEER)
    answer = ask(browser)
    page = text(answer)
    assert heading(answer) == "L’ENT est enregistré", page
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Estuaire</b><small>" in page, "the header names the new ENT, for which the person acts now"
    client = estuaire()
    secret = re.search(r'id="secret">([^<]+)<', page)
    assert secret
    assert client.secret_digest == opaque.digest(secret.group(1))
    assert None not in {client.waiting_since, client.disabled_at}
    assert (client.uais, client.asked_uais) == ([], [LYCEE, COLLEGE])
    assert registry.find(client.client_id, fresh=True) is None, "no request of the protocol finds it"
    assert all(ent.client_id != client.client_id for ent in registry.all_serving([LYCEE, COLLEGE]))
    role = db.session.query(StaffRole).filter_by(client_id=client.id).one()
    first = db.session.query(StaffRole).filter(StaffRole.id != role.id, StaffRole.staff_id == operator.id).one()
    assert (role.staff_id, role.role, role.valid_until) == (operator.id, Role.ENT_OPERATOR, first.valid_until)
    entry = db.session.query(AuditEntry).filter_by(kind="client.changed", client_id=client.id).one()
    assert (entry.details["change"], entry.details["after"]["asked_uais"]) == ("asked", [LYCEE, COLLEGE])
    assert secret.group(1) not in str(entry.details)
    assert news() == [("asked", str(engineer.id))]
    own_page = text(browser.get(f"/ent/{client.id}"))
    assert f"<li>{COLLEGE}</li>" in own_page, "not who serves the school, nor whether it is known here"
    assert secret.group(1) not in own_page


def test_the_role_at_a_new_ent_lasts_as_long_as_the_longest_one(
    colleagues: Colleagues, build: Build, operator: StaffAccount
) -> None:
    short = posts.of_staff(operator.id)[0]
    longest = colleagues.grant(operator, Role.ENT_OPERATOR, client_id=build.ent("Lagune", "l.test").client_id, days=60)
    until, browser = longest.valid_until, colleagues.session(operator)[0]
    post(browser, "/etablissements", post=str(short.id))
    assert heading(ask(browser)) == "L’ENT est enregistré"
    assert db.session.query(StaffRole).filter_by(client_id=estuaire().id).one().valid_until == until


def test_a_waiting_ent_is_corrected_tested_and_gets_its_charter(browser: FlaskClient) -> None:
    ask(browser)
    key = estuaire().id
    fields = {name: value for name, value in NEW.items() if name not in {"uais", "auth_method"}}
    changed = fields | {"home_uri": "https://estuaire.test/accueil", "uais": COLLEGE}
    assert post(browser, f"/ent/{key}/modifier", **changed).headers["Location"] == f"/ent/{key}?fait=change"
    assert (estuaire().home_uri, estuaire().uais) == ("https://estuaire.test/accueil", [])
    assert heading(post(browser, f"/ent/{key}/test", "/ent")) == "Résultat du test"
    post(browser, f"/ent/{key}/charte", version="1", text="# Charte")
    digest = re.search(r'name="empreinte" value="([0-9a-f]+)"', text(browser.get(f"/ent/{key}/charte/apercu")))
    assert digest
    post(browser, f"/ent/{key}/charte/publier", f"/ent/{key}/charte", empreinte=digest.group(1), word="PUBLIER")
    assert estuaire().charter_version_id is not None
    assert estuaire().disabled_at is not None
    menu = [browser.get(path).status_code for path in ("/", "/equipe", "/ent", "/activation", "/journal")]
    assert menu == [200] * 5, "an ENT without a school has all pages of its operator"


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"uais": ""}, "Donnez au moins un établissement"),
        ({"uais": "0599001X"}, "sept chiffres"),
        ({"name": "PasserelIe"}, "celui d’un autre ENT"),
        ({"name": "Еstuaire"}, "celui d’un autre ENT"),
        ({"auth_method": "none"}, "Choisissez une valeur de la liste"),
        ({"auth_method": "private_key_jwt"}, "La signature demande les clés"),
        ({"auth_method": "private_key_jwt", "jwks": PRIVATE}, "C’est une clé privée"),
        ({"auth_method": "private_key_jwt", "jwks": "{"}, "clés publiques que ce service peut utiliser"),
        ({"auth_method": "private_key_jwt", "jwks": "[" * 20_000}, "clés publiques que ce service peut utiliser"),
        ({"auth_method": "private_key_jwt", "jwks": PUBLIC, "jwks_uri": "https://estuaire.test/k"}, "pas les deux"),
        ({"contacts": "x" * 501}, "20 contacts au plus"),
        ({"contacts": "\r\n".join("abcdefghijklmnopqrstu")}, "20 contacts au plus"),
    ],
)
def test_a_fault_registers_nothing_and_is_explained(
    browser: FlaskClient, changed: dict[str, str], sentence: str
) -> None:
    page = text(ask(browser, **changed))
    assert sentence in page
    assert "https://estuaire.test/cb" in page, "nothing that was typed is lost"
    assert (waiting(), news()) == ([], [])


def test_pasted_keys_are_kept_and_no_secret_is_made(browser: FlaskClient) -> None:
    drawn = drawn_id(browser)
    page = text(ask(browser, auth_method="private_key_jwt", jwks=PUBLIC, drawn=drawn))
    assert 'id="secret"' not in page
    client = estuaire()
    again = ask(browser, auth_method="private_key_jwt", jwks=PUBLIC, drawn=drawn)
    assert again.headers["Location"] == f"/ent/{client.id}?fait=enregistre", "no word of a secret"
    assert client.jwks == json.loads(PUBLIC)
    assert client.secret_digest is None
    edited = text(browser.get(f"/ent/{client.id}/modifier"))
    assert json.loads(PUBLIC)["keys"][0]["x"] in edited


def test_no_form_field_gives_an_operator_what_the_academy_decides(browser: FlaskClient) -> None:
    raised = {"audience": "everyone", "scopes": ["address", "phone"], "release_username": "y", "pkce_required": ""}
    assert heading(ask(browser, **raised)) == "L’ENT est enregistré"
    client = estuaire()
    assert not {"address", "phone"} & set(client.scopes)
    decided = (client.audience, client.release_username, client.pkce_required)
    assert decided == (Audience.FAMILIES, False, True)


def test_three_ents_of_an_operator_wait_at_most(browser: FlaskClient) -> None:
    for number in range(acceptance.MOST_WAITING):
        assert heading(ask(browser, name=f"Estuaire {number + 2}")) == "L’ENT est enregistré"
    assert f"{acceptance.MOST_WAITING} de vos ENT attendent déjà" in text(ask(browser, name="Estuaire 9"))
    assert len(waiting()) == acceptance.MOST_WAITING


def last_change() -> AuditEntry:
    return db.session.query(AuditEntry).filter_by(kind="client.changed").order_by(AuditEntry.id.desc()).limit(1).one()


def decision(client: Client, **changed: Any) -> dict[str, Any]:
    return {
        "version": str(client.version),
        "audience": "families",
        "uais": LYCEE,
        "scopes": ["profile", "ent"],
        "pkce_required": "y",
        **changed,
    }


@pytest.fixture
def asked(browser: FlaskClient) -> Client:
    ask(browser)
    return estuaire()


@pytest.mark.row("K-27")
def test_the_engineer_accepts_an_ent_for_the_schools_that_he_leaves(
    colleagues: Colleagues, browser: FlaskClient, operator: StaffAccount, asked: Client
) -> None:
    engineer, path = colleagues.signed_in(Role.ENGINEER), f"/ent/{asked.id}/accord"
    assert "ENT à accepter" in text(engineer.get("/"))
    assert "ENT à accepter" not in text(browser.get("/"))
    assert f"({COLLEGE}), servi aujourd’hui par Passerelle" in text(engineer.get(path))
    answer = post(engineer, path, **decision(asked))
    assert answer.headers["Location"] == f"/ent/{asked.id}?fait=accepte", text(answer)
    client = estuaire()
    assert (client.waiting_since, client.disabled_at, client.asked_uais) == (None, None, [])
    assert (client.uais, client.scopes) == ([LYCEE], ["openid", "profile", "ent"])
    assert registry.find(client.client_id, fresh=True) is not None
    assert last_change().details["change"] == "accepted"
    assert ("accepted", str(operator.id)) in news()
    again = post(engineer, path, "/ent", **decision(client))
    assert again.headers["Location"] == f"/ent/{asked.id}?fait=tard"
    assert "quelqu’un a déjà répondu" in text(engineer.get(again.headers["Location"]))


def test_an_ent_that_changed_since_it_was_shown_is_not_accepted(
    colleagues: Colleagues, browser: FlaskClient, asked: Client
) -> None:
    engineer, seen = colleagues.signed_in(Role.ENGINEER), decision(asked)
    fields = {name: value for name, value in NEW.items() if name not in {"uais", "auth_method"}}
    post(browser, f"/ent/{asked.id}/modifier", **fields | {"home_uri": "https://autre.test/"})
    assert "Une autre personne vient de modifier" in text(post(engineer, f"/ent/{asked.id}/accord", **seen))
    refused = {"version": seen["version"], "reason": "Non."}
    page = text(post(engineer, f"/ent/{asked.id}/accord/refus", f"/ent/{asked.id}/accord", **refused))
    assert "Une autre personne vient de modifier" in page
    assert len(waiting()) == 1


def test_no_school_or_a_name_that_was_taken_meanwhile_is_a_fault(
    colleagues: Colleagues, build: Build, asked: Client
) -> None:
    engineer, path = colleagues.signed_in(Role.ENGINEER), f"/ent/{asked.id}/accord"
    assert "Donnez au moins un établissement" in text(post(engineer, path, **decision(asked, uais="")))
    build.ent("Estuaire !", "encore.test")
    assert "celui d’un autre ENT" in text(post(engineer, path, **decision(asked)))
    assert len(waiting()) == 1


def test_a_refused_ent_stays_closed_and_its_operator_is_told_why(
    colleagues: Colleagues, browser: FlaskClient, operator: StaffAccount, asked: Client
) -> None:
    engineer, version = colleagues.signed_in(Role.ENGINEER), str(asked.version)
    path, page = f"/ent/{asked.id}/accord/refus", f"/ent/{asked.id}/accord"
    for short in (" ", "ok"):
        assert "Écrivez le motif" in text(post(engineer, path, page, version=version, reason=short))
    answer = post(engineer, path, page, version=version, reason="Le nom\u200b prête à  confusion.")
    assert answer.headers["Location"] == f"/ent/{asked.id}?fait=refuse"
    client = estuaire()
    assert (client.waiting_since is None, client.disabled_at is None) == (True, False)
    assert "Refusé par l’académie le" in text(engineer.get(f"/ent/{asked.id}"))
    with pytest.raises(RegistrationRefusedError, match="was refused on"):
        registrations.enable(client.client_id)
    assert [post.client.name for post in posts.of_staff(operator.id) if post.client] == ["Passerelle"]
    assert browser.get(f"/ent/{asked.id}").status_code == 404
    entry = last_change()
    assert (entry.details["change"], entry.details["reason"]) == ("refused", "Le nom prête à confusion.")
    assert ("refused", str(operator.id)) in news()


def test_a_waiting_ent_is_not_enabled_by_another_way(asked: Client) -> None:
    with pytest.raises(RegistrationRefusedError, match="waits for the académie"):
        registrations.enable(asked.client_id)
    assert len(waiting()) == 1


def test_the_link_of_a_mail_opens_the_ent_for_a_session_that_acts_for_another(
    colleagues: Colleagues, operator: StaffAccount, asked: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    monkeypatch.setattr(
        "idp.desk.team.mails.deliver", lambda mail, _: sent.append(mail.get_body(("plain",)).get_content())
    )
    payload = {"client": str(asked.id), "news": "accepted", "by": "", "reason": "", "recipient": str(operator.id)}
    acceptance.hand_over(
        OutboxMessage(id=uuid.uuid4(), kind=MAIL, payload=payload, created_at=now()), services().settings
    )
    link = re.search(r"https://bureau\.exemple\.test(/\S+)", sent[0])
    assert link
    by_name = {post.client.name: post for post in posts.of_staff(operator.id) if post.client}
    browser = colleagues.session(operator)[0]
    assert '<b>Estuaire</b> <span class="tag warn">En attente</span>' in text(browser.get("/etablissements"))
    post(browser, "/etablissements", post=str(by_name["Passerelle"].id))
    assert browser.get(f"/ent/{asked.id}").status_code == 404
    answer = post(browser, link.group(1), post=str(by_name["Estuaire"].id))
    assert heading(browser.get(answer.headers["Location"])) == "Estuaire"
    engineer = colleagues.signed_in(Role.ENGINEER)
    assert engineer.get(link.group(1)).headers["Location"] == f"/ent/{asked.id}", "one post: nothing to choose"


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [("asked", "Lina Roy a enregistré"), ("accepted", "a accepté l’ENT"), ("refused", "n’a pas accepté")],
)
def test_each_mail_says_what_happened(
    operator: StaffAccount, asked: Client, monkeypatch: pytest.MonkeyPatch, kind: str, sentence: str
) -> None:
    sent: list[str] = []
    monkeypatch.setattr(
        "idp.desk.team.mails.deliver", lambda mail, to: sent.append(mail.get_body(("plain",)).get_content() + to)
    )
    payload = {"client": str(asked.id), "news": kind, "by": str(operator.id), "reason": "", "recipient": ""}
    message = OutboxMessage(
        id=uuid.uuid4(), kind=MAIL, payload=payload | {"recipient": str(operator.id)}, created_at=now()
    )
    send = outbox_handlers(services().settings, services().outgoing)[MAIL]
    assert send(message) is Outcome.DONE
    assert sentence in sent[0].replace("\u00a0", " ")
    assert operator.email in sent[0]
    db.session.query(Client).filter_by(id=asked.id).update({"waiting_since": None})
    db.session.commit()
    assert send(message) is (Outcome.DROPPED if kind == "asked" else Outcome.DONE)
