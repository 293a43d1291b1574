"""Story: from the school's letter to the private page of the ENT, in a real browser, without mocks."""

from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.stories.browser import follow, look
from tests.stories.site import Site
from tests.stories.steps import (
    NEW_PASSWORD,
    accept_charter,
    activate,
    choose_parent,
    confirm,
    give_email,
    link_in_mail,
    open_sign_in,
    sign_in,
)

ADDRESS = "noemie.leroy@exemple.fr"
pytestmark = pytest.mark.browser


@pytest.mark.both_databases
def test_parent_goes_from_the_letter_to_the_ent(phone: Page, site: Site) -> None:
    letter = site.letter("n.leroy")
    open_sign_in(phone, site)
    assert urlsplit(phone.url).netloc == urlsplit(site.settings.issuer).netloc
    choose_parent(phone)
    # upper case, spaces, no hyphens: the letter says that these do not matter
    sign_in(phone, f"  {letter.username.upper()} ", letter.provisional_password.lower().replace("-", " "))
    expect(phone.get_by_text("Mme Noémie LEROY-VANDEPUTTE")).to_be_visible()
    expect(phone.get_by_text("Malo")).to_be_visible()
    activate(phone, ADDRESS)
    look(phone)
    expect(phone.get_by_text(ADDRESS)).to_be_visible()
    confirm(phone, link_in_mail(site, ADDRESS))
    follow(phone.get_by_role("link", name="Accéder à l’ENT"))  # the ENT starts the sign-in again
    sign_in(phone, letter.username, NEW_PASSWORD)  # the profile is remembered
    accept_charter(phone)
    give_email(phone, ADDRESS)
    expect(phone.get_by_role("heading", level=1)).to_have_text("Bienvenue Noémie LEROY-VANDEPUTTE")
    look(phone)
    for claim in ("sub", "charter_accepted", "FrEduVecteur", "email_verified"):
        expect(phone.get_by_role("rowheader", name=claim, exact=True)).to_be_visible()
    expect(phone.get_by_text("2|LEROY-VANDEPUTTE|Noémie|")).to_be_visible()

    follow(phone.get_by_role("link", name="Gérer mon compte"))
    expect(phone.get_by_role("heading", level=1)).to_have_text("Gérer mon compte")
    look(phone)
    phone.go_back()
    follow(phone.get_by_role("button", name="Se déconnecter"))
    expect(phone.get_by_role("heading", level=1)).to_have_text(site.ents[0].name)
    open_sign_in(phone, site)
    expect(phone.get_by_role("heading", level=1)).to_have_text("Connexion")


def test_link_is_opened_on_another_device(phone: Page, other_device: Page, site: Site) -> None:
    letter = site.letter("k.leroy")
    open_sign_in(phone, site)
    choose_parent(phone)
    sign_in(phone, letter.username, letter.provisional_password)
    activate(phone, "karim.leroy@exemple.fr")
    confirm(other_device, link_in_mail(site, "karim.leroy@exemple.fr"))
    # the link alone does not sign in
    other_device.goto(f"{site.settings.issuer}/mon-compte")
    expect(other_device.get_by_role("heading", level=1)).to_have_text("Connexion")
    # the waiting page on the phone shows the confirmation
    phone.reload()
    expect(phone.get_by_role("heading", level=1)).to_have_text("Confirmation de votre adresse mail")


def test_second_ent_asks_for_its_charter_but_not_for_the_password(phone: Page, site: Site) -> None:
    letter = site.letter("s.haddad")
    open_sign_in(phone, site)
    choose_parent(phone)
    sign_in(phone, letter.username, letter.provisional_password)
    activate(phone, "samia@exemple.fr")
    confirm(phone, link_in_mail(site, "samia@exemple.fr"))
    open_sign_in(phone, site)
    sign_in(phone, letter.username, NEW_PASSWORD)
    accept_charter(phone)
    give_email(phone, "samia@exemple.fr")
    expect(phone.get_by_text(site.ents[0].uais[0]).first).to_be_visible()

    open_sign_in(phone, site, ent=1)
    accept_charter(phone)
    give_email(phone, "samia@exemple.fr")
    expect(phone.get_by_role("heading", level=1)).to_contain_text("Bienvenue")
    # each ENT sees only the child in its school
    expect(phone.get_by_text(site.ents[1].uais[0]).first).to_be_visible()
    expect(phone.get_by_text(site.ents[0].uais[0])).to_have_count(0)


def test_reported_letter_is_no_longer_valid(phone: Page, site: Site) -> None:
    letter = site.letter("j.marchand")
    open_sign_in(phone, site)
    choose_parent(phone)
    sign_in(phone, letter.username, letter.provisional_password)
    follow(phone.get_by_role("link", name="Je ne suis pas le représentant légal de cet élève"))
    look(phone)
    follow(phone.get_by_role("button", name="Confirmer le signalement"))
    expect(phone.get_by_role("heading", level=1)).to_have_text("Merci, c’est noté")
    look(phone)
    open_sign_in(phone, site)
    sign_in(phone, letter.username, letter.provisional_password)
    expect(phone.get_by_text("La connexion n’a pas abouti")).to_be_visible()
    look(phone)


def test_mail_arrives_once_after_worker_and_mail_server_fail(phone: Page, site: Site) -> None:
    letter = site.letter("c.blanc")
    site.stop("worker", "catcher", kill=True)
    open_sign_in(phone, site)
    choose_parent(phone)
    sign_in(phone, letter.username, letter.provisional_password)
    activate(phone, "claire@exemple.fr")
    site.start("worker")  # the mail server is still stopped: the mail is neither sent nor lost
    # A worker that is killed while it sends would hold the lease on the mail for five minutes.
    site.wait_for_log("worker", '"kind": "confirm_email"')
    site.stop("worker", kill=True)
    site.start("catcher", "worker")
    confirm(phone, link_in_mail(site, "claire@exemple.fr"))
    assert len(site.mails("claire@exemple.fr")) == 1


def test_ent_sends_pkce_state_and_nonce(phone: Page, site: Site) -> None:
    requests: list[str] = []
    phone.on("request", lambda request: requests.append(request.url))
    open_sign_in(phone, site)
    [asked] = [url for url in requests if urlsplit(url).path == "/authorize"]
    sent = parse_qs(urlsplit(asked).query)
    assert sent["response_type"] == ["code"]
    assert sent["code_challenge_method"] == ["S256"]
    assert len(sent["code_challenge"][0]) == 43
    assert sent["state"][0]
    assert sent["nonce"][0]
