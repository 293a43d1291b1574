"""Steps of a parent in the browser, shared by the stories."""

import re

from playwright.sync_api import Page, expect

from tests.stories.browser import follow, look
from tests.stories.site import Site

NEW_PASSWORD = "tasse vélo nuage citron"
OTHER_PASSWORD = "girafe lampe orage bleu"
VALIDATED = "Votre compte a été validé. Vous pouvez maintenant accéder à vos services en ligne."


def open_sign_in(page: Page, site: Site, ent: int = 0) -> None:
    page.goto(site.ents[ent].url)
    look(page)
    follow(page.get_by_role("link", name="Se connecter"))


def choose_parent(page: Page) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text("Sélectionnez votre profil")
    look(page)
    follow(page.get_by_role("button", name="Parent", exact=True))


def sign_in(page: Page, username: str, password: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text("Connexion")
    look(page)
    page.get_by_label("Identifiant", exact=True).fill(username)
    page.get_by_label("Mot de passe", exact=True).fill(password)
    follow(page.get_by_role("button", name="Se connecter"))


def activate(page: Page, email: str, password: str = NEW_PASSWORD) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text("Activez votre compte")
    look(page)
    page.get_by_label("Nouveau mot de passe").fill(password)
    page.get_by_label("Confirmez le mot de passe").fill(password)
    page.get_by_label("Adresse mail").fill(email)
    follow(page.get_by_role("button", name="Valider"))
    expect(page.get_by_role("heading", level=1)).to_have_text("Consultez votre messagerie")


def link_in_mail(site: Site, email: str, count: int = 1, subject: str = "Activez votre compte") -> str:
    mail = site.wait_for_mail(email, count)
    assert mail["subject"] == subject
    [link] = set(re.findall(rf"{re.escape(site.settings.issuer)}/\S+", mail["text"]))
    assert link in mail["html"]
    return str(link)


def confirm(page: Page, link: str) -> None:
    page.goto(link)
    expect(page.get_by_role("heading", level=1)).to_have_text("Confirmez votre adresse mail")
    look(page)
    follow(page.get_by_role("button", name="Confirmer"))
    expect(page.get_by_role("heading", level=1)).to_have_text("Confirmation de votre adresse mail")
    expect(page.get_by_text(VALIDATED)).to_be_visible()
    look(page)


def accept_charter(page: Page) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text("Charte ENT")
    look(page)
    page.get_by_label("J’ai lu et j’accepte la charte").check()
    follow(page.get_by_role("button", name="Accepter"))


def give_email(page: Page, expected: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text("Notifications")
    look(page)
    expect(page.get_by_label("Adresse mail")).to_have_value(expected)
    follow(page.get_by_role("button", name="Enregistrer"))


def check_heading(page: Page, expected: str | re.Pattern[str]) -> None:
    """Check the heading and the page."""
    expect(page.get_by_role("heading", level=1)).to_have_text(expected)
    look(page)


def create_account(page: Page, site: Site, username: str, email: str, password: str = NEW_PASSWORD) -> str:
    """Activate the account of the letter whose username starts with `username`; return the full username."""
    before = len(site.mails(email))
    letter = site.letter(username)
    page.goto(f"{site.settings.issuer}/connexion")
    sign_in(page, letter.username, letter.provisional_password)
    activate(page, email, password)
    confirm(page, link_in_mail(site, email, before + 1))
    return letter.username


def enter_account(page: Page, site: Site, username: str, password: str = NEW_PASSWORD) -> None:
    """Sign in with a username, or its beginning, and check that « Gérer mon compte » is shown."""
    page.goto(f"{site.settings.issuer}/connexion")
    sign_in(page, site.letter(username).username, password)
    check_heading(page, "Gérer mon compte")


def close_browser(page: Page) -> None:
    """Delete session cookies and keep persistent ones, so that the device stays known."""
    lasting = [cookie for cookie in page.context.cookies() if cookie.get("expires", -1) != -1]
    page.context.clear_cookies()
    page.context.add_cookies(lasting)  # type: ignore[arg-type]


def confirm_new_email(page: Page, link: str) -> None:
    """Open the link of a change of email, and confirm it."""
    page.goto(link)
    check_heading(page, "Confirmez votre adresse mail")
    follow(page.get_by_role("button", name="Confirmer"))
    check_heading(page, "Confirmation de votre adresse mail")
