"""Stories: an intruder attacks the account, and the parent keeps it or recovers it."""

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from playwright.sync_api import Page, expect
from requests.adapters import HTTPAdapter

from tests.stories.browser import follow, look
from tests.stories.site import Site
from tests.stories.steps import (
    NEW_PASSWORD,
    OTHER_PASSWORD,
    check_heading,
    close_browser,
    create_account,
    enter_account,
    link_in_mail,
    sign_in,
)

OWN = "noemie.leroy@exemple.fr"
INTRUDER = "intrus@exemple.test"
pytestmark = pytest.mark.browser


class FromIp(HTTPAdapter):
    """Sends requests from a given IP of the loopback network."""

    def __init__(self, ip: str) -> None:
        self._ip = ip
        super().__init__()

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **more: Any) -> None:  # noqa: FBT001, FBT002 - its signature
        super().init_poolmanager(connections, maxsize, block=block, source_address=(self._ip, 0), **more)


def guess(site: Site, ip: str, username: str) -> int:
    """Try a password from an IP; return the status of the response."""
    with requests.Session() as session:
        session.mount("http://", FromIp(ip))
        page = session.get(f"{site.settings.issuer}/connexion", timeout=60)
        [token] = re.findall(r'name="csrf_token"[^>]*value="([^"]+)"', page.text)
        data = {"csrf_token": token, "identifiant": username, "mot-de-passe": f"essai {ip}"}
        return session.post(f"{site.settings.issuer}/connexion", data=data, timeout=60).status_code


def test_parent_signs_in_while_a_hundred_ips_guess_the_password(phone: Page, site: Site) -> None:
    noemie = create_account(phone, site, "n.leroy", OWN)
    enter_account(phone, site, noemie)
    close_browser(phone)
    with ThreadPoolExecutor(8) as crowd:
        ips = [f"127.0.7.{number}" for number in range(1, 101)]
        answers = list(crowd.map(lambda ip: guess(site, ip, noemie), ips))
    assert answers.count(429) >= 80
    assert set(answers) <= {200, 429, 503}
    enter_account(phone, site, noemie)


def test_former_mailbox_stops_an_intruders_pending_email(phone: Page, other_device: Page, site: Site) -> None:
    noemie = create_account(phone, site, "n.leroy", OWN)
    enter_account(other_device, site, noemie)  # the intruder knows the password
    follow(other_device.get_by_role("link", name="Changer mon adresse mail"))
    check_heading(other_device, "Changer mon adresse mail")
    other_device.get_by_label("Mot de passe actuel").fill(NEW_PASSWORD)
    other_device.get_by_label("Nouvelle adresse mail").fill(INTRUDER)
    follow(other_device.get_by_role("button", name="Enregistrer"))
    check_heading(other_device, "Changer mon adresse mail")

    phone.goto(link_in_mail(site, OWN, 2, "Votre adresse mail va changer"))
    check_heading(phone, "Ce n’était pas vous ?")
    follow(phone.get_by_role("button", name="Arrêter le changement"))
    look(phone)
    # the intruder is signed out, and the link and the known password are no longer valid
    other_device.goto(f"{site.settings.issuer}/mon-compte")
    check_heading(other_device, "Connexion")
    sign_in(other_device, noemie, NEW_PASSWORD)
    check_heading(other_device, "Choisissez un nouveau mot de passe")
    other_device.goto(link_in_mail(site, INTRUDER, 1, site.mails(INTRUDER)[0]["subject"]))
    check_heading(other_device, "Ce lien ne marche plus")
    # the parent recovers the account with a mail
    phone.goto(link_in_mail(site, OWN, 4, "Choisissez un nouveau mot de passe"))
    phone.get_by_label("Nouveau mot de passe").fill(OTHER_PASSWORD)
    phone.get_by_label("Confirmez le mot de passe").fill(OTHER_PASSWORD)
    follow(phone.get_by_role("button", name="Enregistrer"))
    check_heading(phone, "Votre mot de passe est changé")
    enter_account(phone, site, noemie, OTHER_PASSWORD)
    expect(phone.get_by_text(OWN)).to_be_visible()


def test_intruders_confirmed_email_cannot_recover_a_disputed_account(
    phone: Page, other_device: Page, site: Site
) -> None:
    noemie = create_account(phone, site, "n.leroy", OWN)
    enter_account(other_device, site, noemie)
    follow(other_device.get_by_role("link", name="Changer mon adresse mail"))
    other_device.get_by_label("Mot de passe actuel").fill(NEW_PASSWORD)
    other_device.get_by_label("Nouvelle adresse mail").fill(INTRUDER)
    follow(other_device.get_by_role("button", name="Enregistrer"))
    check_heading(other_device, "Changer mon adresse mail")
    site.wait_for_mail(OWN, 2)
    other_device.goto(link_in_mail(site, INTRUDER, 1, site.wait_for_mail(INTRUDER)["subject"]))
    follow(other_device.get_by_role("button", name="Confirmer"))
    look(other_device)

    mail = site.wait_for_mail(OWN, 3)
    [link] = set(re.findall(rf"{re.escape(site.settings.issuer)}/\S+", mail["text"]))
    phone.goto(link)
    follow(phone.get_by_role("button", name="Signaler le changement"))
    check_heading(phone, "Le compte est fermé")
    other_device.goto(f"{site.settings.issuer}/mon-compte")
    check_heading(other_device, "Connexion")
    # nobody can recover the account with a mail, neither mailbox: the school decides
    before = {mailbox: len(site.mails(mailbox)) for mailbox in (OWN, INTRUDER)}
    sent, too_early = "Regardez votre messagerie", "Un peu de patience"
    for page, expected in ((other_device, sent), (phone, re.compile(f"{sent}|{too_early}"))):
        page.goto(f"{site.settings.issuer}/mot-de-passe-oublie")
        page.get_by_label("Identifiant", exact=True).fill(noemie)
        follow(page.get_by_role("button", name="Recevoir un lien"))
        check_heading(page, expected)
    phone.wait_for_timeout(3000)
    for mailbox in (OWN, INTRUDER):
        later = site.mails(mailbox)[before[mailbox] :]
        assert not [mail for mail in later if "/mot-de-passe/lien/" in mail["text"]]
