"""Starts a training from written weights: an ONNX file of this network in, the network with its weights out.

The written file holds each batch normalisation folded into the convolution before it. As a training normalises by its
batch, what was folded is unfolded again: the statistics are measured on crops, and scale and shift are chosen so that
the network says on them what the file says.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from services.inference.models.recogniser import check_metadata
from services.inference.training.network import Reader, standardised
from services.runtime.errors import Stop


def load_onnx(reader: Reader, path: Path, crops: Tensor) -> None:
    """Give `reader` the weights of `path`. `crops`: (N, 1, 64, 192) uint8, some hundreds as the training shows them.

    Stop where the file is missing, holds another network, or was made for another alphabet."""
    try:
        model = onnx.load(str(path))
    except Exception as error:  # protobuf's own, and OSError
        raise Stop(f"{path} is no ONNX file of a recogniser: {str(error).splitlines()[0]}") from error
    check_metadata(path, {one.key: one.value for one in model.metadata_props})
    named = {one.name: np.array(numpy_helper.to_array(one)) for one in model.graph.initializer}
    try:
        _take(reader, named, _products(model.graph.node, named))
    except (IndexError, ValueError) as error:
        raise Stop(f"{path} holds another network than the one that is trained here: {error}") from error
    _unfold(reader, crops)


def _products(nodes: Sequence[onnx.NodeProto], named: dict[str, np.ndarray]) -> list[list[np.ndarray]]:
    """Weight and, where there is one, bias of every node that multiplies by weights, in order."""
    found = []
    for node in nodes:
        if node.op_type in ("Conv", "Gemm", "MatMul") and node.input[1] in named:
            weights = [named[name] for name in node.input[1:]]
            found.append([weights[0].T, *weights[1:]] if node.op_type == "MatMul" else weights)
    return found


def _take(reader: Reader, named: dict[str, np.ndarray], products: list[list[np.ndarray]]) -> None:
    """All weights, those with a bias folded in going to the normalisation behind."""
    modules = [*reader.modules(), nn.Identity()]
    places = [pair for pair in pairwise(modules) if isinstance(pair[0], nn.Conv2d | nn.Linear)]
    for (module, after), (weight, *bias) in zip(places, products, strict=True):
        module.weight.data.copy_(_fitting(weight, module.weight))
        if isinstance(after, nn.BatchNorm2d):
            after.weight.data.copy_((after.running_var + after.eps).sqrt())
            after.bias.data.copy_(_fitting(bias[0], after.bias))
    for name, value in reader.state_dict().items():
        if f"reader.{name}" in named:
            value.copy_(_fitting(named[f"reader.{name}"], value))


def _fitting(value: np.ndarray, place: Tensor) -> Tensor:
    if value.shape != tuple(place.shape):
        raise ValueError(f"weights of {value.shape} where {tuple(place.shape)} are expected")
    return torch.from_numpy(value.copy())


def _unfold(reader: Reader, crops: Tensor) -> None:
    """Let each normalisation know the mean and variance of what comes, and undo them by scale and shift."""
    norms = [module for module in reader.modules() if isinstance(module, nn.BatchNorm2d)]

    def learn(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None and norm.running_var is not None
        mean, variance = inputs[0].mean((0, 2, 3)), inputs[0].var((0, 2, 3))
        scale = norm.weight.data / (norm.running_var + norm.eps).sqrt()
        norm.bias.data += scale * (mean - norm.running_mean)
        norm.weight.data = scale * (variance + norm.eps).sqrt()
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)

    hooks = [norm.register_forward_pre_hook(learn) for norm in norms]
    was_training = reader.training
    with torch.no_grad():
        reader.eval()(standardised(crops))
    reader.train(was_training)
    for hook in hooks:
        hook.remove()
