"""An engine whose ensemble is taken over by a better way, here the processor's optimiser in the place of TensorRT."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, dots
from host_device import CompilingHost, compiled_upgrade
from waiting import until

from atomstream_client import ResultSubscriber
from atomstream_models.bundle import Bundle
from atomstream_service.config import Config, FramesEndpoint
from atomstream_service.demo import free_endpoints
from atomstream_service.engine import _engine
from atomstream_service.engine._engine import Engine
from atomstream_service.engine._operations import Operations
from atomstream_service.orders import EngineSpec, Wanted
from atomstream_wire import Event

SHAPE = (64, 96)


@pytest.fixture
def devices() -> list[CompilingHost]:
    return []


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Config]:
    with free_endpoints(2) as (frames, results):
        yield Config(
            frames=(FramesEndpoint(endpoint=f"tcp://{frames}"),),
            results=f"tcp://{results}",
            state=tmp_path / "state",
            device="cpu",
            runtime="onnxruntime",
            tensorrt=True,
            warm_shapes=(SHAPE,),
        )


@pytest.fixture
def engine(tmp_path: Path, plain_bundle: Bundle, config: Config, devices: list[CompilingHost], monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"), prepend=":")
    monkeypatch.setattr(_engine, "tensorrt_upgrade", lambda device, precision, folder: compiled_upgrade(folder, devices))
    wanted = Wanted(generation=7, sha256=plain_bundle.sha256, folder=plain_bundle.folder, states={}, selected=True)
    engine = Engine(EngineSpec(config=config, commands="tcp://127.0.0.1:1", wanted=wanted))
    yield engine
    engine.stop()


def _infer(engine: Engine) -> dict[str, Any]:
    frame = dots(SHAPE, [(20.0, 30.0), (40.0, 70.0)])
    asked = {"dtype": frame.dtype.str, "shape": frame.shape, "pixel_size_nm": None, "timeout_s": 60.0, "maps": True}
    reply = Operations(engine).infer(asked, [frame.tobytes()])
    arrays = {one["name"]: array for one, array in zip(reply.body["arrays"], reply.buffers, strict=True)}
    return {**reply.body["report"], "arrays": arrays}


def test_answers_go_on_under_the_same_generation_and_results_and_status_say_what_gives_them(
    engine: Engine, config: Config, devices: list[CompilingHost]
) -> None:
    with ResultSubscriber(config.results, kinds=("event",)) as subscriber:
        engine.start()
        before, status_before = _infer(engine), Operations(engine).status({}, []).body
        heard: list[Event] = []

        def promoted() -> list[Event]:
            result = subscriber.receive(0.1)
            heard.extend([result] if isinstance(result, Event) else [])
            return [one for one in heard if one.body["state"] == "promoted"]

        (event,) = until(promoted, bool)
        after, status = _infer(engine), Operations(engine).status({}, []).body

    assert (event.kind, event.body["shape"], event.body["way"]) == ("engine", list(SHAPE), "onnxruntime, compiled, float32")
    assert status_before["runtime"] != "onnxruntime, compiled"
    assert status["runtime"] == "onnxruntime, compiled"
    assert [one["stage"] for one in status["upgrade"]["sizes"]] == ["ready"]
    assert before["ensemble"] == after["ensemble"]
    assert after["ensemble"]["generation"] == 7
    for name, array in after["arrays"].items():
        np.testing.assert_allclose(array, before["arrays"][name], atol=1e-4)
    assert list((config.state / "tensorrt").glob("*.onnx"))
    engine.inference.stop()
    assert all(device.closed for device in devices)
