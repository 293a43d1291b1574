"""Compiles the catalogues of texts when a wheel is built, or the sources are installed."""

from pathlib import Path
from typing import Any

from babel.messages.frontend import CommandLineInterface
from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompileCatalogues(BuildHookInterface):  # type: ignore[type-arg,misc]
    """Writes the .mo files, which are not in the repository."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - the interface of Hatchling
        """Compile all catalogues, before the files of the wheel are listed."""
        folder = Path(self.root, "idp", "translations")
        CommandLineInterface().run(["pybabel", "--quiet", "compile", "--directory", str(folder)])
