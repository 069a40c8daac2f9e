"""Known weaknesses of the packages that we pin: `python -m tests.deploy.advisories`, a part of `make check`.

In: `constraints.txt`: all that the images hold (also with CUDA) and the tools of development; pip-audit asks the
advisory service of PyPI about each. Out, on stdout: what to raise, what has no fix yet, or that nothing could be asked.
Exit 1 only where there is something to do: a weakness for which a fixed version exists, or a pip-audit that is broken.
A machine without a way to the service passes, and is told so: a change must not wait for somebody else's server.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.version import Version

from tests.support.cache import REPOSITORY

UNREACHABLE = "not checked: the advisory service could not be reached"
_NETWORK = re.compile(r"requests\.exceptions\.|ConnectionError|ServiceError|Could not connect|not redirecting")
_ANSWER_S, _ALL_S = 3, 90
ACCEPTED: dict[str, str] = {}
"""Id of a weakness that does not concern us -> why; it is listed, and fails nothing."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Lines to print, and whether a person must act."""

    lines: tuple[str, ...]
    failed: bool = False


def judge(answer: str, errors: str, accepted: Mapping[str, str] = ACCEPTED) -> Verdict:
    """What pip-audit's JSON means; without one, ``errors`` (its stderr) says whether the network is to blame."""
    try:
        packages = json.loads(answer)["dependencies"]
    except (ValueError, KeyError, TypeError):
        if _NETWORK.search(errors):
            return Verdict((UNREACHABLE,))
        last = (errors.strip().splitlines() or ["it said nothing"])[-1]
        return Verdict((f"pip-audit failed: {last}",), failed=True)
    unknown = [one["name"] for one in packages if "skip_reason" in one]
    if packages and len(unknown) == len(packages):  # a mirror of packages answers, but knows no advisories
        return Verdict((UNREACHABLE,))
    to_raise = [line for one in packages if (line := _to_raise(one, accepted))]
    waiting = [line for one in packages for line in _waiting(one, accepted)]
    left_out = [f"not checked: the advisory service does not know {', '.join(unknown)}"] if unknown else []
    return Verdict((*to_raise, *waiting, *left_out), failed=bool(to_raise))


def _to_raise(package: Mapping[str, Any], accepted: Mapping[str, str]) -> str:
    """One sentence for all that a newer version of it would mend; empty where there is nothing."""
    fixes = {
        one["id"]: fix
        for one in package.get("vulns", ())
        if one["id"] not in accepted and (fix := _next_fix(package["version"], one["fix_versions"]))
    }
    if not fixes:
        return ""
    return f"raise {package['name']} to {max(fixes.values())} in constraints.txt ({', '.join(sorted(fixes))})"


def _waiting(package: Mapping[str, Any], accepted: Mapping[str, str]) -> Iterable[str]:
    for one in package.get("vulns", ()):
        what = f"{package['name']} {package['version']}: {one['id']}"
        if one["id"] in accepted:
            yield f"{what}, accepted: {accepted[one['id']]}"
        elif not _next_fix(package["version"], one["fix_versions"]):
            yield f"{what}, no fixed version yet"


def _next_fix(version: str, fixes: Iterable[str]) -> Version | None:
    """The lowest fixed version above ours: older lines have fixes of their own, to which nobody goes back."""
    return min((fix for fix in map(Version, fixes) if fix > Version(version)), default=None)


def ask(pins: Path, cache: Path, environment: Mapping[str, str] | None = None) -> Verdict:
    """Run pip-audit over a file of pins (`name==version` lines)."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(pins), "--no-deps", "--disable-pip"]
    command += ["--format", "json", "--progress-spinner", "off", "--timeout", str(_ANSWER_S), "--cache-dir", str(cache)]
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            check=False,
            timeout=_ALL_S,
        )
    except subprocess.TimeoutExpired:
        return Verdict((UNREACHABLE,))
    return judge(done.stdout, done.stderr)


def main() -> int:
    verdict = ask(REPOSITORY / "constraints.txt", REPOSITORY / ".cache" / "pip-audit")
    for line in verdict.lines:
        print(line)
    return 1 if verdict.failed else 0


if __name__ == "__main__":
    sys.exit(main())
