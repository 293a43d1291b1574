"""The hook of the wheel's build: it compresses the static files."""

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CustomBuildHook(BuildHookInterface[Any]):
    """Writes `idp/static_compressed`, which is not in the repository."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - the interface
        """Compress the static files, also for an editable installation."""
        sys.path.insert(0, str(Path(self.root)))
        from idp import precompressed  # noqa: PLC0415 - the sources that are built

        precompressed.write()
