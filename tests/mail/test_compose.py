"""A mail and its recipient: headers, parts, names, and which texts are an email."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
import time_machine
from flask import Flask
from hypothesis import given, strategies as st

from idp.config import Settings
from idp.mail.compose import compose, plain_words, without_links
from idp.mail.emails import MAX_LENGTH, EmailFault, InvalidEmailError, check_recipient, fold_email, parse_email
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


@pytest.mark.row("M-06")
@each_row(
    ("typed", "stored"),
    [
        ("marie@orange.fr", "marie@orange.fr"),
        ("  marie@orange.fr ", "marie@orange.fr"),
        ("\u00a0marie@orange.fr\u200b", "marie@orange.fr"),
        ("Marie.Leroy@Orange.FR", "Marie.Leroy@orange.fr"),
        ("marie+ecole@exemple.test", "marie+ecole@exemple.test"),
        ("o'neill_4@sous.domaine.exemple.fr", "o'neill_4@sous.domaine.exemple.fr"),
        ("marie@école.fr", "marie@xn--cole-9oa.fr"),
        ("marie@ÉCOLE.fr", "marie@xn--cole-9oa.fr"),
        ("marie@xn--cole-9oa.fr", "marie@xn--cole-9oa.fr"),
        ("marie@оrange.fr", "marie@xn--range-iye.fr"),  # the first letter is Cyrillic
    ],
)
def test_an_address_is_stored_as_typed_with_a_plain_domain(typed: str, stored: str) -> None:
    assert parse_email(typed) == stored
    assert parse_email(stored) == stored
    assert check_recipient(stored) == stored


@pytest.mark.row("M-06")
@each_row(
    ("typed", "reason"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("marie", "incomplete"),
        ("marie@", "incomplete"),
        ("@orange.fr", "incomplete"),
        ("marie@orange", "incomplete"),
        ("marie@localhost", "incomplete"),
        ("marie@orange.", "incomplete"),
        ("hélène@orange.fr", "not_ascii"),
        ("mаrie@orange.fr", "not_ascii"),  # the second letter is Cyrillic
        ("a@b.fr, c@d.fr", "invalid"),
        ("a@b.fr;c@d.fr", "invalid"),
        ("a@b.fr c@d.fr", "invalid"),
        ("a@b@c.fr", "invalid"),
        ("marie@orange.fr.", "invalid"),
        ("marie.@orange.fr", "invalid"),
        ("ma..rie@orange.fr", "invalid"),
        ("marie@orange..fr", "invalid"),
        ("marie@-orange.fr", "invalid"),
        ("marie@[127.0.0.1]", "invalid"),
        ("marie@127.0.0.1", "invalid"),
        ('"x y"@d.fr', "invalid"),
        ('"x"@d.fr', "invalid"),
        ("<a@b.fr>", "invalid"),
        ("Marie <a@b.fr>", "invalid"),
        ("mailto:a@b.fr", "invalid"),
        ("a@b.fr\r\nBcc: x@evil.test", "invalid"),
        ("a@b.fr\n", "invalid"),
        ("a@b.fr\x00", "invalid"),
        ("a\x00@b.fr", "invalid"),
        ("a\u202e@b.fr", "invalid"),
        ("a@b\u200d.fr", "invalid"),
        ("a@b.fr\ud800", "invalid"),
        ("a" * 65 + "@b.fr", "invalid"),
        ("a@" + "b" * 64 + ".fr", "invalid"),
        ("a@" + "b." * 125 + "fr.fr", "too_long"),
        ("é" * 255, "too_long"),
        ("a@" + "é." * 60 + "fr", "invalid"),  # short as typed, too long when encoded
    ],
)
def test_invalid_address_is_refused_with_its_reason(typed: str, reason: str) -> None:
    with pytest.raises(InvalidEmailError) as refused:
        parse_email(typed)
    assert refused.value.reason == EmailFault(reason)
    assert "@" not in str(refused.value)


@pytest.mark.row("M-06")
def test_the_longest_address_is_accepted_and_one_character_more_is_not() -> None:
    longest = "a" * 63 + "@" + ".".join(["b" * 62, "b" * 62, "b" * 61]) + ".fr"
    assert len(longest) == MAX_LENGTH
    assert parse_email(longest) == longest
    with pytest.raises(InvalidEmailError, match="too_long"):
        parse_email(longest.replace("@", "a@"))


@pytest.mark.row("M-06")
@each_row("sign", ["a", "é", " ", "@", "\u0345", "\U0001d504"])
def test_a_huge_text_is_refused_quickly(sign: str) -> None:
    class Unread(str):
        __slots__ = ()

        def __getattribute__(self, name: str) -> Any:
            raise AssertionError(f"looked at: {name}")

        def __iter__(self) -> Any:
            raise AssertionError("read")

    with pytest.raises(InvalidEmailError, match="too_long"):
        parse_email(Unread(sign * 400_000))


@pytest.mark.row("S-01")
@each_row(
    "email",
    ["a@b.test, x@evil.test", "a@b.test\r\nBcc:x", "a@b.test\x00", "<a@b.test>", '"a"@b.test', " a@b.test", "a@B.test"],
)
def test_a_recipient_is_exactly_one_stored_address(email: str) -> None:
    with pytest.raises(InvalidEmailError):
        check_recipient(email)


@pytest.mark.row("M-06")
def test_capital_letters_do_not_make_another_address_for_the_caps() -> None:
    assert fold_email("Marie.LEROY@orange.fr") == fold_email("marie.leroy@orange.fr")
    assert fold_email("marie@orange.fr") != fold_email("marie@free.fr")


@pytest.mark.row("M-06")
@given(st.text(max_size=330) | st.from_regex(r"\A[^@]{0,20}@[^@]{0,40}\Z"))
def test_arbitrary_text_is_a_valid_address_or_is_refused(typed: str) -> None:
    try:
        stored = parse_email(typed)
    except InvalidEmailError:
        return
    assert stored.isascii()
    assert stored.isprintable()
    assert check_recipient(stored) == stored
