"""Builds helm and the checker of compose files before the first test, so that no test's time limit pays for it."""

from __future__ import annotations

import pytest

from tests.support import compose, helm


def pytest_collection_finish(session: pytest.Session) -> None:
    if session.config.option.collectonly:
        return
    files = {item.path.name for item in session.items}
    try:
        if files & {"test_helm.py", "test_install.py", "test_cluster.py"}:
            helm.binary()
            helm.definitions()
        if files & {"test_compose.py", "test_install.py"}:
            compose.checker()
    except Exception as error:
        pytest.exit(f"the tools of the deployment tests could not be built (needs the network once): {error}", 1)
