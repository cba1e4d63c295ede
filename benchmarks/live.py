"""How fast and how safe the live path is: `make bench`, or `python benchmarks/live.py [--only NAME] [--json FILE]`.

toggle    a member toggled over REST while frames stream as fast as they are answered: what holds, what is lost
ceiling   a bundle of one trivial member: what the path around the networks takes
overhead  frames end to end against the same path without the service
scans     a slow scan whose lines are sent as they come, followed in strips, against the same frame sent only when it is complete
recovery  kill -9 of the engine while frames stream
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from trivial import trivial_bundle

from atomstream_client import Atoms, Maps
from atomstream_models.analysis import finish, infer, prepare
from atomstream_models.bundle import find_bundle, open_bundle
from atomstream_models.each import Sharing
from atomstream_models.runtime import LoadedEnsemble, load_ensemble, processors
from atomstream_service.bench import SOURCE, Frames, Stream, connected, simulated, spread, this_machine
from atomstream_service.demo import Launched, launched

Figures = dict[str, Any]
ROUNDS = 3


def toggle(state: Path) -> Figures:
    """200 toggles over REST under a 256x256 stream."""
    frames = simulated(256, 4)
    with (
        launched(state, config="warm_shapes = [[256, 256]]") as service,
        connected(service) as line,
        Stream(line, frames) as stream,
    ):
        control = service.control("bench")
        start = control.members()
        members_at = {start["generation"]: {one["id"] for one in start["members"]}}
        changes: list[tuple[float, int]] = []
        took: list[float] = []
        ids = sorted(members_at[start["generation"]])
        enabled = set(ids)
        for k in range(200):
            member = ids[k // 2 % len(ids)]
            enabled ^= {member}
            begun = time.perf_counter()
            generation = control.set_member(member, "enabled" if member in enabled else "disabled", "bench")
            took.append(1000 * (time.perf_counter() - begun))
            changes.append((time.time(), generation))
            members_at[generation] = set(enabled)
        time.sleep(1)
        dropped = control.status()["streams"][SOURCE]["dropped"]
    answers = [atoms for _, atoms in stream.answers]
    wrong = sum(set(one.report.members_used) != members_at[one.report.ensemble.generation] for one in answers)
    stale = sum(any(one.report.t_done > t and one.report.ensemble.generation < generation for t, generation in changes) for one in answers)
    return {
        "toggles": len(changes),
        "frames_answered": len(answers),
        "frames_lost": stream.unanswered + sum(dropped.values()),
        "results_with_an_older_generation_after_the_answer": stale,
        "results_whose_members_do_not_fit_their_generation": wrong,
        "toggle_ms_median": statistics.median(took),
        "toggle_ms_max": max(took),
    }


def ceiling(state: Path) -> Figures:
    """512x512 uint16 frames through one trivial member, maps published; with a handful of atoms a frame, and with a lattice of them."""
    return {"few_atoms": _ceiling(state / "few", -24.0), "a_lattice_of_atoms": _ceiling(state / "many", -6.0)}


def _ceiling(state: Path, bias: float) -> Figures:
    """Latency with one frame at a time, rate with three in flight."""
    bundle = trivial_bundle(state / "trivial", bias)
    frames = simulated(512, 4)
    config = '[[frames]]\npolicy = "queue"\ndepth = 8\n'
    latencies: list[float] = []
    rates: list[float] = []
    with launched(state / "s", bundle=str(bundle), config=config) as service, connected(service, ("maps",)) as line:
        for k in range(50):
            line.ask(frames[k], frames.pixel_nm, k, Maps)
        for _ in range(ROUNDS):
            one = [line.ask(frames[k], frames.pixel_nm, 1000 + k, Maps) for k in range(300)]
            latencies += [ms for ms in one if ms is not None]
            rates.append(line.rate(frames, 600, in_flight=3))
        atoms = len(service.control().latest().atoms)
        status = service.control().status()
    return {
        "atoms_a_frame": atoms,
        "frames_per_s_median": statistics.median(rates),
        "frames_per_s_all": rates,
        "latency_ms_median": statistics.median(latencies),
        "latency_ms_p99": float(np.percentile(latencies, 99)),
        "stages_ms": {stage: one["p50"] for stage, one in status["latency_ms"].items()},
        "lost": sum(status["streams"][SOURCE]["dropped"].values()),
    }


def overhead(state: Path) -> Figures:
    """512x512 uint16 frames with maps published, end to end against the same path without the service: prepare, run the members, locate.

    Both take turns. Meanwhile somebody reads status, metrics and the latest pictures as often as an open page does.
    """
    return {"trivial": _overhead(state / "trivial", str(trivial_bundle(state / "bundle", -6.0)), 60), "graphene": _overhead(state / "graphene", "graphene", 4)}


def _overhead(state: Path, bundle: str, at_a_time: int) -> Figures:
    frames = simulated(512, 1)
    ensemble = load_ensemble(open_bundle(find_bundle(bundle, state)))
    end_to_end: list[float] = []
    bare: list[float] = []
    config = 'runtime = "onnxruntime"'
    with (
        launched(state, bundle=bundle, config=config) as service,
        connected(service, ("atoms", "maps")) as line,
        Sharing(processors()) as helpers,
        _read_along(service),
    ):
        for k in range(5):
            line.ask(frames[0], frames.pixel_nm, k, Maps)
            _bare_ms(ensemble, frames, helpers)
        for turn in range(8 * ROUNDS):
            asked = [line.ask(frames[0], frames.pixel_nm, 100 + at_a_time * turn + k, Maps) for k in range(at_a_time)]
            end_to_end += [ms for ms in asked if ms is not None]
            time.sleep(0.3)
            bare += [_bare_ms(ensemble, frames, helpers) for _ in range(at_a_time)]
        status = service.control().status()
    ensemble.close()
    without = statistics.median(bare)
    return {
        "end_to_end_ms": asdict(spread(end_to_end)),
        "without_the_service_ms": asdict(spread(bare)),
        "overhead_ms_median": statistics.median(end_to_end) - without,
        "overhead_ms_p99": float(np.percentile(end_to_end, 99)) - without,
        "stages_ms": {stage: one["p50"] for stage, one in status["latency_ms"].items()},
    }


def _bare_ms(ensemble: LoadedEnsemble, frames: Frames, helpers: Sharing) -> float:
    card = ensemble.card
    start = time.perf_counter()
    finish(infer(prepare(frames[0], (frames.pixel_nm, frames.pixel_nm), card), card, card.member_ids, ensemble.answer, helpers.each), card, helpers.each)
    return 1000 * (time.perf_counter() - start)


@contextmanager
def _read_along(service: Launched) -> Iterator[None]:
    over = threading.Event()

    def read() -> None:
        control = service.control("bench")
        while not over.wait(0.5):
            control.status()
            with urllib.request.urlopen(service.url + "/metrics", timeout=10) as metrics:
                metrics.read()
            for layer in ("frame", "mean", "member:m00"):
                control.latest_png(layer)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield
    finally:
        over.set()
        reader.join()


def scans(state: Path) -> Figures:
    """512 rows in 4 s, sent 16 at a time: from the complete frame to its atoms, with the service following the scan, and without; in turns."""
    rows_at_a_time, rows = 16, 512
    frames = simulated(rows, 1)
    image = frames[0]
    waited: dict[str, list[float]] = {"followed": [], "whole": []}
    config = f'runtime = "onnxruntime"\nstrip_rows = {rows_at_a_time}\n'
    with launched(state, config=config) as service, connected(service) as line:
        for k in range(3):
            line.ask(frames[0], frames.pixel_nm, k)
        for turn in range(4 * ROUNDS):
            partial = np.zeros_like(image)
            for first in range(0, rows, rows_at_a_time):
                partial[first : first + rows_at_a_time] = image[first : first + rows_at_a_time]
                time.sleep(4 / (rows // rows_at_a_time))
                seen = first + rows_at_a_time
                if seen < rows:
                    line.publisher.publish(partial, frame=100 + turn, complete=False, valid_rows=(0, seen), pixel_size=(frames.pixel_nm, frames.pixel_nm))
            ms = line.ask(frames[0], frames.pixel_nm, 100 + turn)
            waited["followed"] += [] if ms is None else [ms]
            time.sleep(0.5)
            ms = line.ask(frames[0], frames.pixel_nm, 500 + turn)
            waited["whole"] += [] if ms is None else [ms]
        counted = service.control().status()["scans"]
    ratios = [one / other for one, other in zip(waited["followed"], waited["whole"], strict=True)]
    return {"after_the_last_row_ms": {name: asdict(spread(ms)) for name, ms in waited.items()}, "ratio_median": statistics.median(ratios), "scans": counted}


def recovery(state: Path) -> Figures:
    """kill -9 of the engine under a stream: time to the next result, and the control plane's answers meanwhile."""
    frames = simulated(256, 2)
    outages: list[float] = []
    slowest: list[float] = []
    same = True
    with launched(state) as service, connected(service) as line:
        control = service.control("bench")
        control.choose_members(["m01", "m02", "m05"])
        for k in range(ROUNDS):
            line.ask(frames[0], frames.pixel_nm, k)
            os.kill(control.status()["engine"]["pid"], signal.SIGKILL)
            killed = time.perf_counter()
            worst = 0.0
            while True:
                begun = time.perf_counter()
                control.status()
                worst = max(worst, time.perf_counter() - begun)
                line.send(frames[1], frames.pixel_nm)
                result = line.results.receive(0.05)
                if isinstance(result, Atoms):
                    same &= result.report.members_used == ("m01", "m02", "m05")
                    break
            outages.append(time.perf_counter() - killed)
            slowest.append(1000 * worst)
            time.sleep(3)
            while line.results.receive(0.2) is not None:
                pass
    return {"kill_to_next_result_s": outages, "slowest_status_answer_ms": slowest, "same_members": same}


BENCHMARKS: dict[str, Callable[[Path], Figures]] = {"toggle": toggle, "ceiling": ceiling, "overhead": overhead, "scans": scans, "recovery": recovery}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=BENCHMARKS, action="append")
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    figures: Figures = {"machine": this_machine().as_json()}
    for name in given.only or BENCHMARKS:
        with tempfile.TemporaryDirectory(prefix="atomstream-bench-") as folder:
            figures[name] = BENCHMARKS[name](Path(folder))
        print(json.dumps({name: figures[name]}, indent=2), flush=True)
    if given.json is not None:
        given.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
