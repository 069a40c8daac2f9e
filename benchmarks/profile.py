"""Where the time of a clip goes: `make profile` prints a budget for each stage and draws a flame graph.

The pipeline works through one rendered clip again and again, as inference does. Budget: wall time of the thread that
detects and reads, by stage, beside the processor time of its process and of the decoding child. Flame graph: py-spy
looks at all threads of both processes a hundred times a second; width is time, and a click opens a part of it.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil

from benchmarks.harness import cpu_of_children_s, cpu_s, last_line
from benchmarks.workload import START_MS, Clip, clip
from services.inference.build import inference
from services.inference.settings import PipelineSettings

STAGES = ("decode", "detect", "track", "read")
"""`decode` is the time spent waiting for frames: decoding itself runs beside, in the child."""
FLAME = Path("build/flame.svg")


def measured(wanted: Clip, rounds: int) -> dict[str, float]:
    """Milliseconds for each sampled frame: wall time by stage, and processor time; and frames a second."""
    path, process = clip(wanted), psutil.Process()
    with inference(PipelineSettings(device="cpu", motion_threshold=0)) as built:
        built.pipeline.process(path, START_MS)  # loads what is loaded late
        own, child, began = cpu_s(process), cpu_of_children_s(process), time.perf_counter()
        results = [built.pipeline.process(path, START_MS) for _ in range(rounds)]
        wall = time.perf_counter() - began
        own, child = cpu_s(process) - own, cpu_of_children_s(process) - child
    frames = sum(one.frames for one in results)
    found = {f"{stage}_ms": 1e3 * sum(one.seconds.get(stage, 0.0) for one in results) / frames for stage in STAGES}
    found["everything_else_ms"] = 1e3 * wall / frames - sum(found.values())
    found |= {"processor_inference_ms": 1e3 * own / frames, "processor_decoding_child_ms": 1e3 * child / frames}
    return found | {"frames_per_second": frames / wall}


def budget(wanted: Clip, rounds: int) -> str:
    """The table and the JSON line."""
    found = measured(wanted, rounds)
    whole = 1e3 / found["frames_per_second"]
    lines = [f"{wanted.name}, {rounds} times, ms for each sampled frame"]
    for name, value in found.items():
        title = name.removesuffix("_ms").replace("_", " ")
        of_wall = name.endswith("_ms") and not name.startswith("processor")
        lines.append(f"  {title:<26} {value:8.2f}" + (f"   {value / whole:5.0%} of wall time" if of_wall else ""))
    return "\n".join([*lines, last_line("profile", {name: round(value, 2) for name, value in found.items()})])


def main() -> int:
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="make profile", description=__doc__, formatter_class=plain)
    parser.add_argument("--quick", action="store_true", help="a small clip, once: sees that it runs")
    parser.add_argument("--budget-only", action="store_true", help="no flame graph")
    parser.add_argument("--out", type=Path, default=FLAME, help=f"the flame graph (default {FLAME})")
    asked = parser.parse_args()
    wanted, rounds = (Clip(720, "h264", 1, 0.4), 1) if asked.quick else (Clip(1080, "h264", 5, 2.0), 10)
    if not asked.budget_only:
        again = ["-m", "benchmarks.profile", "--budget-only", *(["--quick"] if asked.quick else [])]
        clip(wanted)  # painting it is no part of the picture
        return _drawn(asked.out, again)
    sys.stdout.write(budget(wanted, rounds) + "\n")
    return 0


def _drawn(out: Path, arguments: list[str]) -> int:
    """The budget once more, while py-spy looks on."""
    spy = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")
    if spy is None:
        sys.stderr.write("no flame graph: pip install py-spy\n")
        return subprocess.run([sys.executable, *arguments], check=False).returncode
    out.parent.mkdir(parents=True, exist_ok=True)
    command = [spy, "record", "--subprocesses", "--threads", "--rate", "100", "--output", str(out)]
    code = subprocess.run([*command, "--", sys.executable, *arguments], check=False).returncode
    sys.stderr.write(f"drawn: {out}; open it in a browser\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
