"""Print which of the modules `idp.cli` and `fontTools` this process has imported."""

import sys

print([name for name in sys.modules if name in {"idp.cli", "fontTools"}])  # noqa: T201 - the output for the test
