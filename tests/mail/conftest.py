from collections.abc import Callable, Iterator

import pytest
from flask import Flask

from idp.config import Settings
from idp.mail.smtp import Transport
from tests.databases import NOWHERE
from tests.mail.handler import TEMPLATES, settings_for
from tests.outbox.application import running
from tests.services import change_services


@pytest.fixture
def mail_settings() -> Callable[[str], Settings]:
    def make(smtp_url: str) -> Settings:
        return settings_for(smtp_url)

    return make


@pytest.fixture
def template_app() -> Iterator[Flask]:
    with running(NOWHERE, TEMPLATES) as app:
        yield app


@pytest.fixture
def mail_app(database_url: str) -> Iterator[Flask]:
    with running(database_url, TEMPLATES) as app:
        yield app


@pytest.fixture
def use_server(mail_app: Flask, mail_settings: Callable[[str], Settings]) -> Callable[[str], Settings]:
    """Return a function that changes the SMTP server of the application."""

    def use(smtp_url: str) -> Settings:
        settings = mail_settings(smtp_url)
        change_services(mail_app, transport=Transport(settings))
        return settings

    return use
