"""Story: signing out of one ENT signs out of all ENTs, on this device only."""

import time

import pytest
from playwright.sync_api import Page, expect

from tests.stories.browser import follow
from tests.stories.site import Site
from tests.stories.steps import (
    NEW_PASSWORD,
    accept_charter,
    check_heading,
    choose_parent,
    create_account,
    give_email,
    open_sign_in,
    sign_in,
)

ADDRESS = "samia.haddad@exemple.fr"
INSIDE = "/bienvenue"
PATIENCE = 60.0
pytestmark = pytest.mark.browser


def check_signed_out(page: Page, site: Site, ent: int) -> None:
    """Wait until the ENT's session has ended by the logout token."""
    until = time.monotonic() + PATIENCE
    while True:
        page.goto(f"{site.ents[ent].url}{INSIDE}")
        if not page.url.startswith(site.ents[ent].url):
            return check_heading(page, "Connexion")
        assert time.monotonic() < until, f"{site.log('worker')}\n{site.log(site.ents[ent].client_id)}"
        time.sleep(0.2)


def test_sign_out_of_one_ent_ends_the_session_of_the_other(phone: Page, other_device: Page, site: Site) -> None:
    samia = create_account(phone, site, "s.haddad", ADDRESS)
    open_sign_in(other_device, site)
    choose_parent(other_device)
    sign_in(other_device, samia, NEW_PASSWORD)
    accept_charter(other_device)
    give_email(other_device, ADDRESS)
    open_sign_in(phone, site, ent=0)
    choose_parent(phone)
    sign_in(phone, samia, NEW_PASSWORD)
    open_sign_in(phone, site, ent=1)
    accept_charter(phone)
    give_email(phone, ADDRESS)
    for ent in (0, 1):
        phone.goto(f"{site.ents[ent].url}{INSIDE}")
        expect(phone.get_by_role("heading", level=1)).to_contain_text("Bienvenue")

    follow(phone.get_by_role("button", name="Se déconnecter"))  # of the second ENT
    expect(phone.get_by_role("heading", level=1)).to_have_text(site.ents[1].name)
    check_signed_out(phone, site, ent=0)

    other_device.goto(f"{site.ents[0].url}{INSIDE}")
    expect(other_device.get_by_role("heading", level=1)).to_contain_text("Bienvenue")
