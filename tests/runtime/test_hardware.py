"""What the machine does is on the page: the children's memory always, a graphics card where there is one."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

from services.runtime import hardware, metrics


def value(name: str, **labels: str) -> float | None:
    return metrics.REGISTRY.get_sample_value(f"plateflow_{name}", labels)


def test_the_memory_of_children_and_their_children_is_counted() -> None:
    before = hardware.children_memory()
    held = "x = b'x' * 50_000_000; print(flush=True); input()"
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {held!r}])"
    with subprocess.Popen([sys.executable, "-c", nested], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        grown = hardware.children_memory() - before
        child.communicate(b"\n")
    assert grown > 50_000_000


def test_a_card_is_shown_under_its_number_and_name_and_one_that_fails_does_not_break_the_page() -> None:
    """The card is made up, with the answers of NVIDIA's library; `watch` asks the real one, where there is a driver."""

    def lost(_card: int) -> SimpleNamespace:
        raise RuntimeError("GPU is lost")

    library = SimpleNamespace(
        nvmlDeviceGetCount=lambda: 1,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetName=lambda _card: "Made-up 9000",
        nvmlDeviceGetUtilizationRates=lambda _card: SimpleNamespace(gpu=37),
        nvmlDeviceGetMemoryInfo=lambda _card: SimpleNamespace(used=3_000_000_000, total=8_000_000_000),
        nvmlDeviceGetTemperature=lambda card, _sensor: lost(card),
    )
    hardware.watch_cards(library)
    assert value("gpu_utilization_ratio", gpu="0 Made-up 9000") == 0.37
    assert value("gpu_memory_used_bytes", gpu="0 Made-up 9000") == 3_000_000_000
    temperature = value("gpu_temperature_celsius", gpu="0 Made-up 9000")
    assert temperature is not None and temperature != temperature, "not a number"


def test_without_a_card_nothing_is_shown_and_nothing_fails() -> None:
    hardware.watch_cards(None)
