"""The image that docker/Containerfile makes: built, started, used from outside, scraped and ended."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from containers import Image, Running, built_image, container, end
from monitoring import PROMETHEUS, RULES, alert_queries, panel_queries
from waiting import until

from atomstream_client import Atoms, ControlClient, FramePublisher, ResultSubscriber
from atomstream_models.metrics import score
from atomstream_models.simulation import SimulatedMicroscope, labelled
from atomstream_service.demo import free_endpoints

pytestmark = pytest.mark.skipif("ATOMSTREAM_IMAGE_TEST" not in os.environ, reason="building an image takes minutes: make image-test")

_ASKED_FOR_LATER = {"elit_access_refused_total", "elit_swap_total", "elit_control_actions_total"}
"""Series that are there only once something happened."""


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """The image, freshly built."""
    with built_image() as built:
        yield built


@pytest.fixture(scope="module")
def service(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The image's own command, only on free ports of this machine's loopback."""
    folder = tmp_path_factory.mktemp("container")
    with container(image) as one, free_endpoints(3) as (frames, results, http):
        one.run("sh", "-c", "mkdir /tmp/keys /tmp/token && keys.sh /tmp/keys /tmp/token")
        key = folder / "microscope.curve.json"
        key.write_text(one.run("cat", "/tmp/keys/microscope.curve.json"))
        viewer = one.run("cat", "/tmp/token/prometheus")
        token = one.run("atomstream", "keys", "token", "add", "kim", "--role", "operator")
        environment = {"ATOMSTREAM_FRAMES": f"tcp://{frames}", "ATOMSTREAM_RESULTS": f"tcp://{results}", "ATOMSTREAM_HTTP": http}
        begun = time.monotonic()
        with one.running(image.config["Cmd"], environment, folder / "log") as process:
            until(lambda: process.poll() is not None or ControlClient(f"http://{http}").wait_ready(0.2), bool, 120)
            assert process.poll() is None, (folder / "log").read_text()
            ready_s = time.monotonic() - begun
            print(f"\nready after {ready_s:.1f} s")
            yield Running(one, process, f"tcp://{frames}", f"tcp://{results}", http, ready_s, token, viewer, key, folder / "log")


def test_the_image_runs_as_nobody_special_and_holds_nothing_of_its_making(image: Image) -> None:
    assert image.config["User"] == "10001:10001"
    assert image.config["StopSignal"] == "SIGTERM"
    assert image.config["Healthcheck"]["Test"][0] == "CMD"
    with container(image) as one:
        assert one.run("id", "-u") == "10001"
        assert one.run("sh", "-c", "ls -d /source /pip /run/secrets/pip.conf /opt/atomstream/bin/pip 2>/dev/null; true") == ""
        assert one.run("sh", "-c", "find /opt/atomstream /etc/atomstream /usr/local -writable ! -type l; true") == ""
        assert "atomstream" in one.run("atomstream", "--version")


def test_a_frame_from_outside_is_answered_by_its_atoms(service: Running) -> None:
    truth = SimulatedMicroscope(1).next_frame()
    with (
        FramePublisher("outside/scope", service.frames, curve=service.key) as publisher,
        ResultSubscriber(service.results, kinds=("atoms",), source="outside/scope", curve=service.key) as results,
    ):
        assert publisher.wait_for_reader()
        publisher.publish(truth.image, pixel_size=(truth.pixel_nm, truth.pixel_nm))
        answer = results.receive(60)

    assert isinstance(answer, Atoms)
    found = score(answer.atoms[:, :2], truth.atoms_yx, 0.35 * truth.neighbour_px, labelled(truth))
    print(f"\n{len(answer.atoms)} atoms, F1 {found.f1:.4f}, {answer.report.latency_ms['total']:.0f} ms, members {', '.join(answer.report.members_used)}")
    assert found.f1 > 0.99


def test_nobody_without_a_token_sees_more_than_whether_it_is_ready(service: Running) -> None:
    assert httpx.get(f"{service.url}/readyz").json() == {"ready": True}
    assert httpx.get(f"{service.url}/v1/status").status_code == 401
    assert httpx.get(f"{service.url}/v1/status", headers={"Authorization": f"Bearer {service.token}"}).status_code == 200


def test_its_own_check_of_health_finds_it_ready(service: Running) -> None:
    check = service.container.image.config["Healthcheck"]["Test"][1:]

    service.container.run("env", f"READY_URL={service.url}/readyz", *check)


def test_the_first_start_found_everything_compiled(service: Running) -> None:
    compiled = ("find", "/var/cache/atomstream", "-name", "*.nbc")

    # The tokens were made between the build and the first start.
    assert len(service.container.run(*compiled).splitlines()) > 10
    assert service.container.run(*compiled, "-newer", "/var/lib/atomstream/access.json") == ""


def test_the_service_writes_to_its_volumes_alone(service: Running) -> None:
    elsewhere = " -o ".join(f"-path {one}" for one in ("/proc", "/sys", "/dev", "/tmp", "/var/lib/atomstream", "/var/cache/atomstream"))
    written = f"find / \\( {elsewhere} \\) -prune -o -type f -user 10001 -newer /var/lib/atomstream/access.json -print 2>/dev/null; true"

    # So its root file system can be read-only.
    assert service.container.run("sh", "-c", written) == ""


@pytest.fixture(scope="module")
def prometheus(service: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Debian's Prometheus with the shipped settings, scraping the container while a second one is its microscope."""
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "token").write_text(service.viewer)
    settings = yaml.safe_load(PROMETHEUS.read_text(encoding="utf-8"))
    scrape = settings["scrape_configs"][0]
    scrape["authorization"]["credentials_file"] = str(folder / "token")
    scrape["static_configs"][0]["targets"] = [service.http]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
    shutil.copy(RULES, folder)
    key = folder / "key"
    key.mkdir()
    shutil.copy(service.key, key)
    shutil.chown(key / service.key.name, 10001)
    key.chmod(0o755)
    simulate = ["simulate", "--to", service.frames, "--curve", f"/run/atomstream/keys/{service.key.name}"]
    with free_endpoints(1) as (address,), container(service.container.image) as other:
        command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data", f"--web.listen-address={address}"]
        with (
            other.running(simulate, {}, folder / "microscope.log", (f"{key}:/run/atomstream/keys:ro",)),
            (folder / "prometheus.log").open("wb") as log,
            subprocess.Popen(command, stdout=log, stderr=log) as process,
        ):
            try:
                yield f"http://{address}/api/v1"
            finally:
                process.terminate()


def _asked(prometheus: str, expression: str) -> list[dict[str, Any]]:
    try:
        answer = httpx.get(f"{prometheus}/query", params={"query": expression})
    except httpx.TransportError:
        return []
    assert answer.status_code in (200, 503), f"{expression}: {answer.text}"
    found: list[dict[str, Any]] = answer.json()["data"]["result"] if answer.status_code == 200 else []
    return found


def test_prometheus_shows_the_series_of_a_microscope_in_a_container(prometheus: str) -> None:
    until(lambda: _asked(prometheus, "up"), lambda found: found and found[0]["value"][1] == "1", 60)
    until(
        lambda: _asked(prometheus, 'elit_frames_answered_total{source="simulated/microscope"}'), lambda found: found and float(found[0]["value"][1]) >= 5, 120
    )
    # A rate needs two scrapes.
    until(lambda: _asked(prometheus, "sum(rate(elit_frames_answered_total[1m])) > 0"), bool, 120)

    for query in panel_queries():
        found = _asked(prometheus, query.expression)
        print(f"{query.where}: {len(found)} series")
        assert found or query.metrics & _ASKED_FOR_LATER, query
    rules = until(lambda: httpx.get(f"{prometheus}/rules").json()["data"]["groups"][0]["rules"], lambda found: all(one["health"] == "ok" for one in found))
    assert [rule["name"] for rule in rules] == [query.where for query in alert_queries()]


def test_it_ends_when_it_is_told_to_and_leaves_no_process(service: Running) -> None:
    code = end(service.process)

    assert code == 0, service.log.read_text()[-2000:]
    left = [
        path
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if b"/opt/atomstream/bin" in _read(path) and service.http.encode() in _read(path.parent / "environ")
    ]
    assert left == []


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
