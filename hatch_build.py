"""The hook of the build: it writes what is made of the sources, and is not in the repository."""

import sys
from pathlib import Path
from typing import Any

from babel.messages.frontend import CommandLineInterface
from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class WriteBuiltFiles(BuildHookInterface[Any]):
    """Compiles the catalogues of texts and compresses the static files, also for an editable installation."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - the interface of Hatchling
        """Write the files, before those of the wheel are listed."""
        folder = Path(self.root, "idp", "translations")
        CommandLineInterface().run(["pybabel", "--quiet", "compile", "--directory", str(folder)])
        sys.path.insert(0, str(Path(self.root)))
        from idp import precompressed  # noqa: PLC0415 - the sources that are built

        precompressed.write()
