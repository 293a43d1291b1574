import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest
import time_machine
from flask import Flask

from idp.config import Settings
from idp.mail.compose import compose, plain_words, without_links
from idp.mail.emails import InvalidEmailError
from idp.paths import TEMPLATES
from tests.rows import each_row

LINK = "http://127.0.0.1:8000/adresse/lien/Jx7v2mQ9sT4kW8bN_" + "x" * 60
SettingsFor = Callable[[str], Settings]


def composed(settings: Settings, person: str = "Mme LEROY", recipient: str = "Noemie@exemple.test") -> EmailMessage:
    return compose(
        "confirmation",
        recipient=recipient,
        context={"person": person, "link": LINK},
        message_id="7d0f6a3e-4ab2-4b9e-b5a3-0a1f5d4c2b1a",
        settings=settings,
    )


def sent(mail: EmailMessage) -> EmailMessage:
    """Return the mail as the recipient parses it."""
    return message_from_bytes(mail.as_bytes(), policy=policy.default)


def part(mail: EmailMessage, kind: str) -> str:
    body = mail.get_body((kind,))
    assert body is not None
    return str(body.get_content()).replace("\r\n", "\n")


@pytest.fixture
def settings(mail_settings: SettingsFor) -> Settings:
    return mail_settings("smtp://127.0.0.1:25")


@pytest.mark.row("S-03")
def test_the_headers_of_an_automatic_mail(template_app: Flask, settings: Settings) -> None:
    with time_machine.travel(datetime(2026, 11, 24, 19, 42, tzinfo=UTC), tick=False):
        mail = sent(composed(settings))
    assert {name: str(value) for name, value in mail.items() if not name.startswith(("Content-Type", "MIME"))} == {
        "From": "Scolarité Services <ne-pas-repondre@academie.test>",
        "To": "Noemie@exemple.test",
        "Subject": "Activez votre compte, Mme LEROY",
        "Date": "Tue, 24 Nov 2026 19:42:00 +0000",
        "Message-ID": "<7d0f6a3e-4ab2-4b9e-b5a3-0a1f5d4c2b1a@academie.test>",
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "All",
        "Content-Language": "fr",
    }


@pytest.mark.row("S-03")
def test_text_and_html_say_the_same_and_the_link_is_whole(template_app: Flask, settings: Settings) -> None:
    mail = composed(settings)
    raw = mail.as_bytes()
    assert raw.isascii()
    assert max(len(line) for line in raw.split(b"\r\n")) <= 998
    assert b"\n" not in raw.replace(b"\r\n", b"")
    read = sent(mail)
    assert read.get_content_type() == "multipart/alternative"
    assert [each.get_content_type() for each in read.iter_parts()] == ["text/plain", "text/html"]
    assert {each.get_content_charset() for each in read.iter_parts()} == {"utf-8"}
    assert LINK in part(read, "plain").splitlines()
    assert f"href='{LINK}'" in part(read, "html")


@pytest.mark.row("S-01")
@pytest.mark.parametrize("recipient", ["a@b.test, x@evil.test", "a@b.test\r\nBcc:x", "a@b.test\x00", "<a@b.test>", '"'])
def test_invalid_recipient_is_refused(template_app: Flask, settings: Settings, recipient: str) -> None:
    with pytest.raises(InvalidEmailError):
        composed(settings, recipient=recipient)


@pytest.mark.row("S-01")
def test_the_control_python_itself_makes_two_recipients() -> None:
    mail = EmailMessage()
    mail["To"] = "a@b.test, x@evil.test"
    assert len(mail["To"].addresses) == 2, "if this fails, Python has changed and the validator is only a second wall"


@pytest.mark.row("S-02")
@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("LEROY\r\nBcc: x@evil.test", "LEROY Bcc: x@evil.test"),
        ("=?utf-8?q?LEROY=0D=0ABcc:_x?=", "=?utf-8?q?LEROY=0D=0ABcc:_x?="),
        ("\u202eYOREL\u2066", "YOREL"),
        ("Go to http://evil now", "Go to evil now"),
        ("Go to HTTPS:/evil", "Go to evil"),
        ("voir www.evil.test ici", "voir evil. test ici"),
        ("voir evil.test", "voir evil. test"),
        ("Lisez evil.test/@a", "Lisez evil. test / @a"),
        ("Lisez evil.test#@a.test", "Lisez evil. test#@a. test"),
        ("Lisez evil.test@", "Lisez evil. test@"),
        ("evil.test/x", "evil. test / x"),
        ("Classe 4/5 de a.b+c@ecole.test", "Classe 4/5 de a.b+c@ecole.test"),
        ("Noémie\x00\x1b[31m", "Noémie[31m"),
        ("J.-P. O’NEILL", "J.-P. O’NEILL"),
        ("n.leroy4821", "n.leroy4821"),
        ("ليلى بن علي", "ليلى بن علي"),
        ("", ""),
    ],
)
def test_a_name_is_words_on_one_line(template_app: Flask, settings: Settings, name: str, shown: str) -> None:
    assert plain_words(name) == shown
    mail = sent(composed(settings, person=name))
    assert f"Bonjour {shown},\n" in part(mail, "plain")
    assert str(mail["Subject"]) == f"Activez votre compte, {shown}".replace("=?", "= ?").strip()
    assert "Bcc" not in mail
    assert len(mail["To"].addresses) == 1
    assert re.findall(r"https?:\S+", part(mail, "plain")) == [LINK]


@pytest.mark.row("S-02")
def test_a_long_name_is_truncated() -> None:
    assert len(plain_words("Zoé " * 10_000)) == 200


@pytest.mark.row("S-02")
def test_markup_in_a_name_is_text(template_app: Flask, settings: Settings) -> None:
    mail = sent(composed(settings, person="<script>alert(1)</script> & Cie"))
    assert "<script>" not in part(mail, "html")
    assert "&lt;script&gt;" in part(mail, "html")
    assert "Bonjour <script>alert(1)</script> & Cie," in part(mail, "plain")


@pytest.mark.row("S-02")
def test_links_of_other_sites_are_removed() -> None:
    own = "https://connexion.exemple.fr/"
    context = {"link": own + "lien/x", "bad": own + "lien/x http://evil.test", "rows": [("voir http://evil", 3, None)]}
    assert without_links(context, own) == {
        "link": own + "lien/x",
        "bad": "connexion. exemple. fr / lien/x evil. test",
        "rows": [["voir evil", 3, None]],
    }
    known = "https://ent.test/bye"
    shown = without_links([known, f"Allez : {known}", f"{known}2"], own, {known})
    assert shown == [known, "Allez : ent. test / bye", "ent. test / bye2"], "the whole text alone"
    assert without_links("https://connexion.exemple.fr.evil.test/", own) == "connexion. exemple. fr. evil. test /"
    assert without_links({"until": datetime(2026, 11, 24, tzinfo=UTC), "life": timedelta(hours=1)}, own)
    with pytest.raises(TypeError):
        without_links({"account": object()}, own)


@pytest.mark.parametrize("message_id", ["", "a b", "<x@y>", "a\r\nBcc:x", "x" * 65])
def test_a_message_id_stays_one_word(template_app: Flask, settings: Settings, message_id: str) -> None:
    with pytest.raises(ValueError, match="Message-ID"):
        compose(
            "confirmation",
            recipient="a@b.test",
            context={"person": "", "link": ""},
            message_id=message_id,
            settings=settings,
        )


@pytest.mark.row("S-03")
@each_row("template", sorted(TEMPLATES.glob("mail/**/*.html")))
def test_no_template_loads_anything_from_elsewhere(template: Path) -> None:
    source = template.read_text()
    assert not re.search(r"<(img|link|script|iframe|object|form)\b|\bsrc=|url\(|@import|https?://", source)
