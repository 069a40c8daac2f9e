"""The detector on torch and ultralytics, for CUDA: the same letterbox and suppression, another forward pass.

Needs the extra `plateflow[gpu]`; nothing else in plateflow imports this file before such a device is chosen.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from services.inference.models.detector import (
    CONFIDENCE,
    INPUT_SIZE,
    IOU,
    WEIGHTS_FOLDER,
    LetterboxDetector,
    checked,
)

DETECTOR_PT = WEIGHTS_FOLDER / "detector.pt"


class UltralyticsDetector(LetterboxDetector):
    """An ultralytics checkpoint (.pt) on `device`: "cuda", "cuda:1" or "cpu". Half precision on CUDA."""

    def __init__(
        self,
        weights: Path = DETECTOR_PT,
        device: str = "cuda",
        confidence: float = CONFIDENCE,
        iou: float = IOU,
        input_size: int = INPUT_SIZE,
    ) -> None:
        super().__init__(confidence, iou, input_size)
        self._device = torch.device(device)
        self._type = torch.float16 if self._device.type == "cuda" else torch.float32
        os.environ.setdefault("YOLO_OFFLINE", "true")  # or ultralytics asks public name servers when it is imported
        # An ultralytics checkpoint holds the pickled network; `checked` vouches for the shipped file.
        checkpoint = torch.load(io.BytesIO(checked(weights)), map_location="cpu", weights_only=False)
        network = (checkpoint.get("ema") or checkpoint["model"]).float().fuse(verbose=False).eval()
        self._network = network.to(self._device, self._type)
        self.names = {int(key): str(value) for key, value in network.names.items()}

    def forward(self, inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            planes = torch.from_numpy(inputs).to(self._device).flip(-1).permute(0, 3, 1, 2)
            output = self._network(planes.to(self._type) / 255)[0]
            result: NDArray[np.float32] = output.float().cpu().numpy()
        return result
