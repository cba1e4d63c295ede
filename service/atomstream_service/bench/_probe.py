"""A network that is nothing but matrix products, to see what a way of running members can do at best."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from atomstream_models.runtime import Members, Way, processors

from ._gpus import gpu_names
from ._work import work_of

_LAYERS = 4
_ROUNDS = 3


@dataclass(frozen=True)
class _Size:
    """filters : rows and columns of the matrices; side : of the frame, whose pixels are the columns that they are multiplied with"""

    filters: int
    side: int


_ON_CPU, _ON_GPU = _Size(512, 64), _Size(2048, 256)
"""Long enough that starting a run doesn't count, short enough that nobody waits."""


def on_gpu(way: Way) -> bool:
    """Whether members run on GPUs in this way."""
    return "CUDA" in way.runtime


def product_gflops(way: Way) -> float:
    """10^9 operations a second of matrix products, run as members are in this way, one on each processor or GPU; the best of some runs."""
    size = _ON_GPU if on_gpu(way) else _ON_CPU
    with tempfile.TemporaryDirectory(prefix="atomstream-") as folder:
        file = Path(folder) / "products.onnx"
        write_products(file, size.filters)
        flop = work_of(file, (size.side, size.side)).flop
        ids = [f"p{k}" for k in range(max(1, len(gpu_names())) if on_gpu(way) else processors())]
        opened = way.open(dict.fromkeys(ids, file), None)
        took = [_run_s(opened, ids, size) for _ in range(1 + _ROUNDS)]
        opened.close()
    return len(ids) * flop / min(took) / 1e9


def _run_s(members: Members, ids: Sequence[str], size: _Size) -> float:
    frame = np.random.default_rng(0).standard_normal((1, 1, size.side, size.side), np.float32)
    start = time.perf_counter()
    members.run(frame, ids)
    return time.perf_counter() - start


def write_products(file: Path, filters: int) -> None:
    """A member of 1 x 1 convolutions, each a matrix product of filters x filters weights and filters x pixels numbers."""
    widths = [1, *([filters] * (_LAYERS + 1)), 1]
    random = np.random.default_rng(0)
    weights = [(random.standard_normal((outputs, inputs, 1, 1)) / np.sqrt(inputs)).astype(np.float32) for inputs, outputs in pairwise(widths)]
    names = ["frame", *(f"x{k}" for k in range(len(weights)))]
    nodes = [helper.make_node("Conv", [names[k], f"w{k}"], [names[k + 1]]) for k in range(len(weights))]
    nodes.append(helper.make_node("Sigmoid", [names[-1]], ["probability"]))
    graph = helper.make_graph(
        nodes,
        "products",
        [helper.make_tensor_value_info("frame", TensorProto.FLOAT, ["n", 1, "h", "w"])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["n", 1, "h", "w"])],
        [numpy_helper.from_array(one, f"w{k}") for k, one in enumerate(weights)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(file))
