"""A service answers for itself over HTTP."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import httpx
import pytest

from services.runtime.errors import SettingsError
from services.runtime.health import Health, Page, serve


class Clock:
    """A clock that stands still until told otherwise."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health(stalled_after_s=30.0, clock=clock)


@pytest.fixture
def page(health: Health) -> Iterator[Page]:
    page = serve(health, "127.0.0.1", 0)
    yield page
    page.close()


def get(page: Page, path: str) -> httpx.Response:
    return httpx.get(f"http://127.0.0.1:{page.port}{path}", trust_env=False)


def test_a_service_that_was_never_checked_is_not_ready(page: Page) -> None:
    answer = get(page, "/readyz")

    assert (answer.status_code, answer.json()) == (503, {"service": "starting"})


def test_a_service_is_ready_when_every_check_passes(health: Health, page: Page) -> None:
    health.check("kafka", True)
    health.check("model", True)
    answer = get(page, "/readyz")

    assert (answer.status_code, answer.json()) == (200, {"kafka": "ok", "model": "ok"})


def test_one_failed_check_makes_it_unready_and_says_why(health: Health, page: Page) -> None:
    health.check("kafka", True)
    health.check("vault", False, "Vault refuses the keys in PLATEFLOW_VAULT_ACCESS_KEY")
    answer = get(page, "/readyz")

    assert answer.status_code == 503
    assert answer.json() == {"kafka": "ok", "vault": "Vault refuses the keys in PLATEFLOW_VAULT_ACCESS_KEY"}
    health.check("vault", True)
    assert get(page, "/readyz").status_code == 200


def test_a_failed_check_without_a_reason_is_still_a_failed_check(health: Health, page: Page) -> None:
    health.check("kafka", False)

    assert get(page, "/readyz").json() == {"kafka": "failed"}


def test_a_reason_never_shows_a_secret(health: Health, page: Page) -> None:
    health.check("store", False, "GET https://s.example/a.mp4?X-Amz-Signature=made-up answered 403")

    assert "made-up" not in get(page, "/readyz").text


def test_it_is_alive_while_the_loop_turns(health: Health, page: Page, clock: Clock) -> None:
    clock.now_s += 29.0
    assert get(page, "/healthz").status_code == 200
    clock.now_s += 2.0
    answer = get(page, "/healthz")
    assert (answer.status_code, answer.json()) == (503, {"loop": "no turn for 31 s"})
    health.heartbeat(clock.now_s)
    assert get(page, "/healthz").status_code == 200


def test_an_unready_service_is_still_alive(health: Health, page: Page) -> None:
    health.check("kafka", False, "no broker answers")

    assert get(page, "/healthz").status_code == 200


def test_metrics_are_shown_for_prometheus(page: Page) -> None:
    answer = get(page, "/metrics")

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert "plateflow_build_info" in answer.text


def test_a_question_mark_does_not_change_the_page(health: Health, page: Page) -> None:
    health.check("kafka", True)

    assert get(page, "/readyz?verbose").status_code == 200


@pytest.mark.parametrize("path", ["/", "/metrics/", "/../etc/passwd", "/favicon.ico"])
def test_anything_else_is_not_found(page: Page, path: str) -> None:
    assert get(page, path).status_code == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
def test_one_can_only_ask(page: Page, method: str) -> None:
    answer = httpx.request(method, f"http://127.0.0.1:{page.port}/readyz", trust_env=False)

    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


def test_a_port_in_use_is_an_error_that_names_the_variable(health: Health, page: Page) -> None:
    with pytest.raises(SettingsError, match=f"port {page.port} is in use.*PLATEFLOW_HTTP_PORT"):
        serve(health, "127.0.0.1", page.port)


def test_a_host_that_is_not_ours_is_an_error_that_names_the_variable(health: Health) -> None:
    with pytest.raises(SettingsError, match="PLATEFLOW_HTTP_HOST"):
        serve(health, "192.0.2.1", 0)


def test_the_port_is_free_again_after_closing(health: Health) -> None:
    first = serve(health, "127.0.0.1", 0)
    first.close()
    second = serve(health, "127.0.0.1", first.port)
    second.close()

    assert second.port == first.port


def test_a_client_that_says_nothing_holds_up_nobody(health: Health, page: Page) -> None:
    health.check("kafka", True)
    with socket.create_connection(("127.0.0.1", page.port)):
        answer = get(page, "/readyz")

    assert json.loads(answer.text) == {"kafka": "ok"}
