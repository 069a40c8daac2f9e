"""What `make check` says about known weaknesses of our packages, on answers of pip-audit that are made up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.advisories import UNREACHABLE, Verdict, ask, judge

CLEAN: dict[str, Any] = {"name": "clean", "version": "1.0", "vulns": []}


def weak(*found: tuple[str, list[str]], name: str = "soft", version: str = "2.4.0") -> dict[str, Any]:
    vulns = [{"id": id_, "fix_versions": fixes, "aliases": [], "description": "made up"} for id_, fixes in found]
    return {"name": name, "version": version, "vulns": vulns}


def judged(*packages: dict[str, Any], accepted: dict[str, str] | None = None) -> Verdict:
    return judge(json.dumps({"dependencies": packages, "fixes": []}), "", accepted or {})


def test_packages_without_a_known_weakness_say_nothing() -> None:
    assert judged(CLEAN) == Verdict(())


def test_a_weakness_that_a_newer_version_mends_fails_and_says_what_to_raise() -> None:
    assert judged(CLEAN, weak(("PYSEC-1", ["2.4.1", "3.0"]))) == Verdict(
        ("raise soft to 2.4.1 in constraints.txt (PYSEC-1)",), failed=True
    )


def test_several_weaknesses_of_a_package_are_one_sentence_with_the_version_that_mends_all() -> None:
    verdict = judged(weak(("PYSEC-2", ["2.10.0"]), ("PYSEC-1", ["2.9.0"])))
    assert verdict == Verdict(("raise soft to 2.10.0 in constraints.txt (PYSEC-1, PYSEC-2)",), failed=True)


@pytest.mark.parametrize("fixes", [[], ["1.9.9"]], ids=["none", "of an older line"])
def test_a_weakness_without_a_fix_above_our_version_is_listed_and_passes(fixes: list[str]) -> None:
    assert judged(weak(("PYSEC-3", fixes))) == Verdict(("soft 2.4.0: PYSEC-3, no fixed version yet",))


def test_an_accepted_weakness_is_listed_with_its_reason_and_passes() -> None:
    verdict = judged(weak(("PYSEC-4", ["3.0"])), accepted={"PYSEC-4": "only on Windows"})
    assert verdict == Verdict(("soft 2.4.0: PYSEC-4, accepted: only on Windows",))


def test_a_package_that_the_service_does_not_know_is_named() -> None:
    verdict = judged(CLEAN, {"name": "private", "skip_reason": "Dependency not found on PyPI"})
    assert verdict == Verdict(("not checked: the advisory service does not know private",))


def test_a_mirror_that_knows_no_advisories_counts_as_unreachable_not_as_clean() -> None:
    assert judged({"name": "one", "skip_reason": "Dependency not found on PyPI"}) == Verdict((UNREACHABLE,))


@pytest.mark.parametrize(
    "errors",
    [
        "requests.exceptions.ProxyError: HTTPSConnectionPool(host='advisories.example', port=443)",
        "requests.exceptions.ReadTimeout: read timed out",
        "ERROR:pip_audit._cli:Could not connect to PyPI's vulnerability feed",
        "pip_audit._service.interface.ServiceError",
    ],
)
def test_without_an_answer_and_with_the_network_to_blame_it_was_not_checked(errors: str) -> None:
    assert judge("", errors) == Verdict((UNREACHABLE,))


@pytest.mark.parametrize("answer", ["", "[]", '{"fixes": []}', "No module named pip_audit"])
def test_a_pip_audit_that_is_broken_fails_with_its_last_line(answer: str) -> None:
    assert judge(answer, "Traceback\nNo module named pip_audit\n") == Verdict(
        ("pip-audit failed: No module named pip_audit",), failed=True
    )


def test_the_real_pip_audit_without_a_way_out_was_not_checked(tmp_path: Path) -> None:
    (tmp_path / "pins.txt").write_text("numpy==2.4.6\n")
    nowhere = dict.fromkeys(("HTTPS_PROXY", "https_proxy"), "http://127.0.0.1:9") | {"NO_PROXY": "", "no_proxy": ""}
    assert ask(tmp_path / "pins.txt", tmp_path / "cache", nowhere) == Verdict((UNREACHABLE,))


def test_the_real_pip_audit_refuses_what_is_no_pin_and_is_not_taken_for_unreachable(tmp_path: Path) -> None:
    (tmp_path / "pins.txt").write_text("numpy>=2\n")
    verdict = ask(tmp_path / "pins.txt", tmp_path / "cache")
    assert verdict.failed and "pip-audit failed" in verdict.lines[0]
