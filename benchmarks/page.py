"""What the operator's page costs: `python benchmarks/page.py [--only latency|updates|memory] [--minutes 10] [--json FILE]`.

latency   frames at a steady pace, in turns with no page, with a page whose browser is elsewhere (a reader that takes all that a
          page takes, and draws nothing), and with a page in a Chromium that draws on the same processors
updates   frames that a page in Chromium draws a second while they come at 50 a second, with 1150 atoms each, and how old they are then
memory    one page in Chromium for so many minutes, each of its panels in turn, while frames come: what it holds after garbage
          has been collected

Needs Chromium and the extra `dev`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Page, sync_playwright
from trivial import trivial_bundle
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from atomstream_client import Atoms
from atomstream_service.bench import Line, connected, simulated, this_machine
from atomstream_service.demo import Launched, launched

Figures = dict[str, Any]
_TURNS = 8
_SIDE = 512
_PANELS = ("members", "drift", "ensembles", "refine", "atom")


def latency(state: Path) -> Figures:
    return {
        "trivial, 20 frames/s": _latency(state / "trivial", str(trivial_bundle(state / "bundle", -6.0)), 0.05, 100),
        "graphene, 4 frames/s": _latency(state / "graphene", "graphene", 0.25, 24),
    }


def _latency(state: Path, bundle: str, pause_s: float, at_a_time: int) -> Figures:
    kept: dict[str, list[float]] = {"no page": [], "a page elsewhere": [], "a page on the same processors": []}
    with launched(state, bundle=bundle, config='log_level = "warning"') as service, connected(service) as line, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_chromium(), args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"])
        members = [one["id"] for one in service.control().members()["members"]]

        @contextmanager
        def drawn() -> Iterator[None]:
            page = browser.new_page(viewport={"width": 1366, "height": 768})
            page.goto(service.url)
            yield
            page.close()

        conditions: dict[str, Callable[[], AbstractContextManager[None]]] = {
            "no page": nullcontext,
            "a page elsewhere": lambda: _reader(service, members),
            "a page on the same processors": drawn,
        }
        _paced(line, pause_s, 20)
        for _ in range(_TURNS):
            for name, opened in conditions.items():
                with opened():
                    _paced(line, pause_s, 10)
                    kept[name] += _paced(line, pause_s, at_a_time)
        browser.close()
    alone = kept["no page"]
    return {
        name: {
            "frames": len(times),
            "median_ms": statistics.median(times),
            "p99_ms": float(np.percentile(times, 99)),
            "median_ratio": statistics.median(times) / statistics.median(alone),
            "p99_ratio": float(np.percentile(times, 99) / np.percentile(alone, 99)),
        }
        for name, times in kept.items()
    }


def _paced(line: Line, pause_s: float, count: int) -> list[float]:
    """Milliseconds from each frame's arrival to its answer, by the service's own clock."""
    frames = simulated(_SIDE, 4)
    took: list[float] = []
    for k in range(count):
        began = time.monotonic()
        line.send(frames[k], frames.pixel_nm, k)
        while not isinstance(answer := line.results.receive(10.0), Atoms):
            assert answer is not None, f"frame {k} was not answered"
        took.append(answer.report.latency_ms["total"])
        time.sleep(max(0.0, began + pause_s - time.monotonic()))
    return took


@contextmanager
def _reader(service: Launched, members: list[str]) -> Iterator[None]:
    """Takes what a page of 1366x768 with its members open takes."""
    view = {"layers": ["frame"], "longest_px": 738, "thumbs": [f"member:{one}" for one in members], "thumb_px": 140}
    with connect(service.url.replace("http", "ws") + "/v1/live", max_size=None) as socket:
        socket.send(json.dumps({"kind": "view", "view": view, "frame": None}))

        def read() -> None:
            try:
                for _ in socket:
                    pass
            except ConnectionClosed:
                pass

        thread = threading.Thread(target=read)
        thread.start()
        yield
        socket.close()
        thread.join()


def updates(state: Path) -> Figures:
    kept: Figures = {}
    with (
        launched(state, bundle=str(trivial_bundle(state / "bundle", -6.0)), config='log_level = "warning"') as service,
        connected(service) as line,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=_chromium(), args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"])
        for panel in ("members", "drift"):
            page = browser.new_page(viewport={"width": 1366, "height": 768})
            page.goto(service.url)
            page.click(f"#tab-{panel}")
            _paced(line, 0.02, 50)
            page.evaluate(_COUNT)
            began = time.monotonic()
            _paced(line, 0.02, 500)
            seconds = time.monotonic() - began
            ages = page.evaluate("window.ages")
            kept[panel] = {
                "sent_per_s": 500 / seconds,
                "drawn_per_s": len(ages) / seconds,
                "age_ms_median": statistics.median(ages),
                "age_ms_p95": float(np.percentile(ages, 95)),
            }
            page.close()
        browser.close()
    return kept


_COUNT = """() => {
  window.ages = [];
  window.atomstream.connection.addEventListener("frame", ({ detail }) => window.ages.push(Date.now() - 1000 * detail.report.t_recv));
}"""


def memory(state: Path, minutes: float) -> Figures:
    rows: list[Figures] = []
    with (
        launched(state, bundle=str(trivial_bundle(state / "bundle", -6.0)), config='log_level = "warning"') as service,
        connected(service) as line,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=_chromium(), args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"])
        page = browser.new_page(viewport={"width": 1366, "height": 768})
        page.goto(service.url)
        ends = time.monotonic() + 60 * minutes
        while time.monotonic() < ends:
            for panel in _PANELS:
                page.click(f"#tab-{panel}")
                _paced(line, 1 / 30, 120)
            rows.append({"minute": round((60 * minutes - (ends - time.monotonic())) / 60, 2), **_held(page)})
            print(json.dumps(rows[-1]), flush=True)
        browser.close()
    warm = rows[len(rows) // 5 :]
    at = [row["minute"] for row in warm]
    return {"rows": rows, "growth_a_minute": {name: float(np.polyfit(at, [row[name] for row in warm], 1)[0]) for name in ("heap_mb", "nodes", "listeners")}}


def _held(page: Page) -> Figures:
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    heap = session.send("Runtime.getHeapUsage")
    counted = session.send("Memory.getDOMCounters")
    session.detach()
    return {"heap_mb": heap["usedSize"] / 1e6, "nodes": counted["nodes"], "listeners": counted["jsEventListeners"]}


def _chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert found is not None, "no Chromium is installed"
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("latency", "updates", "memory"))
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures: Figures = {"machine": asdict(this_machine())}
    with tempfile.TemporaryDirectory(prefix="atomstream-bench-") as folder:
        if options.only in (None, "latency"):
            figures["latency"] = latency(Path(folder) / "latency")
            print(json.dumps(figures["latency"], indent=2), flush=True)
        if options.only in (None, "updates"):
            figures["updates"] = updates(Path(folder) / "updates")
            print(json.dumps(figures["updates"], indent=2), flush=True)
        if options.only in (None, "memory"):
            figures["memory"] = memory(Path(folder) / "memory", options.minutes)
            print(json.dumps(figures["memory"]["growth_a_minute"]), flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
