"""The list of what this installation consists of, in CycloneDX 1.6: of what constraints.txt names, as it is installed.

`make sbom` lists the dependencies of a release in the same format; this list is about the running environment.
"""

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any

from idp import __version__
from idp.paths import CONSTRAINTS

_NAME = re.compile(r"^([a-z0-9][a-z0-9._-]*)==", re.MULTILINE)


def bill_of_materials() -> dict[str, Any]:
    """Return the list as JSON."""
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "name": "scolarite-services",
                "version": __version__,
                "licenses": [{"license": {"id": "EUPL-1.2"}}],
            }
        },
        "components": list(_components()),
    }


def _components() -> Iterator[dict[str, Any]]:
    for name in _NAME.findall(CONSTRAINTS.read_text(encoding="utf-8")):
        try:
            installed = distribution(name)
        except PackageNotFoundError:  # for another platform or another Python
            continue
        reference = f"pkg:pypi/{name}@{installed.version}"
        component = {"type": "library", "bom-ref": reference, "name": name, "version": installed.version}
        licence = installed.metadata.json.get("license_expression")
        yield {**component, "purl": reference, **({"licenses": [{"expression": licence}]} if licence else {})}
