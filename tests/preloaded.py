"""What a forked program of `tests.forked` finds imported already."""

import idp.app
import idp.cli
import tests.builders
import tests.databases
from idp.oidc import wire

wire.trust(None)

__all__ = ["idp", "tests"]
