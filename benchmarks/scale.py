"""Clips a second of 1, 2 and 4 inference workers, beside the ideal line; and on paper, what a fleet takes.

Real services on a real Kafka: ingest feeds small clips of many cameras (640 x 360, four frames), and each worker is a
process with one thread for its networks. Clips a second are told by Kafka's own times of the finished recordings. The
ideal line: as many times as fast as one worker, as far as there are cores for them.

On paper: a camera records `CLIP_S` seconds in 1080p each minute, `CLIP_MB` MB, looked at `FPS` times a second. What a
sampled frame costs, in CPU seconds of inference and its decoder, is measured in this run, every frame looked at, five
plates in it (a still scene behind the motion gate costs far less). The other constants are assumptions; they follow.
"""

from __future__ import annotations

import math
import os
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.broker import broker
from benchmarks.harness import last_line
from benchmarks.profile import measured
from benchmarks.workload import Clip
from tests.deploy.rolling import fleet
from tests.faults.small import Small, rendered
from tests.support.kafka import KafkaServer
from tests.support.services import ServiceProcess
from tests.support.stack import Stack

WORKERS = (1, 2, 4)
PARTITIONS = 8
CLIP_S, CLIP_MB, FPS = 10, 2.0, 15
NODE_CORES = 16
FULL = 0.7
"""Of a node's cores, so that a burst and a lost node find room."""
CAMERAS_A_PARTITION = 500
MB_A_BROKER = 50.0
"""Written a second, with three copies: what one disk and one network card do without effort."""
TRACKS_MB_A_CLIP = 0.02
FLEETS = (100, 10_000, 1_000_000)


def _clips_per_second(server: KafkaServer, folder: Path, clips: list[Small], workers: int) -> float:
    with (
        Stack(folder / f"with{workers}", server, f"scale{workers}", partitions=PARTITIONS) as stack,
        ExitStack() as ends,
    ):
        for number in range(workers):
            place = stack.folder / f"worker{number}"
            place.mkdir(parents=True)
            settings = stack.settings() | {"PLATEFLOW_KAFKA_INSTANCE_ID": str(number), "PLATEFLOW_THREADS": "1"}
            worker = ServiceProcess("inference", settings, place).start()
            ends.callback(worker.kill)
            worker.wait_until_ready(120)
        stack.start("ingest")
        for one in clips:
            stack.upload([one.file], one.name)
        stack.wait(lambda: len(stack.done()) >= len(clips), 300, "all clips")
        times = sorted(message.timestamp()[1] for message in server.read_all(stack.topics.recordings))
        return 1e3 * (len(times) - 1) / (times[-1] - times[0])


def on_paper(cpu_s_a_frame: float) -> dict[str, dict[str, float]]:
    """By number of cameras: nodes of `NODE_CORES`, partitions, brokers, MB/s into the object store. Pure."""
    cores_a_camera = cpu_s_a_frame * FPS * CLIP_S / 60
    found = {}
    for cameras in FLEETS:
        clips_a_second = cameras / 60
        kafka_mb = 3 * clips_a_second * TRACKS_MB_A_CLIP
        found[f"{cameras:,}"] = {
            "cores": round(cameras * cores_a_camera, 1),
            "nodes": math.ceil(cameras * cores_a_camera / (FULL * NODE_CORES)),
            "cameras_a_node": math.floor(FULL * NODE_CORES / cores_a_camera),
            "partitions": max(6, math.ceil(cameras / CAMERAS_A_PARTITION)),
            "brokers": max(3, math.ceil(kafka_mb / MB_A_BROKER)),
            "store_mb_per_second": round(clips_a_second * CLIP_MB, 1),
        }
    return found


def run(quick: bool) -> str:
    """The tables and the JSON line."""
    count, row = (6, (1, 2)) if quick else (60, WORKERS)
    with broker() as (server, folder):
        clips = list(islice(fleet(rendered(folder / "clips", seed=7), folder / "clips"), count))
        rates = {n: _clips_per_second(server, folder, clips, n) for n in row}
    wanted, rounds = (Clip(720, "h264", 1, 0.4), 1) if quick else (Clip(1080, "h264", 5, 2.0), 3)
    cost = measured(wanted, rounds)
    cpu_s = (cost["processor_inference_ms"] + cost["processor_decoding_child_ms"]) / 1e3
    cores = os.cpu_count() or 1
    of_ideal = {str(n): round(rate / (rates[1] * min(n, cores)), 3) for n, rate in rates.items()}
    lines = [f"clips/s of small clips, {cores} cores"]
    lines += [
        f"  {n} worker{'s' if n > 1 else ' '}  {rate:8.2f}   {of_ideal[str(n)]:.0%} of ideal"
        for n, rate in rates.items()
    ]
    lines += [f"on paper: {CLIP_S} s of 1080p a minute, {cpu_s * 1e3:.0f} ms of CPU a frame, {NODE_CORES} cores a node"]
    paper = on_paper(cpu_s)
    for cameras, needs in paper.items():
        lines.append(f"  {cameras:>9} cameras: " + ", ".join(f"{value:g} {name}" for name, value in needs.items()))
    fields: dict[str, Any] = {
        "clips_per_second": {str(n): round(rate, 2) for n, rate in rates.items()},
        "of_ideal": of_ideal,
        "cpu_ms_per_frame": round(cpu_s * 1e3, 1),
        "on_paper": paper,
    }
    return "\n".join([*lines, last_line("scale", fields)])
