"""`IDP_SHARED_MAILBOX=refuse` applies to emails that operators restore; masked emails are distinguishable."""

import pytest
from flask import Flask

from idp.clock import now
from idp.config import Settings
from idp.families.refusals import Code, RefusedError
from idp.mail.emails import masked, masked_apart
from tests.builders import PASSWORD, Build
from tests.closed import former_email
from tests.commands.accounts import reload_account
from tests.commands.conftest import Run
from tests.commands.disputes import contested, notices
from tests.databases import settings_for
from tests.my_account.changes import NEW, OLD
from tests.pages import heading, sign_in
from tests.settlements import CONFIRM, REJECT, settle


@pytest.fixture
def settings(request: pytest.FixtureRequest, database_url: str) -> Settings:
    """Settings with `IDP_SHARED_MAILBOX`."""
    return settings_for(database_url, shared_mailbox=getattr(request, "param", "refuse"))


def test_a_former_email_confirmed_by_another_account_is_not_restored(app: Flask, build: Build) -> None:
    account = contested(app, build)
    build.active(email=OLD.upper())
    with pytest.raises(RefusedError) as refused:
        settle(build.settings, account, CONFIRM)
    assert refused.value.code is Code.KEPT_MAILBOX_OF_OTHER
    assert former_email(account.id) == OLD
    settle(build.settings, account, REJECT)
    assert reload_account(account).email == NEW


@pytest.mark.parametrize("settings", ["allow"], indirect=True)
def test_the_school_is_notified_when_another_parent_uses_the_former_email(app: Flask, build: Build) -> None:
    malo = build.child()
    account = contested(app, build, children=[malo])
    other = build.active(email=OLD, children=[malo], given_name="Paul", family_name="DURAND")
    settle(build.settings, account, CONFIRM)
    assert "shared_mailbox" in {notice[1] for notice in notices(account)}
    assert reload_account(other).email == OLD


def test_enable_refuses_an_account_whose_mailbox_another_account_uses(act: Run, app: Flask, build: Build) -> None:
    account = build.active(disabled_at=now())
    build.active()
    answer = act("account", "enable", account.username)
    assert (answer.code, answer.out, answer.err.count("\n")) == (1, "", 1)
    assert "IDP_SHARED_MAILBOX=refuse" in answer.err
    assert reload_account(account).disabled_at is not None
    assert heading(sign_in(app.test_client(), "/connexion", account.username, PASSWORD)) == "Connexion"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("claire@exemple.fr", "celine@exemple.fr"),
        ("claire@exemple.fr", "claude@exemple.fr"),
        ("anna@exemple.fr", "annana@exemple.fr"),
        ("al@exemple.fr", "ad@exemple.fr"),
        ("a@exemple.fr", "ab@exemple.fr"),
    ],
)
def test_masked_emails_differ_and_are_never_complete(first: str, second: str) -> None:
    assert masked(first) == masked(second)
    shown = masked_apart(first, second)
    assert shown[0] != shown[1]
    assert first not in str(shown)
    assert second not in str(shown)


def test_distinct_masks_are_unchanged() -> None:
    assert masked_apart("claire@exemple.fr", "paul@exemple.fr") == ("c…e@exemple.fr", "p…l@exemple.fr")
    assert masked_apart(None, "paul@exemple.fr") == (None, "p…l@exemple.fr")
