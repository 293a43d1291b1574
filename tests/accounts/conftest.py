"""The `idp` command on the database of a test."""

from tests.commands.conftest import act, bare, idp  # noqa: F401 - fixtures
