"""The command that writes docs/reference/ from the code."""

from pathlib import Path

import click
import pytest

from idp.audit.catalogue import EVENTS
from idp.cli import cli
from idp.config import Settings
from idp.paths import CHECKOUT
from tests import reference


def test_every_setting_and_command_has_its_place() -> None:
    settings, commands = reference.settings_page(), reference.commands_page()
    assert [name for name in Settings.model_fields if f"| `IDP_{name.upper()}` |" not in settings] == []
    assert "| `IDP_CODE_LIFETIME` | authorization code | whole number, ≥ 10, ≤ 600<br>default: `60` |" in settings
    groups = [name for name, part in cli.commands.items() if isinstance(part, click.Group)]
    assert groups
    assert [name for name in cli.commands if f"\n## idp {name}\n" not in commands] == []
    assert "\n## idp client accept\n" in commands, "a command that another module adds to a group"


def test_a_field_of_an_event_that_nothing_explains_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    events = reference.events_page()
    assert "\n| `account.read` | refused | An operator " in events, "a second result of a kind"
    monkeypatch.delitem(reference.CONTENTS, "username_digest")
    with pytest.raises(ValueError, match="SignInFailed does not explain `username_digest`"):
        reference.events_page()


def test_every_module_of_events_is_in_the_catalogue() -> None:
    modules = {f"idp.audit.{path.stem}" for path in CHECKOUT.glob("idp/audit/*events.py")}
    assert {event.__module__ for event in EVENTS} == modules


def test_every_setting_has_a_description() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_a_page_that_is_not_current_is_refused_and_left_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "reference").mkdir()
    assert reference.main(["--check"], folder=tmp_path) == 1
    assert reference.main([], folder=tmp_path) == 0
    assert reference.main(["--check"], folder=tmp_path) == 0
    changed = tmp_path / "reference" / "settings.md"
    changed.write_text("old", encoding="utf-8")
    capsys.readouterr()
    assert reference.main(["--check"], folder=tmp_path) == 1
    assert 'run "make reference"' in capsys.readouterr().err
    assert changed.read_text(encoding="utf-8") == "old"
