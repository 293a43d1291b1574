"""The mails of the product, with their templates and translations."""

import re
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import Browser

from idp.config import Settings
from idp.mail.compose import compose
from idp.paths import TEMPLATES
from tests.email_confirmation.post import html_of, text_of
from tests.stories.browser import CHROMIUM, look, new_page

_AT = datetime(2026, 11, 24, 19, 43, tzinfo=UTC)
SCHOOLS = [{"name": "Collège des Tilleuls", "phone": "03 53 01 40 40", "by_mail": False}]
CONTEXT: dict[str, dict[str, Any]] = {
    "compte_inactif": {"username": "n.oneill4821", "days": 30},
    "compte_suspendu": {
        "username": "n.oneill4821",
        "at": datetime(2026, 11, 24, 19, 43, tzinfo=UTC),
        "school": "Collège des Tilleuls",
        "phone": "03 20 00 00 00",
        "until": datetime(2026, 11, 30, 23, 0, tzinfo=UTC),
        "is_kept_out": False,
    },
    "acces_ferme": {
        "username": "n.oneill4821",
        "at": _AT,
        "school": "Collège des Tilleuls",
        "phone": "03 20 00 00 00",
        "until": datetime(2026, 11, 30, 23, 0, tzinfo=UTC),
        "by": "school",
    },
    "compte_rouvert": {
        "username": "n.oneill4821",
        "at": _AT,
        "school": "Collège des Tilleuls",
        "phone": "03 20 00 00 00",
    },
    "compte_conteste": {
        "at": _AT,
        "school": "Collège des Tilleuls",
        "phone": "03 20 00 00 00",
    },
    "lien_fini": {
        "at": _AT,
        "school": "Collège des Tilleuls",
        "phone": "03 20 00 00 00",
    },
    "responsable_ajoute": {"school": "Collège des Tilleuls", "phone": "03 20 00 00 00"},
    "lien_retabli": {"at": _AT, "school": "Collège des Tilleuls", "phone": "03 20 00 00 00", "needs_letter": True},
    "courrier_ailleurs": {"at": _AT, "school": "Collège des Tilleuls", "phone": "03 20 00 00 00"},
    "compte_reuni": {"username": "n.oneill4821", "at": _AT, "phone": "03 20 00 00 00"},
    "courrier_retire": {"at": _AT, "school": "Collège des Tilleuls", "phone": "03 20 00 00 00"},
    "courrier_refait": {"username": "n.oneill4821", "at": datetime(2026, 11, 24, 19, 43, tzinfo=UTC)},
    "courrier_ajoute": {"username": "n.oneill4821", "at": datetime(2026, 11, 24, 19, 43, tzinfo=UTC)},
    "homonyme": {
        "why": "namesake",
        "username": "n.oneill4821",
        "at": datetime(2026, 11, 24, 19, 43, tzinfo=UTC),
        "school": "Collège des Tilleuls",
        "phone": "03 53 01 40 40",
    },
    "essais_nombreux": {"username": "n.oneill4821", "at": datetime(2026, 11, 24, 19, 43, tzinfo=UTC)},
    "nouvel_appareil": {
        "username": "n.oneill4821",
        "at": _AT,
        "device": "Téléphone Android, Chrome",
    },
    "appareil_garde": {
        "username": "n.oneill4821",
        "at": _AT,
        "device": "Téléphone Android, Chrome",
        "until": datetime(2026, 12, 24, 19, 43, tzinfo=UTC),
    },
    "appareil_copie": {"username": "n.oneill4821", "at": _AT, "device": "Téléphone Android, Chrome"},
    "confirmation": {
        "hours": 24,
        "schools": "Collège des Tilleuls",
        "ent": "Passerelle",
        "ents": [("Passerelle", "https://ent.test/", "Collège des Tilleuls"), ("Horizon", "https://horizon.test/", "")],
        "schools_number": 1,
        "code": "482913",
    },
    "rappel": {
        "hours": 24,
        "schools": "Collège des Tilleuls",
        "ent": "Passerelle",
        "ents": [("Passerelle", "https://ent.test/", "Collège des Tilleuls"), ("Horizon", "https://horizon.test/", "")],
        "schools_number": 1,
        "code": "482913",
    },
    "nouvelle_adresse": {"hours": 24, "schools": "Collège des Tilleuls", "schools_number": 1, "ent": "Passerelle"},
    "adresse_abandonnee": {"schools": "Collège des Tilleuls", "at": _AT},
    "adresse_change": {
        "hours": 72,
        "schools": SCHOOLS,
        "username": "n.oneill4821",
        "at": _AT,
    },
    "adresse_changee": {
        "hours": 72,
        "schools": SCHOOLS,
        "username": "n.oneill4821",
        "at": datetime(2026, 11, 24, 19, 43, tzinfo=UTC),
    },
    "changement_arrete": {
        "schools": SCHOOLS,
        "username": "n.oneill4821",
        "at": datetime(2026, 11, 24, 19, 43, tzinfo=UTC),
    },
    "adresse_contestee": {
        "schools": SCHOOLS,
        "username": "n.oneill4821",
        "at": datetime(2026, 11, 24, 19, 43, tzinfo=UTC),
    },
    "adresse_signalee": {"schools": SCHOOLS, "username": "n.oneill4821", "at": _AT},
    "adresse_gardee": {"blocked": True, "username": "n.oneill4821", "at": datetime(2026, 11, 24, 19, 43, tzinfo=UTC)},
    "adresse_ecartee": {
        "schools": SCHOOLS,
        "at": datetime(2026, 11, 24, 19, 43, tzinfo=UTC),
    },
    "identifiant": {
        "ent": "Passerelle",
        "accounts": [
            {
                "name": "Mme O'NEILL & <b>FILS</b>",
                "username": "n.oneill4821",
                "schools": "Collège des Tilleuls",
                "is_shut": True,
            }
        ],
    },
    "mot_de_passe": {
        "username": "n.oneill4821",
        "ent": "Passerelle",
        "minutes": 30,
        "blocked": False,
        "breached": False,
    },
    "mot_de_passe_courrier": {"username": "n.oneill4821", "schools": "Collège des Tilleuls", "blocked": False},
    "activation_autre": {"hours": 72, "schools": SCHOOLS},
    "signalements": {
        "school": "Collège des Tilleuls",
        "notices": [{"sentence": "Mme O'NEILL & <b>FILS</b> dit ne pas être représentant légal.", "children": "Malo"}],
        "more": 3,
        "contact": "equipe.scolarite@academie-de-quelque-part.exemple.fr",
    },
    "bureau_invitation": {"is_reset": False, "until": _AT, "places": ["Collège des Tilleuls"]},
    "bureau_acces": {"places": ["Collège des Tilleuls"]},
    "bureau_appareil": {
        "colleague": "",
        "is_head": False,
        "device": "Ordinateur Linux, Firefox",
        "ip": "192.0.2.1",
        "at": _AT,
    },
    "bureau_securite": {"colleague": "", "is_head": False, "credential": "passkey", "ip": "192.0.2.1", "at": _AT},
    "bureau_alerte": {
        "alert": "many_accounts",
        "count": 31,
        "day": "24/11/2026",
        "colleague": "Sylvie Marchand",
        "school": "Collège des Tilleuls",
        "is_head": True,
    },
    "bureau_role": {
        "colleague": "ines@bureau.test",
        "role": "Direction",
        "place": "Collège des Tilleuls",
        "by": "Sylvie Marchand",
        "at": _AT,
    },
    "bureau_contacts": {"place": "Collège des Tilleuls", "by": "", "at": _AT},
    "bureau_fichier": {"colleague": "Sylvie Marchand", "school": "Collège des Tilleuls", "until": _AT},
    "bureau_fichier_refuse": {"school": "Collège des Tilleuls"},
    "bureau_ent": {
        "news": "refused",
        "ent": "Estuaire",
        "operator": "",
        "reason": "Le nom prête à confusion.",
        "moved": [],
    },
    "jamais_active": {"schools": "Collège des Tilleuls"},
    "mot_de_passe_change": {"username": "n.oneill4821", "at": _AT, "passkeys": 2, "removed_passkeys": 0},
    "cle_ajoutee": {"username": "n.oneill4821", "at": _AT, "device": "Téléphone Android, Chrome"},
    "cle_retiree": {"username": "n.oneill4821", "at": _AT, "by": "operator"},
}
"""The additional values of each mail; a test fails for a mail that is not listed."""

WITHOUT_LINK: set[str] = {
    "signalements",
    "bureau_appareil",
    "bureau_securite",
    "bureau_role",
    "bureau_contacts",
    "responsable_ajoute",
    "adresse_abandonnee",
    "compte_inactif",
    "compte_conteste",
    "compte_suspendu",
    "acces_ferme",
    "compte_rouvert",
    "lien_fini",
    "lien_retabli",
    "courrier_refait",
    "changement_arrete",
    "adresse_contestee",
    "adresse_signalee",
    "adresse_gardee",
    "adresse_ecartee",
    "courrier_ajoute",
    "courrier_ailleurs",
    "courrier_retire",
    "compte_reuni",
    "essais_nombreux",
    "homonyme",
    "nouvel_appareil",
    "appareil_copie",
    "appareil_garde",
    "cle_ajoutee",
    "cle_retiree",
    "mot_de_passe_change",
    "mot_de_passe_courrier",
}
"""Mails without a link, so that a copy of them cannot lead people to a forged site."""
LIFETIMES = {
    "confirmation": "24\u00a0heures",
    "rappel": "24\u00a0heures",
    "nouvelle_adresse": "24\u00a0heures",
    "adresse_change": "72 heures",
    "adresse_changee": "72 heures",
    "activation_autre": "72 heures",
    "mot_de_passe": "30 minutes",
}
"""The text about the expiry of the link in each mail."""


NAMES = sorted(path.parent.name for path in TEMPLATES.glob("mail/*/subject.txt"))


def composed(settings: Settings, name: str, language: str = "fr", **context: Any) -> EmailMessage:
    return compose(
        name,
        recipient="noemie@exemple.test",
        context={"person": "Mme O'NEILL & <b>FILS</b>", **CONTEXT[name], **context},
        message_id="7d0f6a3e-4ab2-4b9e-b5a3-0a1f5d4c2b1a",
        settings=settings,
        language=language,
    )


def test_a_notice_names_the_ents_of_the_account(app: Flask, settings: Settings) -> None:
    mail = composed(settings, "essais_nombreux", account_ents="Passerelle, Horizon")
    for part in (text_of(mail), html_of(mail)):
        assert "ENT\xa0: Passerelle, Horizon." in part


def test_a_name_keeps_its_full_stop_in_a_mail_from_right_to_left(app: Flask, settings: Settings) -> None:
    for language, written in (("ar", "\u2068Noémie L.\u2069"), ("en", "Hello Noémie L.,")):
        assert written in text_of(composed(settings, "essais_nombreux", language, person="Noémie L."))


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_no_mail_scrolls_sideways(app: Flask, settings: Settings, browser_process: Browser) -> None:
    link = f"{settings.issuer}/adresse/lien/{'Jx7v2mQ9sT4kW8bN' * 3}"
    with new_page(browser_process) as page:
        for name in NAMES:
            page.set_content(html_of(composed(settings, name, link=link)))
            for width in (180, 360, 1280):
                page.set_viewport_size({"width": width, "height": 740})
                look(page)


@pytest.mark.row("S-02", "S-03")
@pytest.mark.parametrize("name", NAMES)
def test_each_mail_of_the_product(app: Flask, settings: Settings, name: str) -> None:
    link = f"{settings.issuer}/adresse/lien/Jx7v2mQ9sT4kW8bN"
    mail = composed(settings, name, link=link)
    text, html = (part.replace("\r\n", "\n") for part in (text_of(mail), html_of(mail)))
    assert "Mme O'NEILL & <b>FILS</b>" in text, "no HTML entity in the text part"
    assert "Mme O&#39;NEILL &amp; &lt;b&gt;FILS&lt;/b&gt;" in html
    links = [] if name in WITHOUT_LINK else [link]
    assert re.findall(r"https?://\S+", text) == links
    assert all(link in text.splitlines() for link in links), "alone on its line, nothing wrapped around it"
    assert set(re.findall(r"""(?:https?:)?//[^\s"'<]+""", html)) == set(links)
    assert not re.search(r"\[[\[(]", text + html), "no list of the program stands in a sentence"
    assert not re.search(r"<(img|link|script|iframe|object|form)\b|\bsrc=|url\(", html)
    assert "@media (prefers-color-scheme: dark)" in html
    lifetime = LIFETIMES.get(name, "")
    assert lifetime in text.replace("24 heures", "24\u00a0heures")
    assert lifetime in html.replace("24 heures", "24\u00a0heures")
    assert len(str(mail["Subject"])) < 78
    assert max(len(line) for line in mail.as_bytes().split(b"\r\n")) <= 998
