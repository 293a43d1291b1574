"""The fixtures that run `idp` commands on the database of a test."""

from tests.commands.conftest import act, bare, idp  # noqa: F401 - fixtures
