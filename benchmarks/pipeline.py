"""Sampled frames a second of inference, from a clip in the store to encoded messages, beside a plain loop and beside
each of its stages alone.

The plain loop is what one would write first: OpenCV reads every frame, ultralytics predicts on the same sampled ones
with the same weights, and the recogniser reads every plate of every frame. The first clip is measured several times,
the others once, at fewer sampled frames a second; each in turn with its own peers and limits. All of it on the CPU;
where there is a card, the first clip also with the detector on CUDA, the plain loop's too (`cuda`). Processor time and
peak memory are those of a process of its own, decoding child included, that works through the first clip twice.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import psutil

from benchmarks.harness import alternate, cpu_of_children_s, cpu_s, last_line, medians, table
from benchmarks.workload import START_MS, Clip, clip, plates_of
from services.contracts import identity
from services.contracts.codec import decode, encode
from services.contracts.messages import Clip as ClipMessage
from services.contracts.messages import Track
from services.contracts.topics import Topics
from services.inference.build import Inference, inference
from services.inference.core.sampling import Sampler
from services.inference.handler import InferenceHandler
from services.inference.models.detector import DETECTOR_ONNX
from services.inference.models.factory import Device, create_detector, create_recogniser, why_no_cuda
from services.inference.models.recogniser import OnnxRecogniser, crop_plate
from services.inference.settings import PipelineSettings
from services.runtime.clips_local import LocalStore
from services.runtime.ports import Outgoing, Partition, Record

HEADLINE = Clip(1080, "h264", 5)
OTHERS = [
    Clip(height, codec, plates)
    for height in (1080, 720)
    for codec in ("h264", "hevc")
    for plates in (5, 1, 0)
    if (height, codec, plates) != (1080, "h264", 5)
]
OTHERS_FPS = 5.0
STAGES = ("decoding", "detecting", "reading")
_TOPICS = Topics("bench")
_BATCH = 4


@dataclass(slots=True)
class _Service:
    """The handler of inference over stores on the local disk; no Kafka."""

    built: Inference
    handler: InferenceHandler
    clips: LocalStore

    def message(self, path: Path) -> Record:
        """Puts the clip into the store and announces it."""
        recording, stored = identity.recording_id(path.name), f"bench/{path.name}"
        self.clips.put_file(stored, path)
        message = ClipMessage(
            id=identity.clip_id(1, recording), results=1, recording_id=recording, camera="bench/gate", key=path.name,
            source="bench", start_ms=START_MS, path=stored, size=path.stat().st_size, sha256="0" * 64,
        )  # fmt: skip
        return Record(Partition(_TOPICS.clips, 0), 0, value=encode(message))

    def handle(self, record: Record) -> list[Outgoing]:
        return list(self.handler.handle(record))


@contextmanager
def _service(settings: PipelineSettings) -> Iterator[_Service]:
    with inference(settings) as built, tempfile.TemporaryDirectory(prefix="plateflow-bench-") as folder:
        clips, objects = LocalStore(Path(folder) / "clips"), LocalStore(Path(folder) / "objects")
        yield _Service(built, InferenceHandler(built.pipeline, clips, objects, built.models, _TOPICS), clips)


def _plates(messages: list[Outgoing]) -> list[str]:
    return sorted(decode(one.value, Track).reading.text for one in messages if one.topic == _TOPICS.tracks)


def _rate(work: Callable[[], object], frames: int) -> Callable[[], float]:
    """Sampled frames a second of work on so many."""

    def once() -> float:
        began = time.perf_counter()
        work()
        return frames / (time.perf_counter() - began)

    return once


def _plain_loop(path: Path, fps: float, device: Device) -> Callable[[], None]:
    from ultralytics import YOLO

    network, recogniser = YOLO(str(DETECTOR_ONNX.with_suffix(".pt"))), OnnxRecogniser()

    def once() -> None:
        capture, sampler, number = cv2.VideoCapture(str(path)), Sampler(fps), 0
        rate = capture.get(cv2.CAP_PROP_FPS)
        while True:
            there, image = capture.read()
            if not there:
                return
            number += 1
            if not sampler.takes(round((number - 1) * 1000 / rate)):
                continue
            boxes: Any = network.predict(image, imgsz=640, conf=0.2, device=device, verbose=False)[0].boxes
            for x1, y1, x2, y2 in boxes.xyxy.tolist():
                recogniser.read([crop_plate(image, (x1, y1, x2 - x1, y2 - y1))])

    return once


def _alone(built: Inference, path: Path, fps: float, device: Device) -> tuple[dict[str, Callable[[], object]], int]:
    """Decoding, detecting and reading, each alone on all cores; and the number of sampled frames."""
    detector, recogniser = create_detector(device, confidence=0.2), create_recogniser()
    result = built.pipeline.process(path, START_MS)
    images = [frame.image for frame in built.decoder.open(path, fps)]
    seen = [one for track in result.tracks for one in track.observations if one.text]
    crops = [crop_plate(images[one.frame], one.box) for one in seen]

    def detect() -> None:
        for start in range(0, len(images), _BATCH):
            detector.detect(images[start : start + _BATCH])

    work: dict[str, Callable[[], object]] = {
        "decoding": lambda: sum(1 for _ in built.decoder.open(path, fps)),
        "detecting": detect,
    }
    if crops:
        work["reading"] = lambda: recogniser.read(crops)
    return work, len(images)


def _measured(
    wanted: Clip, fps: float, rounds: int, warm_up: bool = True, device: Device = "cpu"
) -> tuple[str, dict[str, object]]:
    """The table of one clip, and its figures."""
    path, truth = clip(wanted), sorted(plates_of(wanted))
    plain = PipelineSettings(device=device, motion_threshold=0, sample_fps=fps)
    gate = PipelineSettings(device=device, sample_fps=fps)
    with _service(plain) as whole, _service(gate) as gated:
        record, same = whole.message(path), gated.message(path)
        exact, exact_gated = _plates(whole.handle(record)) == truth, _plates(gated.handle(same)) == truth
        stages, frames = _alone(whole.built, path, fps, device)
        work: dict[str, Callable[[], object]] = {
            "pipeline": lambda: whole.handle(record),
            "with the motion gate": lambda: gated.handle(same),
        }
        work |= {f"{name} alone": one for name, one in stages.items()}
        if importlib.util.find_spec("ultralytics") is not None:
            work["plain loop"] = _plain_loop(path, fps, device)
        figures = alternate({name: _rate(one, frames) for name, one in work.items()}, rounds, warm_up)
    middle = medians(figures)
    rate, limit = middle["pipeline"], 1 / sum(1 / middle[f"{stage} alone"] for stage in stages)
    fields: dict[str, object] = {"frames_per_second": round(rate, 2), "of_limit": round(rate / limit, 3)}
    fields |= {"plates_exact": exact, "plates_exact_gated": exact_gated}
    if "plain loop" in middle:
        fields["over_plain_loop"] = round(rate / middle["plain loop"], 2)
        fields["over_plain_loop_gated"] = round(middle["with the motion gate"] / middle["plain loop"], 2)
    title = f"{wanted.name}, {fps:g} sampled frames a second, {device}"
    return table(title, "sampled frames/s", figures), fields


def _consumption(path: Path, seconds: float) -> dict[str, float]:
    """Processor seconds for each second of clip, and the most memory in MB: to be run in a process of its own."""
    process = psutil.Process()
    with _service(PipelineSettings(device="cpu")) as service:
        record = service.message(path)
        service.handle(record)
        spent = cpu_s(process) + cpu_of_children_s(process)
        service.handle(record)
        spent = cpu_s(process) + cpu_of_children_s(process) - spent
        peak = sum(_peak_kb(one.pid) for one in (process, *process.children(recursive=True)))
    return {"cpu_seconds_per_clip_second": round(spent / seconds, 3), "peak_memory_mb": round(peak * 1024 / 1e6)}


def _peak_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def run(quick: bool) -> str:
    """The tables and the JSON line."""
    first = Clip(720, "h264", 1, 0.4) if quick else HEADLINE
    others = [] if quick else OTHERS
    text, fields = _measured(first, PipelineSettings().sample_fps, 1 if quick else 3)
    tables, clips = [text], dict[str, object]()
    if not (missing := why_no_cuda()):
        text, fields["cuda"] = _measured(first, PipelineSettings().sample_fps, 1 if quick else 3, device="cuda")
        tables.append(text)
    for wanted in others:
        text, found = _measured(wanted, OTHERS_FPS, 1, warm_up=False)
        tables.append(text)
        clips[f"{wanted.height}p_{wanted.codec}_{wanted.plates}"] = found
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        fields |= pool.submit(_consumption, clip(first), first.seconds).result()
    fields["others"] = clips
    skipped = [f"CUDA: {missing}"] if missing else []
    if "over_plain_loop" not in fields:
        skipped.append("the plain loop needs ultralytics: pip install 'plateflow[gpu]'")
    if skipped:
        fields["skipped"] = "; ".join(skipped)
    return "\n".join([*tables, last_line("pipeline", fields)])
