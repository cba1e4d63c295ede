"""The files that make and compose containers, read and run without an engine for containers."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT

from atomstream_service.access import AccessRefused, TokenFile, check_listening
from atomstream_service.config import Config, load_config

_DOCKER = ROOT / "docker"
_COMPOSE = _DOCKER / "compose.yaml"
_PROFILES = ("cpu", "gpu", "simulated", "monitoring")


@pytest.fixture(scope="module")
def composed() -> dict[str, Any]:
    """The composition as its reader sees it, with the defaults of all variables."""
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", _COMPOSE.read_text(encoding="utf-8"))
    read: dict[str, Any] = yaml.safe_load(text)
    return read


def test_the_composition_keeps_to_the_compose_specification() -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(_COMPOSE)]
    done = subprocess.run(check, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("profile", _PROFILES)
def test_whatever_a_profile_starts_finds_what_it_depends_on(composed: dict[str, Any], profile: str) -> None:
    running = {name: one for name, one in composed["services"].items() if "profiles" not in one or profile in one["profiles"]}
    needed = {other for one in running.values() for other in one.get("depends_on", {})}
    mounted = {volume.split(":")[0] for one in running.values() for volume in one.get("volumes", ())}

    assert len(running) > 1
    assert needed <= set(running)
    assert {one for one in mounted if not one.startswith("./")} <= set(composed["volumes"])
    for folder in (one for one in mounted if one.startswith("./")):
        assert (_DOCKER / folder).is_dir(), folder


def test_every_profile_is_one_that_the_head_of_the_file_names(composed: dict[str, Any]) -> None:
    assert {profile for one in composed["services"].values() for profile in one.get("profiles", ())} == set(_PROFILES)


def test_containers_have_no_rights_and_nothing_is_published_beyond_this_machine(composed: dict[str, Any]) -> None:
    for name, one in composed["services"].items():
        assert one["cap_drop"] == ["ALL"], name
        assert one["security_opt"] == ["no-new-privileges:true"], name
        assert one["init"] is True, name
        assert one["read_only"] is True or name == "grafana", name
        assert not {"privileged", "user"} & set(one), name
        assert all(port.startswith("127.0.0.1:") for port in one.get("ports", ())), name


def test_images_from_elsewhere_are_pinned(composed: dict[str, Any]) -> None:
    containerfile = (_DOCKER / "Containerfile").read_text(encoding="utf-8")
    bases = [*re.findall(r"^ARG BASE=(\S+)", containerfile, re.MULTILINE), composed["services"]["service-gpu"]["build"]["args"]["BASE"]]
    bases += [one["image"] for name, one in composed["services"].items() if name in ("prometheus", "grafana")]

    assert len(bases) == 4
    assert all(re.fullmatch(r"[a-z/]+:v?\d+\.\d+\.\d+[\w.-]*", base) for base in bases), bases


def test_a_folder_of_wheels_has_what_the_image_asks_for() -> None:
    (image,) = re.findall(r"^ARG EXTRAS=(\S+)$", (_DOCKER / "Containerfile").read_text(encoding="utf-8"), re.MULTILINE)
    (wheels,) = re.findall(r'"--extras", default="([^"]+)"', (ROOT / "deploy" / "wheelhouse.py").read_text(encoding="utf-8"))

    assert set(image.split(",")) <= set(wheels.split(","))


def test_the_image_runs_as_nobody_special_and_says_whether_it_is_ready() -> None:
    last = (_DOCKER / "Containerfile").read_text(encoding="utf-8").split("\nFROM ")[-1]

    assert re.search(r"^USER [1-9]\d+:[1-9]\d+$", last, re.MULTILINE)
    assert "HEALTHCHECK" in last
    assert "STOPSIGNAL SIGTERM" in last


def test_a_variable_that_begins_as_settings_do_is_a_setting() -> None:
    # The service refuses any other, wherever it comes from.
    files = [*(one for one in _DOCKER.rglob("*") if one.is_file()), ROOT / "docs" / "deployment.md"]
    named = {name.lower() for file in files for name in re.findall(r"ATOMSTREAM_([A-Z][A-Z_]*)", file.read_text(encoding="utf-8"))}

    assert len(named) > 5
    assert named <= set(Config.model_fields)


def test_one_container_builds_the_image_that_others_wait_for(composed: dict[str, Any]) -> None:
    shared = {name: one for name, one in composed["services"].items() if one["image"] == "atomstream:cpu"}

    assert len(shared) == 3
    assert [name for name, one in shared.items() if "build" in one] == ["keys"]
    for name in set(shared) - {"keys"}:
        assert shared[name]["pull_policy"] == "never", name
        assert shared[name]["depends_on"] == {"keys": {"condition": "service_completed_successfully"}}, name


def _in_container(composed: dict[str, Any], state: Path) -> Config:
    """The settings that the service in a container runs with."""
    return load_config(_DOCKER / "atomstream.toml", {**composed["services"]["service"]["environment"], "ATOMSTREAM_STATE": str(state)})


def test_keys_open_a_container_to_their_owners_alone_and_are_made_once(composed: dict[str, Any], tmp_path: Path) -> None:
    config = _in_container(composed, tmp_path / "state")
    with pytest.raises(AccessRefused, match="no valid token"):
        check_listening(config)

    _make_keys(tmp_path)

    assert [line for line in check_listening(config) if "not encrypted" not in line] == []
    assert (config.access, config.needs_curve) == ("token", True)
    assert "service" in config.http_names
    token, key = (tmp_path / "token" / "prometheus").read_text(), (tmp_path / "keys" / "microscope.curve.json").read_text()

    # One that was lost is made anew, the other stays.
    (tmp_path / "token" / "prometheus").unlink()
    _make_keys(tmp_path)

    assert (tmp_path / "token" / "prometheus").read_text() not in ("", token)
    assert (tmp_path / "keys" / "microscope.curve.json").read_text() == key
    assert [one.name for one in TokenFile(tmp_path / "state").records()] == ["prometheus"]


def test_a_state_that_is_made_anew_gets_keys_and_a_token_that_it_knows(tmp_path: Path) -> None:
    token, key = tmp_path / "token" / "prometheus", tmp_path / "keys" / "microscope.curve.json"
    _make_keys(tmp_path)
    before = json.loads(key.read_text())

    shutil.rmtree(tmp_path / "state")
    _make_keys(tmp_path)

    assert TokenFile(tmp_path / "state").check(token.read_text().strip()) in TokenFile(tmp_path / "state").records()
    assert json.loads(key.read_text())["server"] != before["server"]


def _make_keys(folder: Path) -> None:
    for name in ("keys", "token"):
        (folder / name).mkdir(exist_ok=True)
    command = folder / "bin" / "atomstream"
    if not command.exists():
        command.parent.mkdir()
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m atomstream_service "$@"\n')
        command.chmod(0o755)
    environment = {**os.environ, "PATH": f"{command.parent}:{os.environ['PATH']}", "ATOMSTREAM_STATE": str(folder / "state")}
    subprocess.run(["sh", str(_DOCKER / "keys.sh"), str(folder / "keys"), str(folder / "token")], env=environment, check=True, capture_output=True)
