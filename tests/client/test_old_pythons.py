"""The client's own distribution, installed alone, under the oldest and newest Python it promises to run on, with the oldest NumPy and with today's."""

from __future__ import annotations

import signal
import subprocess

import pytest
from conftest import ROOT
from interpreters import NEWEST, OLDEST, environment_of, plain_environment, site_of

from atomstream_client import Atoms, ResultSubscriber
from atomstream_service.demo import Launched


@pytest.mark.parametrize(("version", "packages"), [OLDEST, NEWEST])
def test_the_client_alone_publishes_and_receives(version: str, packages: tuple[str, ...], service: Launched, tmp_path_factory: pytest.TempPathFactory) -> None:
    python = environment_of(version, packages, tmp_path_factory)
    script = ROOT / "tests" / "client" / "old_python.py"
    run = subprocess.run(
        [str(python), "-W", "error", str(script), service.frames, service.results, service.url],
        env=plain_environment(),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert run.returncode == 0, run.stderr
    assert f"python {version}" in run.stdout


def test_autoscript_in_an_old_python_streams_to_a_real_service_and_its_atoms_come_back(service: Launched, tmp_path_factory: pytest.TempPathFactory) -> None:
    python = environment_of(*OLDEST, tmp_path_factory)
    script = ROOT / "clients" / "autoscript" / "atomstream_autoscript.py"
    options = ("--size", "64", "--region", "0.25,0.5,0.5,0.25", "--service", service.frames, "--source", "tfs/titan")
    environment = plain_environment(PYTHONPATH=str(ROOT / "tests" / "client" / "instruments" / "autoscript"))
    with ResultSubscriber(service.results, kinds=("atoms",), source="tfs/titan") as results:
        process = subprocess.Popen([str(python), "-W", "error", str(script), *options], env=environment)
        try:
            answer = results.receive(60)
        finally:
            process.send_signal(signal.SIGINT)
            ended = process.wait(30)

    assert isinstance(answer, Atoms)
    assert answer.report.shape == (48, 64)
    assert answer.report.pixel_size == pytest.approx((0.01, 0.01))  # half of the field
    assert ended == 0


@pytest.mark.parametrize(("version", "packages"), [OLDEST, NEWEST])
def test_the_client_brings_numpy_and_pyzmq_and_nothing_else(version: str, packages: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> None:
    site = site_of(environment_of(version, packages, tmp_path_factory))
    ours = [path for name in ("atomstream_wire", "atomstream_client") for path in (site / name).rglob("*.py")]

    assert {path.name.split("-")[0] for path in site.glob("*.dist-info")} == {"atomstream_client", "numpy", "pyzmq"}
    assert 0 < sum(path.stat().st_size for path in ours) < 200_000
    assert sum(path.stat().st_size for path in site.rglob("*") if path.is_file()) < 100_000_000
