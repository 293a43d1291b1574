"""Story: three known vulnerabilities of 2026, tried on the running service."""

import pytest

from demo.processes import WEB_OFFSET
from tests.stories.site import Site
from tests.stories.three_bugs import OURS, Attacker, succeeded


def _demo(site: Site) -> dict[str, object]:
    letters = [{"username": letter.username, "provisional_password": letter.shown} for letter in site.letters]
    mailbox = f"http://127.0.0.1:{site.port + WEB_OFFSET}/mails.json"
    return {"issuer": site.settings.issuer, "mailbox": mailbox, "letters": letters}


@pytest.mark.row("G-02", "V-02", "E-03")
def test_none_of_the_three_attacks_succeeds(site: Site) -> None:
    demo = _demo(site)
    assert list(succeeded(demo)) == []
    # the attacks are well-formed: with the right password the victim's account opens
    victim = site.letters[0].username
    assert Attacker(demo).enters(victim, OURS)
