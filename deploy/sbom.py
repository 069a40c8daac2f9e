"""Print a software bill of materials (CycloneDX 1.6, JSON) of the Python packages that this interpreter sees.

In: the environment it runs in. Out: one document on stdout, the same for the same set of packages: it carries neither
a time nor a random serial number, so that an image built twice is the same.
"""

from __future__ import annotations

import json
import re
import sys
from importlib.metadata import Distribution, distributions
from typing import Any


def component(package: Distribution) -> dict[str, Any]:
    """One package, by its name, version, address and licence."""
    name = re.sub(r"[-_.]+", "-", package.metadata["Name"]).lower()
    address = f"pkg:pypi/{name}@{package.version}"
    found = {"type": "library", "bom-ref": address, "name": name, "version": package.version, "purl": address}
    expression = package.metadata.get("License-Expression")
    return {**found, "licenses": [{"expression": expression}]} if expression else found


def bill() -> dict[str, Any]:
    """The whole document, packages in order of their names."""
    parts = {part["bom-ref"]: part for part in map(component, distributions())}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": "plateflow"}},
        "components": [parts[key] for key in sorted(parts)],
    }


def main() -> None:
    json.dump(bill(), sys.stdout, indent=1)


if __name__ == "__main__":
    main()
