"""The recogniser's training, in small: checkpoints, resuming, Ctrl+C, real plates, what is refused. Needs torch."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from typer.testing import CliRunner

from services.cli.train import app
from services.inference.datasets.layout import Dataset, Picture, Plate, save
from services.inference.datasets.pictures import write_picture
from services.inference.training.plates import render_plate
from services.runtime.errors import Stop

pytestmark = [
    pytest.mark.torch,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed (plateflow[train])"),
]


def command(out: Path, *words: str) -> list[str]:
    small = ("--batch", "16", "--replay", "64", "--device", "cpu", "--every", "0.01", "--held-out", "40")
    return [sys.executable, "-m", "services.cli", "train", "recogniser", "--out", str(out), *small, *words]


def done(words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, check=False, capture_output=True, text=True, timeout=240)


def made_up_plates(folder: Path) -> Path:
    """A folder in our layout: two plates of one row to train on, one of two rows, one kept for validation."""
    pictures = []
    for number, (text, split, shape) in enumerate(
        [
            ("A123BC77", "train", (40, 160)),
            ("K777KK99", "", (40, 160)),
            ("B456", "train", (60, 80)),
            ("C1", "val", (40, 160)),
        ]
    ):
        image = np.full((100, 200, 3), 90, np.uint8)
        image[10 : 10 + shape[0], 10 : 10 + shape[1]] = np.resize(render_plate("A123BC77").image, (*shape, 3))
        write_picture(folder / "images" / f"{number}.png", image)
        box = (10.0, 10.0, float(shape[1]), float(shape[0]))
        pictures.append(Picture(f"{number}.png", (Plate(box, text),), f"car{number}", split))
    save(Dataset(pictures), folder)
    return folder


def test_a_training_keeps_its_states_stops_at_ctrl_c_and_goes_on_from_there(tmp_path: Path) -> None:
    out, real = tmp_path / "out", made_up_plates(tmp_path / "real")
    child = subprocess.Popen(
        command(out, "--minutes", "60", "--real", str(real)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 240
    while not (out / "log.jsonl").is_file() and child.poll() is None and time.monotonic() < until:
        time.sleep(0.2)
    os.kill(child.pid, signal.SIGINT)
    told, complaints = child.communicate(timeout=120)

    assert child.returncode == 130, complaints
    assert "2 real plates, 2 left out" in told
    assert "--resume goes on from it" in told
    assert {"last.pt", "best.pt", "log.jsonl", "curve.png"} <= {path.name for path in out.iterdir()}
    before = json.loads((out / "log.jsonl").read_text().splitlines()[-1])["step"]

    again = done(command(out, "--minutes", "0.01", "--resume"))

    assert again.returncode == 0, again.stderr
    steps = [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().splitlines()]
    assert steps == sorted(steps) and steps[-1] > before


def test_a_checkpoint_of_another_alphabet_and_what_is_none_are_refused_in_one_line(tmp_path: Path) -> None:
    import torch

    torch.save({"config": {"alphabet": "ABC"}}, tmp_path / "last.pt")
    other = done(command(tmp_path, "--resume"))
    (tmp_path / "last.pt").write_bytes(b"no checkpoint")
    nothing = done(command(tmp_path, "--resume"))
    missing = done(command(tmp_path / "new", "--resume"))

    complaints = ("was trained for alphabet 'ABC'", "no checkpoint", "is missing")
    for one, complaint in zip((other, nothing, missing), complaints, strict=True):
        assert one.returncode == 2
        assert complaint in one.stderr
        assert len(one.stderr.strip().splitlines()) == 1


def test_help_is_that_of_the_training_and_missing_data_are_named(tmp_path: Path) -> None:
    told = done(command(tmp_path, "--help"))
    assert "--real" in told.stdout and "plateflow train recogniser" in told.stdout

    result = CliRunner().invoke(app, ["detector", "--shared", str(tmp_path), "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "has no plates/det and no plates/weights" in result.stderr


def test_a_training_that_starts_from_written_weights_reads_as_they_do(tmp_path: Path) -> None:
    import torch

    from services.inference.models.recogniser import WEIGHTS
    from services.inference.training.feed import Sources, stacked
    from services.inference.training.network import Exported, Reader
    from services.inference.training.warm import load_onnx

    studio = Sources(None, (), None).studio((1,))
    images = stacked([studio.crop() for _ in range(96)])[0]
    reader = Reader()
    load_onnx(reader, WEIGHTS, torch.from_numpy(images[:64]))

    with torch.inference_mode():
        probabilities, corners, plate = Exported(reader.eval())(torch.from_numpy(images[64:]))
    written = onnxruntime.InferenceSession(WEIGHTS).run(["probabilities", "corners", "plate"], {"crops": images[64:]})
    for one, other in zip(written, (probabilities, corners, plate), strict=True):
        assert np.allclose(one, other.numpy(), atol=1e-3)

    began = done(
        command(tmp_path / "out", "--minutes", "0.01", "--start", str(WEIGHTS), "--dark", "0.2", "--stacked", "0.2")
    )
    assert began.returncode == 0, began.stderr
    refused = done(command(tmp_path / "other", "--start", str(WEIGHTS.with_name("detector.onnx"))))
    assert refused.returncode == 2
    assert "was made for alphabet" in refused.stderr and len(refused.stderr.strip().splitlines()) == 1
    missing = done(command(tmp_path / "other", "--start", str(tmp_path / "none.onnx")))
    assert missing.returncode == 2 and "none.onnx" in missing.stderr
    both = done(command(tmp_path / "out", "--start", str(WEIGHTS), "--resume"))
    assert both.returncode == 2 and "leave it out with --resume" in both.stderr
    share = done(command(tmp_path / "out", "--dark", "2"))
    assert share.returncode == 2 and "a share is from 0 to 1" in share.stderr


def test_a_file_of_the_same_alphabet_with_another_network_begins_no_training(tmp_path: Path) -> None:
    import onnx
    import torch

    from services.inference.models.recogniser import WEIGHTS
    from services.inference.training.network import Reader
    from services.inference.training.warm import load_onnx

    model = onnx.load(WEIGHTS)
    del model.graph.node[len(model.graph.node) // 2 :]
    onnx.save(model, tmp_path / "half.onnx")

    with pytest.raises(Stop, match="holds another network"):
        load_onnx(Reader(), tmp_path / "half.onnx", torch.zeros((2, 1, 64, 192), dtype=torch.uint8))
