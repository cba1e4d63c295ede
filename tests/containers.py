"""A real image, built and run without an engine for containers: by buildah, in a chroot, on a Debian made by debootstrap."""

from __future__ import annotations

import configparser
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conftest import ROOT

_STORE = Path(os.environ.get("ATOMSTREAM_IMAGE_STORE", Path.home() / ".cache" / "atomstream-image"))
"""Where images are kept; the base in it is made once."""
_BASE = "localhost/bookworm-python"
_IMAGE = "localhost/atomstream-tested"
_BUILT_IN_S = 1800
_PIP_KEYS = ("index-url", "extra-index-url", "trusted-host", "cert", "timeout", "proxy")
"""What of this machine's settings for pip a build may need, too."""


@dataclass(frozen=True)
class Image:
    """An image.

    config : what it says of itself, as Docker keeps it
    """

    name: str
    config: dict[str, Any]


def buildah(*arguments: str, timeout_s: float = 300) -> str:
    """What a command of buildah prints."""
    done = subprocess.run([*_command(), *arguments], cwd=ROOT, capture_output=True, text=True, timeout=timeout_s, check=False)
    assert done.returncode == 0, f"buildah {' '.join(arguments)}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done.stdout.strip()


def _command() -> list[str]:
    return ["buildah", "--storage-driver", "vfs", "--root", str(_STORE / "images"), "--runroot", str(_STORE / "run")]


@contextlib.contextmanager
def built_image() -> Iterator[Image]:
    """The image, freshly built; or that which the variable ATOMSTREAM_IMAGE names, if it was built before."""
    missing = [one for one in ("buildah", "debootstrap", "prometheus") if shutil.which(one) is None]
    assert not missing, f"not installed: {', '.join(missing)}"
    _STORE.mkdir(parents=True, exist_ok=True)
    there = os.environ.get("ATOMSTREAM_IMAGE")
    if there is not None:
        yield _inspected(there)
        return
    if _BASE not in buildah("images", "--format", "{{.Name}}"):
        _make_base()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        secret = Path(folder) / "pip.conf"
        secret.write_text(_pip_settings())
        options = ["--isolation", "chroot", "--format", "docker", "--volume", "/etc/ssl/certs:/etc/ssl/certs:ro", "--secret", f"id=pip,src={secret}"]
        buildah("bud", *options, "--build-arg", f"BASE={_BASE}", "--tag", _IMAGE, "--file", "docker/Containerfile", ".", timeout_s=_BUILT_IN_S)
    print(f"\nbuilt in {time.monotonic() - begun:.0f} s")
    try:
        yield _inspected(_IMAGE)
    finally:
        buildah("rmi", "--force", _IMAGE)


def _inspected(name: str) -> Image:
    (size,) = buildah("images", "--format", "{{.Size}}", name).splitlines()
    print(f"\n{name}: {size}")
    return Image(name, json.loads(buildah("inspect", "--type", "image", name))["Docker"]["config"])


def _make_base() -> None:
    """Debian 12 with Python, from where this machine's own packages come."""
    mirrors = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Codename: bookworm"], capture_output=True, text=True, check=False)
    with tempfile.TemporaryDirectory() as folder:
        command = ["debootstrap", "--variant=minbase", "--include=python3,ca-certificates", "bookworm", folder, *mirrors.stdout.split()[:1]]
        subprocess.run(command, check=True, capture_output=True, timeout=_BUILT_IN_S)
        for downloaded in (Path(folder) / "var").glob("cache/apt/archives/*.deb"):
            downloaded.unlink()
        container = buildah("from", "scratch")
        buildah("add", "--quiet", container, folder, "/")
        buildah("commit", "--rm", "--quiet", container, _BASE)


def _pip_settings() -> str:
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True).stdout
    values = {name.rpartition(".")[2]: value.strip("'") for name, _, value in (line.partition("=") for line in listed.splitlines())}
    settings = configparser.RawConfigParser()
    settings["global"] = {name: value for name, value in values.items() if name in _PIP_KEYS and "file:" not in value}
    with tempfile.TemporaryFile("w+") as text:
        settings.write(text)
        text.seek(0)
        return text.read()


@dataclass(frozen=True)
class Container:
    """A container of an image; its volumes live as long as it does."""

    name: str
    image: Image

    @property
    def _run(self) -> list[str]:
        return ["run", "--isolation", "chroot", self.name, "--"]

    def run(self, *command: str) -> str:
        """What a command in it prints."""
        return buildah(*self._run, *command)

    @contextlib.contextmanager
    def running(self, command: list[str], environment: dict[str, str], log: Path, volumes: tuple[str, ...] = ()) -> Iterator[subprocess.Popen[bytes]]:
        """The image's entrypoint with a command; ended as an engine for containers ends it."""
        options = [word for name, value in environment.items() for word in ("--env", f"{name}={value}")]
        options += [word for volume in volumes for word in ("--volume", volume)]
        whole = [*_command(), "run", "--isolation", "chroot", *options, self.name, "--", *self.image.config["Entrypoint"], *command]
        with log.open("wb") as out:
            process = subprocess.Popen(whole, stdout=out, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            end(process)


def end(process: subprocess.Popen[bytes]) -> int:
    """Tell what runs in the container to end with the image's signal; returns its exit code."""
    if process.poll() is None:
        first = _main_process(process.pid)
        if first is not None:
            os.kill(first, signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
    return process.returncode


def _main_process(pid: int) -> int | None:
    """The program itself, below buildah's own processes."""
    while (children := _children(pid)) and "buildah" in Path(f"/proc/{pid}/cmdline").read_text():
        pid = children[0]
    return pid if "buildah" not in Path(f"/proc/{pid}/cmdline").read_text() else None


def _children(pid: int) -> list[int]:
    return [int(one) for task in Path(f"/proc/{pid}/task").iterdir() for one in (task / "children").read_text().split()]


@contextlib.contextmanager
def container(image: Image) -> Iterator[Container]:
    """A fresh container."""
    name = buildah("from", "--pull-never", image.name)
    try:
        yield Container(name, image)
    finally:
        buildah("rm", name)


@dataclass(frozen=True)
class Running:
    """The service in its container, with the keys that `keys.sh` made.

    ready_s : from its start to the first good answer of /readyz
    token : an operator's
    viewer : Prometheus'
    key : the file with the microscope's key
    """

    container: Container
    process: subprocess.Popen[bytes]
    frames: str
    results: str
    http: str
    ready_s: float
    token: str
    viewer: str
    key: Path
    log: Path

    @property
    def url(self) -> str:
        return f"http://{self.http}"
