"""A simulated frame sent, its answer, and how good that is."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from typing import Any

from atomstream_client import Atoms, Failure, FramePublisher, ResultSubscriber
from atomstream_models.evaluation import MATCH
from atomstream_models.metrics import score
from atomstream_models.simulation import MicroscopeFrame, SimulatedMicroscope, labelled

from ..errors import AtomstreamError
from ._launch import Launched

_SOURCE = "demo/microscope"
_ANSWER_S = 60.0
_WATCHED_S = 0.3
"""From frame to frame, where a person looks on."""


class DemoFailed(AtomstreamError):
    """A frame was not answered, or the demo was asked for something it can't do."""


Line = tuple[FramePublisher, ResultSubscriber]


def check_counts(count: int, seed: int) -> None:
    """Refuse what no demo can run with.

    Raises
    ------
    DemoFailed
        naming the flag.
    """
    if count < 1:
        raise DemoFailed(f"--count is {count}; at least one frame is needed")
    if seed < 0:
        raise DemoFailed(f"--seed is {seed}; 0 or more is needed")


@contextlib.contextmanager
def connected(service: Launched) -> Iterator[Line]:
    """Sockets to the service, for frames and for the answers to them."""
    with FramePublisher(_SOURCE, service.frames) as publisher, ResultSubscriber(service.results, kinds=("atoms", "error"), source=_SOURCE) as subscriber:
        if not publisher.wait_for_reader():
            raise DemoFailed(f"the service does not listen at {service.frames}")
        yield publisher, subscriber


def next_figures(line: Line, microscope: SimulatedMicroscope, k: int) -> dict[str, Any]:
    """Have the microscope's next frame, the k-th, answered, and score the atoms against the truth.

    Raises
    ------
    DemoFailed
        when it is not answered.
    """
    truth = microscope.next_frame()
    begun = time.perf_counter()
    result = _answer(line, truth, k)
    return _figures(k, result, truth, 1 / (time.perf_counter() - begun))


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Take as long as a person needs between frames."""
    begun = time.monotonic()
    yield
    time.sleep(max(0.0, begun + _WATCHED_S - time.monotonic()))


def addresses(service: Launched) -> str:
    """Where the service is reached, in words; the page first."""
    return f"page {service.url}/, REST {service.url}/docs, frames {service.frames}, results {service.results}"


def conclude(frames: list[dict[str, Any]]) -> None:
    """Print how good the first frames' answers were."""
    mild = frames[:8]
    f1 = sum(one["f1"] for one in mild) / len(mild)
    errors = [one["rmse_neighbour"] for one in mild if one["rmse_neighbour"] is not None]
    error = f"{sum(errors) / len(errors):.4f}" if errors else "unknown"
    print(f"first {len(mild)} frames: mean F1 {f1:.4f} at {MATCH} nearest-neighbour distance, localisation error {error} of that distance", flush=True)


def _answer(line: Line, truth: MicroscopeFrame, k: int) -> Atoms:
    publisher, subscriber = line
    publisher.publish(truth.image, frame=k, pixel_size=(truth.pixel_nm, truth.pixel_nm), t_end=time.time())
    deadline = time.monotonic() + _ANSWER_S
    while time.monotonic() < deadline:
        result = subscriber.receive(1.0)
        if isinstance(result, Failure):
            raise DemoFailed(f"frame {k} failed: {result.message}")
        if isinstance(result, Atoms) and result.report.frame == k:
            return result
    raise DemoFailed(f"frame {k} was not answered within {_ANSWER_S:g} s")


def _figures(k: int, result: Atoms, truth: MicroscopeFrame, fps: float) -> dict[str, Any]:
    found = score(result.atoms[:, :2], truth.atoms_yx, MATCH * truth.neighbour_px, labelled(truth))
    rmse_px = None if math.isnan(found.rmse_px) else found.rmse_px
    return {
        "frame": k,
        "atoms": len(result.atoms),
        "f1": found.f1,
        "rmse_px": rmse_px,
        "rmse_neighbour": None if rmse_px is None else rmse_px / truth.neighbour_px,
        "latency_ms": result.report.latency_ms["total"],
        "fps": fps,
        "members_used": list(result.report.members_used),
        "generation": result.report.ensemble.generation,
        "flags": list(result.report.flags),
    }
