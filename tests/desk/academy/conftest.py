"""A provider of an académie, and a person who is linked with an account there."""

from collections.abc import Iterator

import pytest

from idp.config import Settings
from idp.db import db
from idp.desk.staff.models import Role, StaffAccount
from tests import databases
from tests.desk.academy import provider as academy
from tests.desk.academy.provider import ACR, CLIENT_ID, CLIENT_SECRET, Provider
from tests.desk.colleagues import Colleagues


@pytest.fixture(scope="module")
def served() -> Iterator[Provider]:
    with academy.serving() as provider:
        yield provider


@pytest.fixture
def provider(served: Provider) -> Provider:
    fresh = Provider(issuer=served.issuer)
    served.__dict__.update(fresh.__dict__)
    return served


@pytest.fixture
def settings(database_url: str, provider: Provider) -> Settings:
    """Settings with the académie's provider; those of development, in which it needs no TLS on this machine."""
    return databases.settings_for(
        database_url,
        env="development",
        desk_oidc_issuer=provider.issuer,
        desk_oidc_client_id=CLIENT_ID,
        desk_oidc_client_secret=CLIENT_SECRET,
        desk_oidc_acr=ACR,
    )


@pytest.fixture
def linked(colleagues: Colleagues, provider: Provider) -> StaffAccount:
    staff = colleagues.person()
    staff.issuer, staff.subject = provider.issuer, provider.subject
    db.session.commit()
    colleagues.grant(staff, Role.HEAD)
    return staff
