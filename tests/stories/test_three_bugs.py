"""Histoire : les trois pires bogues de l'année 2026, joués contre le service qui tourne."""

import pytest

from demo.processes import WEB_OFFSET
from tests.stories.site import Site
from tests.stories.three_bugs import OURS, Attacker, succeeded


def _demo(site: Site) -> dict[str, object]:
    letters = [{"username": letter.username, "provisional_password": letter.shown} for letter in site.letters]
    mailbox = f"http://127.0.0.1:{site.port + WEB_OFFSET}/mails.json"
    return {"issuer": site.settings.issuer, "mailbox": mailbox, "letters": letters}


@pytest.mark.row("G-02", "V-02", "E-03")
def test_aucun_des_trois_ne_reussit(site: Site) -> None:
    demo = _demo(site)
    assert list(succeeded(demo)) == []
    # l'attaquant savait s'y prendre : par la bonne porte, le compte de la victime s'ouvre
    victim = site.letters[0].username
    assert Attacker(demo).enters(victim, OURS)
