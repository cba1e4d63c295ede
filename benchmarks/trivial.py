"""The smallest ensemble that answers like any other: what is left of a frame's time is everything but the networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from atomstream_models.bundle import GoldenFrame, MemberSource, write_bundle
from atomstream_models.locate import locate
from atomstream_models.normalize import robust
from atomstream_service.bench import simulated


def trivial_bundle(folder: Path, bias: float) -> Path:
    """One member, one 1x1 convolution: probability = sigmoid(4 * normalised frame + bias)."""
    weights = numpy_helper.from_array(np.array([[[[4.0]]]], np.float32), "w")
    biases = numpy_helper.from_array(np.array([bias], np.float32), "b")
    graph = helper.make_graph(
        [helper.make_node("Conv", ["frame", "w", "b"], ["logit"]), helper.make_node("Sigmoid", ["logit"], ["probability"])],
        "trivial",
        [helper.make_tensor_value_info("frame", TensorProto.FLOAT, ["n", 1, "h", "w_"])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["n", 1, "h", "w_"])],
        [weights, biases],
    )
    folder.mkdir(parents=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(folder / "m.onnx"))
    about = {"name": "trivial", "version": "1", "created": "", "classes": ["atom"], "origin": "experimental", "normalization": {"name": "robust"}}
    golden = []
    for image in simulated(64, 2).images:
        mean = (1 / (1 + np.exp(-(4 * robust(image) + bias))))[None].astype(np.float32)
        golden.append(GoldenFrame(image, None, mean, None, len(locate(mean, None, (), 0.5))))
    write_bundle(folder / "bundle", about, [MemberSource("m00", folder / "m.onnx")], golden)
    return folder / "bundle"
