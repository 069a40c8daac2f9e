"""Recordings a second from Vault into the clip store, by the code of ingest, beside curl over the same addresses.

The Vault stand-in runs in a process of its own and announces each recording with a signed URL, or without one, so that
it is fetched from Vault's blob route. Ours: announcement to message, the handler of ingest in so many threads: fetched,
checked, hashed, stored. Curl: the same addresses into files, nothing else. Both write to one disk, and each time into
an empty folder.
"""

from __future__ import annotations

import multiprocessing
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec
from pydantic import SecretStr

from benchmarks.harness import Skipped, alternate, last_line, medians, table
from services.ingest.handler import IngestHandler
from services.runtime.clips import INCOMING
from services.runtime.clips_local import LocalStore
from services.runtime.ports import Partition, Record
from services.runtime.settings import VaultSettings
from services.runtime.vault import VaultClient
from services.simulator.vault import VaultStandIn
from services.simulator.vault_events import Arrival, Form
from tests.support.recordings import ACCESS_KEY, SECRET, mp4, noise

BYTES = 2_000_000
FIRST_S = 1_785_934_709
IN_FLIGHT = (1, 4, 16, 64)
BLOBS_IN_FLIGHT = 16
Announced = tuple[str, list[bytes]]
"""Address of Vault's API, and its announcements."""


def _stand_in(folder: Path, count: int, wire: Connection) -> None:
    with VaultStandIn(folder, lambda _value: None, access_key=ACCESS_KEY, secret=SECRET, form=Form.C) as vault:
        content = mp4(noise(BYTES))
        announced = []
        for number in range(count):
            key = f"bench/{FIRST_S + number}_3-414_gate_1-2-3-4_57_10000.mp4"
            vault.put(key, content, "bench")
            announced.append(vault.message(Arrival(key, "bench", len(content))))
        wire.send((vault.api, announced))
        wire.recv()  # until nobody asks any more


@contextmanager
def _served(folder: Path, count: int) -> Iterator[Announced]:
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_stand_in, args=(folder, count, there), daemon=True)
    process.start()
    try:
        yield here.recv()
    finally:
        here.send(None)
        process.join(10)


def _ours(announced: Announced, scratch: Path, at_once: int, cpu_ms: list[float]) -> Callable[[], float]:
    """``cpu_ms`` takes what a recording cost our process."""
    api, messages = announced
    settings = VaultSettings(uri=api, access_key=SecretStr(ACCESS_KEY), secret_key=SecretStr(SECRET))
    records = [Record(Partition("vault", 0), number, value=value) for number, value in enumerate(messages)]

    def once() -> float:
        with tempfile.TemporaryDirectory(dir=scratch) as folder, VaultClient(settings, 10 * BYTES) as vault:
            store, work = LocalStore(Path(folder)), Path(folder) / INCOMING
            handler = IngestHandler(vault, store, "clips", results=1, remembered=10_000, work=work)
            with ThreadPoolExecutor(at_once) as pool:
                began, spent = time.perf_counter(), time.process_time()
                done = list(pool.map(handler.handle, records))
                seconds, spent = time.perf_counter() - began, time.process_time() - spent
        cpu_ms.append(spent * 1e3 / len(records))
        if not all(done):
            raise RuntimeError("a recording was skipped: the benchmark measures something else than it says")
        return len(records) / seconds

    return once


def _unsigned(announced: Announced) -> Announced:
    """The same recordings without a signed URL."""
    messages = [msgspec.json.decode(value) for value in announced[1]]
    for message in messages:
        del message["payload"]["signedUrl"]
    return announced[0], [msgspec.json.encode(message) for message in messages]


def _request(api: str, message: bytes) -> str:
    """As curl's configuration has it."""
    told = msgspec.json.decode(message)
    if url := told["payload"].get("signedUrl"):
        return f'url = "{url}"'
    values = {
        "AccessKey": ACCESS_KEY,
        "SecretAccessKey": SECRET,
        "FileName": told["payload"]["key"],
        "Provider": "bench",
    }
    headers = [f'header = "X-Kerberos-Storage-{name}: {value}"' for name, value in values.items()]
    return "\n".join([f'url = "{api}/storage/blob"', *headers])


def _curl(announced: Announced, scratch: Path, at_once: int) -> Callable[[], float]:
    urls = [_request(announced[0], value) for value in announced[1]]

    def once() -> float:
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            lines = [f'{url}\noutput = "{folder}/{number}.mp4"\nfail\n' for number, url in enumerate(urls)]
            config = Path(folder) / "urls"
            config.write_text("next\n".join(lines))
            command = ["curl", "--silent", "--no-progress-meter"]
            command += ["--parallel", "--parallel-max", str(at_once), "-K", str(config)]
            began = time.perf_counter()
            subprocess.run(command, check=True)
            seconds = time.perf_counter() - began
            if len(list(Path(folder).glob("*.mp4"))) != len(urls):
                raise RuntimeError("curl left recordings out")
        return len(urls) / seconds

    return once


def run(quick: bool) -> str:
    """The table and the JSON line."""
    if shutil.which("curl") is None:
        raise Skipped("no curl here")
    count, rounds, row = (4, 1, (1, 4)) if quick else (64, 3, IN_FLIGHT)
    with (
        tempfile.TemporaryDirectory(prefix="plateflow-bench-") as name,
        _served(Path(name) / "vault", count) as announced,
    ):
        variants, cpu_ms = {}, list[float]()
        for n in row:
            variants[f"ingest, {n} in flight"] = _ours(announced, Path(name), n, cpu_ms)
            variants[f"curl, {n} in flight"] = _curl(announced, Path(name), n)
        n = min(BLOBS_IN_FLIGHT, row[-1])
        variants["ingest, blobs"] = _ours(_unsigned(announced), Path(name), n, cpu_ms)
        variants["curl, blobs"] = _curl(_unsigned(announced), Path(name), n)
        figures = alternate(variants, rounds)
    middle = medians(figures)
    ours = {str(n): middle[f"ingest, {n} in flight"] for n in row}
    fields = {
        "recordings_per_second": {n: round(one, 1) for n, one in ours.items()},
        "mb_per_second": {n: round(one * BYTES / 1e6, 1) for n, one in ours.items()},
        "cpu_ms_per_recording": round(statistics.median(cpu_ms), 2),
        "of_curl_blobs": round(middle["ingest, blobs"] / middle["curl, blobs"], 3),
        "of_curl": {n: round(one / middle[f"curl, {n} in flight"], 3) for n, one in ours.items()},
    }
    title = f"ingest, recordings of {BYTES / 1e6:g} MB"
    return "\n".join([table(title, "recordings/s", figures), last_line("ingest", fields)])
