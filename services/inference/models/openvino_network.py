"""An ONNX network on OpenVINO: where the processor multiplies in bfloat16 (AVX-512 BF16, AMX), nearly twice as fast as
ONNX Runtime; elsewhere in full precision, and about as fast.

Rules
- Compiled for each shape that comes, once: with free dimensions OpenVINO takes twice as long. A few shapes are kept,
  the ones used last; each size of frame has five, whole and in parts.
- The items of a call run side by side, whatever their shapes, and so do calls of several threads: each core works for
  itself as far as there are items.
- The same items give the same outputs, whatever runs beside them.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import threading
from collections import OrderedDict, deque
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.runtime.errors import Stop

KEPT = 12
"""Shapes that are kept compiled."""
AT_ONCE = 4
"""Items of one shape that run side by side at most; with more threads, each gets several. A batch of frames is no
larger, and two threads on one frame are nearly as fast as each on one of its own."""
Outputs = tuple[NDArray[np.float32], ...]
_Pool = SimpleQueue[Any]
"""Requests for one shape that run nothing."""


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
        self._pools: OrderedDict[tuple[int, ...], _Pool] = OrderedDict()
        self._lock = threading.Lock()
        self._model()  # says now what is wrong with the file

    def run(self, items: Sequence[NDArray[np.uint8]]) -> list[Outputs]:
        """The outputs of each item, in the order of the network's. Shapes may be mixed."""
        outputs: dict[int, Outputs] = {}
        running: deque[tuple[int, _Pool, Any]] = deque()
        try:
            for index, item in enumerate(items):
                pool = self._pool(item.shape)
                while (request := _idle(pool, wait=not running)) is None:
                    _finish(running, outputs)
                running.append((index, pool, request))
                request.start_async([item])
        finally:  # after Ctrl+C, say, too: a request that were not put back would be missed by whoever waits for one
            while running:
                _finish(running, outputs)
        return [outputs[index] for index in range(len(items))]

    def _pool(self, shape: tuple[int, ...]) -> _Pool:
        with self._lock:
            if shape not in self._pools:
                self._pools[shape] = self._compiled(shape)
            self._pools.move_to_end(shape)
            while len(self._pools) > KEPT:
                self._pools.popitem(last=False)
            return self._pools[shape]

    def _compiled(self, shape: tuple[int, ...]) -> _Pool:
        """As many requests as may run at once, each with its share of the threads."""
        model = self._model()
        model.reshape([shape[0], 3, *shape[1:3]] if self._pictures else list(shape))
        at_once = min(self._threads, AT_ONCE)
        options = {
            "INFERENCE_NUM_THREADS": self._threads,
            "NUM_STREAMS": at_once,
            "ENABLE_CPU_PINNING": False,  # decoders work on the same cores
        }
        compiled = self._core.compile_model(_on_pictures(model) if self._pictures else model, "CPU", options)
        pool: _Pool = SimpleQueue()
        for _ in range(at_once):
            pool.put(compiled.create_infer_request())
        return pool

    def _model(self) -> Any:
        try:
            return self._core.read_model(self._content)
        except Exception as error:  # the run-time has no common exception type
            raise Stop(f"{self._weights} is no network that OpenVINO reads; name another file: {error}") from error


@cache
def core() -> Any:
    """One for the process, and for its whole life: each sets the signal stack of its thread, and gives the former one
    back in the end. Of two that end in the order in which they began, the second leaves a stack that is no longer
    there, and the next signal ends the process.

    It also gets the process's first array, here, where one thread runs: with that one the package looks numpy up, and
    two threads that both bring the first wait for each other for ever, one of them with the interpreter in its hands.
    """
    openvino = _openvino()
    openvino.Tensor(np.zeros(1, np.uint8))
    return openvino.Core()


def _openvino() -> Any:
    """The package, without the one that reports its use to its makers: where that is not to be had, it does without."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return importlib.import_module("openvino")


def _idle(pool: _Pool, wait: bool) -> Any:
    """A request that runs nothing; None where there is none now and ``wait`` is not asked for. Only who holds no other
    request may wait, else two could wait for each other."""
    try:
        return pool.get(block=wait)
    except Empty:
        return None


def _finish(running: deque[tuple[int, _Pool, Any]], outputs: dict[int, Outputs]) -> None:
    """Waits for the oldest that runs, takes its answer and puts it back."""
    index, pool, request = running.popleft()
    try:
        request.wait()
        outputs[index] = tuple(np.array(one.data) for one in request.output_tensors)
    finally:
        pool.put(request)


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
