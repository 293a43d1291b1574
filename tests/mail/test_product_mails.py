"""The mails of the product itself, with its own templates and translations."""

import re

import pytest
from flask import Flask

from idp.config import Settings
from idp.mail.compose import compose
from idp.paths import TEMPLATES

CONTEXT = {"confirmation": {"hours": 24}}
"""What each mail needs beside the person and the link; a new mail that is not listed here fails below."""


@pytest.mark.parametrize("name", sorted(path.parent.name for path in TEMPLATES.glob("mail/*/subject.txt")))
def test_s02_s03_each_mail_of_the_product(app: Flask, settings: Settings, name: str) -> None:
    link = f"{settings.issuer}/adresse/lien/Jx7v2mQ9sT4kW8bN"
    mail = compose(
        name,
        recipient="noemie@exemple.test",
        context={"person": "Mme O'NEILL & <b>FILS</b>", "link": link, **CONTEXT[name]},
        message_id="7d0f6a3e-4ab2-4b9e-b5a3-0a1f5d4c2b1a",
        settings=settings,
    )
    text, html = (
        body.get_content().replace("\r\n", "\n") for kind in ("plain", "html") if (body := mail.get_body((kind,)))
    )
    assert "Mme O'NEILL & <b>FILS</b>" in text, "no HTML entity in the text part"
    assert "Mme O&#39;NEILL &amp; &lt;b&gt;FILS&lt;/b&gt;" in html
    assert re.findall(r"https?://\S+", text) == [link]
    assert link in text.splitlines(), "alone on its line, nothing wrapped around it"
    assert set(re.findall(r"""(?:https?:)?//[^\s"'<]+""", html)) == {link}
    assert not re.search(r"<(img|link|script|iframe|object|form)\b|\bsrc=|url\(", html)
    assert "24\u00a0heures" in text or "24 heures" in text
    assert "24\u00a0heures" in html or "24 heures" in html
    assert len(str(mail["Subject"])) < 78
    assert max(len(line) for line in mail.as_bytes().split(b"\r\n")) <= 998
