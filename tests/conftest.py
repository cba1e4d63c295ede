from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from browsing import launched_browser
from hypothesis import settings
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from playwright.sync_api import Browser

from atomstream_models.bundle import Bundle, GoldenFrame, MemberSource, open_bundle, write_bundle
from atomstream_models.locate import locate
from atomstream_models.normalize import normalizer
from atomstream_service.demo import Launched, launched
from atomstream_service.logs import flush_logs

# A shell that started this in the background has SIGINT ignored, and what is ignored stays so in every process that a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# No test is about time, and the first example may wait for a compiler.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
# To race the runtimes takes a second at every start of a service; where that is what a test is about, it says so.
os.environ["ATOMSTREAM_RUNTIME"] = "onnxruntime"

ROOT = Path(__file__).parents[1]
REAL_FRAMES = ROOT.parent / "shared" / "data"

real_frames = pytest.mark.skipif(not REAL_FRAMES.is_dir(), reason="the folder of real frames is not here")


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """What a test sets up for the logs of the process, a command does, ends with it."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    flush_logs()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


def write_member(path: Path, weight: float, bias: float, classes: int = 1, root: bool = False) -> Path:
    """A member that is one 1x1 convolution and a sigmoid: probability = sigmoid(weight * frame + bias) in every class.

    root : take the square root before the sigmoid, which fails (NaN) wherever it is of something negative
    """
    weights = numpy_helper.from_array(np.full((classes, 1, 1, 1), weight, np.float32), "w")
    biases = numpy_helper.from_array(np.full((classes,), bias, np.float32), "b")
    last = helper.make_node("Sqrt" if root else "Identity", ["linear"], ["logit"])
    graph = helper.make_graph(
        [helper.make_node("Conv", ["frame", "w", "b"], ["linear"]), last, helper.make_node("Sigmoid", ["logit"], ["probability"])],
        "member",
        [helper.make_tensor_value_info("frame", TensorProto.FLOAT, ["n", 1, "h", "w_"])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["n", classes, "h", "w_"])],
        [weights, biases],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(path))
    return path


def about(**changes: object) -> dict[str, object]:
    """A card's keys for `write_bundle`."""
    return {
        "name": "plain",
        "version": "1",
        "created": "2026-11-22T00:00:00+00:00",
        "classes": ["atom"],
        "background": None,
        "origin": "experimental",
        "normalization": {"name": "none", "parameters": {}},
        "pixel_size_nm": None,
        "threshold": 0.5,
        "downsample": 8,
        "license": "MIT",
        **changes,
    }


def make_plain_bundle(
    folder: Path, biases: tuple[float, ...] = (-1.0, -1.0), fragile: int | None = None, normalization: str = "none", **changes: object
) -> Bundle:
    """A bundle of tiny members that see an atom wherever the frame exceeds about 1; members differ in their bias.

    fragile : number of a member that fails on frames with something far below zero
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = [write_member(folder / f"raw{k}.onnx", 2.0, bias, root=k == fragile) for k, bias in enumerate(biases)]
    members = [MemberSource(f"m{k:02d}", file) for k, file in enumerate(files)]
    golden = [golden_of(dots((56, 64), [centre]), biases, fragile, normalization) for centre in ((20.0, 30.0), (40.0, 10.0))]
    write_bundle(folder / "bundle", about(normalization={"name": normalization}, **changes), members, golden)
    return open_bundle(folder / "bundle")


def golden_of(frame: NDArray[np.float32], biases: tuple[float, ...], fragile: int | None = None, normalization: str = "none") -> GoldenFrame:
    """What `make_plain_bundle`'s members answer to a frame, worked out by hand."""
    linear = [2 * normalizer(normalization)(frame) + bias for bias in biases]
    maps = np.stack([1 / (1 + np.exp(-(np.sqrt(one) if k == fragile else one))) for k, one in enumerate(linear)])[:, None]
    mean = maps.mean(axis=0).astype(np.float32)
    std = maps.std(axis=0).astype(np.float32) if len(biases) > 1 else None
    return GoldenFrame(frame, None, mean, std, len(locate(mean, None, (), 0.5)))


def dots(shape: tuple[int, int], centres: list[tuple[float, float]], sigma: float = 2.0, height: float = 3.0) -> NDArray[np.float32]:
    """A frame with one Gaussian at each centre (y, x), on a background that is nowhere quite constant."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    image: NDArray[np.float64] = 1e-3 * x / shape[1]
    for cy, cx in centres:
        image += height * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * sigma**2))
    return image.astype(np.float32)


@pytest.fixture
def plain_bundle(tmp_path: Path) -> Bundle:
    return make_plain_bundle(tmp_path / "plain")


@pytest.fixture(scope="session")
def graphene() -> Bundle:
    return open_bundle(ROOT / "models" / "atomstream_models" / "ensembles" / "graphene")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    """A real service in processes of its own, with the shipped ensemble."""
    with launched(tmp_path_factory.mktemp("service") / "state") as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched_browser() as started:
        yield started
