"""Where the time of a frame goes, as a picture: `python benchmarks/frame_profile.py PICTURE.png [--json FILE]`.

A 512x512 uint16 frame of graphene through the shipped ensemble, step by step on one thread but for the members, in every way that this machine has;
then the same frame through the service. What the service takes beyond the steps is queues, sockets, and work that was done beside.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from numpy.typing import NDArray

from atomstream_models.analysis import infer, prepare
from atomstream_models.bundle import find_bundle, open_bundle
from atomstream_models.combine import mean_std
from atomstream_models.locate import foreground_of
from atomstream_models.locate._border import border_of
from atomstream_models.locate._cells import cells_around
from atomstream_models.locate._outlines import outlines_of
from atomstream_models.locate._peaks import find_peaks
from atomstream_models.locate._votes import votes_of
from atomstream_models.runtime import LoadedEnsemble, load_in, ways_here
from atomstream_service.bench import connected, simulated
from atomstream_service.demo import launched
from atomstream_service.drift import score_frame
from atomstream_wire import Frame, Maps, decode_frame, encode_frame

_PIXEL_NM = 0.0104
_ROUNDS = 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    bundle = open_bundle(find_bundle("graphene", Path(tempfile.gettempdir())))
    image = simulated(512, 1)[0]
    ways = ways_here("auto", "auto", "fast")[0]
    members_ms = {}
    for way in ways:
        ensemble = load_in(way, bundle, None)
        members_ms[str(way)] = _members_ms(ensemble, image)
    steps = _steps(ensemble, image)
    figures = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.platform()}, {os.cpu_count()} processors",
        "versions": {name: version(name) for name in ("atomstream", "onnxruntime", "openvino", "numba", "numpy")},
        "members_ms": members_ms,
        "steps_ms": steps,
        "service_ms": _through_the_service(image),
    }
    print(json.dumps(figures, indent=2))
    _draw(figures, given.picture)
    if given.json is not None:
        given.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def _members_ms(ensemble: LoadedEnsemble, image: NDArray[np.uint16]) -> float:
    prepared = prepare(image, (_PIXEL_NM, _PIXEL_NM), ensemble.card)
    assert prepared.tensor is not None
    tensor, members = prepared.tensor, ensemble.card.member_ids
    ensemble.run(tensor, members)
    return _ms(lambda: ensemble.run(tensor, members), 10)


def _steps(ensemble: LoadedEnsemble, image: NDArray[np.uint16]) -> dict[str, float]:
    card = ensemble.card
    prepared = prepare(image, (_PIXEL_NM, _PIXEL_NM), card)
    inferred = infer(prepared, card, card.member_ids, ensemble.answer)
    foreground = foreground_of(inferred.mean)
    peaks, radius_px = find_peaks(foreground, card.threshold)
    shape = (foreground.shape[0], foreground.shape[1])
    cells = cells_around(peaks, radius_px, shape)
    outlines = outlines_of(foreground, inferred.mean, cells, card.threshold)
    border = border_of(outlines, shape)
    sent = [bytes(part) for part in encode_frame(Frame({"HAADF": image}, "session", 1, "bench"))]
    return {
        "read the message": _ms(lambda: decode_frame(sent)),
        "gate, scale, normalise": _ms(lambda: prepare(image, (_PIXEL_NM, _PIXEL_NM), card)),
        "mean and std": _ms(lambda: mean_std(inferred.maps)),
        "sum of the classes": _ms(lambda: foreground_of(inferred.mean)),
        "find the tops": _ms(lambda: find_peaks(foreground, card.threshold)),
        "cells and outlines": _ms(lambda: outlines_of(foreground, inferred.mean, cells_around(peaks, radius_px, shape), card.threshold)),
        "what each member sees": _ms(lambda: votes_of(inferred.maps, cells, card.threshold, border, map)),
        "beside: scores for drift": _ms(lambda: score_frame(1, image, inferred, card)),
    }


def _ms(work: Callable[[], object], rounds: int = _ROUNDS) -> float:
    took = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        took.append(1000 * (time.perf_counter() - start))
    return statistics.median(took)


def _through_the_service(image: NDArray[np.uint16]) -> float:
    """From sending a frame to having its maps, one frame at a time, in the exact way that the service itself takes."""
    with tempfile.TemporaryDirectory() as state, launched(Path(state)) as service, connected(service, ("atoms", "maps")) as line:
        answered = []
        for k in range(_ROUNDS + 3):
            answered.append(line.ask(image, _PIXEL_NM, k, Maps))
            time.sleep(0.1)  # so that what is done beside is over
    return statistics.median(ms for ms in answered[3:] if ms is not None)


def _draw(figures: dict[str, Any], file: Path) -> None:
    mpl.use("Agg")
    steps = figures["steps_ms"]
    within = {name: ms for name, ms in steps.items() if not name.startswith("beside")}
    rest = sum(within.values())
    figure, (above, below) = plt.subplots(2, 1, figsize=(9, 5), height_ratios=(len(figures["members_ms"]), 2), layout="constrained")
    names = list(figures["members_ms"])
    above.barh(names, list(figures["members_ms"].values()), color="#56b4e9", label="members")
    above.barh(names, [rest] * len(names), left=list(figures["members_ms"].values()), color="#d55e00", label=f"everything else, {rest:.1f} ms")
    above.invert_yaxis()
    above.set_title("A frame of 512×512 pixels, eight members, 1100 atoms")
    above.legend(loc="lower right")
    left = 0.0
    for k, (name, ms) in enumerate(within.items()):
        below.barh(["everything else"], [ms], left=left, color=mpl.colormaps["viridis"](k / len(within)), label=f"{name}, {ms:.2f} ms")
        left += ms
    beside = steps["beside: scores for drift"]
    below.barh(["beside the next frame"], [beside], color="#999999", label=f"scores for drift, {beside:.1f} ms")
    below.invert_yaxis()
    below.set_xlabel("ms")
    below.legend(loc="upper left", bbox_to_anchor=(0.0, -0.35), ncols=3, fontsize=8)
    figure.savefig(file, dpi=110)


if __name__ == "__main__":
    main()
