"""An ONNX network on OpenVINO: where the processor multiplies in bfloat16 (AVX-512 BF16, AMX), nearly twice as fast as
ONNX Runtime; elsewhere in full precision, and about as fast.

Rules
- Compiled for each shape that comes, once: with free dimensions OpenVINO takes twice as long. A few shapes are kept,
  the ones used last; each size of frame has five, whole and in parts.
- The items of a call run side by side, so that each core works for itself as far as there are items.
- The same items give the same outputs, whatever runs beside them.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.runtime.errors import Stop

KEPT = 12
"""Shapes that are kept compiled."""
Outputs = tuple[NDArray[np.float32], ...]


def available() -> bool:
    """Whether the package is there; it is for x86 only."""
    return importlib.util.find_spec("openvino") is not None


class OpenVinoNetwork:
    """``content``: the ONNX file's bytes, ``weights`` its name for error texts. ``threads`` 0: all cores that this
    process may use. ``pictures``: the input is (B, H, W, 3) BGR bytes of any size, turned into what an ultralytics
    export takes; else it is what the file says. Several threads may call `run`."""

    def __init__(self, content: bytes, weights: Path, threads: int, pictures: bool) -> None:
        self._core = core()
        self._content, self._weights, self._pictures = content, weights, pictures
        self._threads = threads or len(os.sched_getaffinity(0))
        self._requests: OrderedDict[tuple[int, ...], list[Any]] = OrderedDict()
        self._lock = threading.Lock()
        self._model()  # says now what is wrong with the file

    def run(self, items: Sequence[NDArray[np.uint8]]) -> list[Outputs]:
        """The outputs of each item, all of one shape, in the order of the network's."""
        shape = items[0].shape
        with self._lock:
            try:
                return self._answers(items, self._requests_for(shape))
            except BaseException:  # Ctrl+C, say: what is still running must not be asked again
                self._requests.pop(shape, None)
                raise

    def _answers(self, items: Sequence[NDArray[np.uint8]], requests: Sequence[Any]) -> list[Outputs]:
        outputs: list[Outputs] = []
        count = len(requests)
        for index, item in enumerate(items):
            if index >= count:  # the oldest one's turn: its answer is taken before it begins anew
                outputs.append(_answer(requests[index % count]))
            requests[index % count].start_async([item])
        return outputs + [_answer(requests[index % count]) for index in range(len(outputs), len(items))]

    def _requests_for(self, shape: tuple[int, ...]) -> list[Any]:
        if shape not in self._requests:
            self._requests[shape] = self._compiled(shape)
        self._requests.move_to_end(shape)
        while len(self._requests) > KEPT:
            self._requests.popitem(last=False)
        return self._requests[shape]

    def _compiled(self, shape: tuple[int, ...]) -> list[Any]:
        """As many requests as there are threads."""
        model = self._model()
        model.reshape([shape[0], 3, *shape[1:3]] if self._pictures else list(shape))
        options = {
            "INFERENCE_NUM_THREADS": self._threads,
            "NUM_STREAMS": self._threads,
            "ENABLE_CPU_PINNING": False,  # decoders work on the same cores
        }
        compiled = self._core.compile_model(_on_pictures(model) if self._pictures else model, "CPU", options)
        return [compiled.create_infer_request() for _ in range(self._threads)]

    def _model(self) -> Any:
        try:
            return self._core.read_model(self._content)
        except Exception as error:  # the run-time has no common exception type
            raise Stop(f"{self._weights} is no network that OpenVINO reads; name another file: {error}") from error


@cache
def core() -> Any:
    """One for the process, and for its whole life: each sets the signal stack of its thread, and gives the former one
    back in the end. Of two that end in the order in which they began, the second leaves a stack that is no longer
    there, and the next signal ends the process."""
    return _openvino().Core()


def _openvino() -> Any:
    """The package, without the one that reports its use to its makers: where that is not to be had, it does without."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return importlib.import_module("openvino")


def _answer(request: Any) -> Outputs:
    request.wait()
    return tuple(np.array(one.data) for one in request.output_tensors)


def _on_pictures(model: Any) -> Any:
    """The model with the way from BGR bytes to RGB planes in 0..1 before it."""
    Layout, Type = _openvino().Layout, _openvino().Type  # noqa: N806
    from openvino.preprocess import ColorFormat, PrePostProcessor

    steps = PrePostProcessor(model)
    given = steps.input()
    given.tensor().set_element_type(Type.u8).set_layout(Layout("NHWC")).set_color_format(ColorFormat.BGR)
    given.preprocess().convert_element_type(Type.f32).convert_color(ColorFormat.RGB).scale(255.0)
    given.model().set_layout(Layout("NCHW"))
    return steps.build()
