"""The file of settings and the systemd unit that are shipped."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT

from atomstream_service.cli import main
from atomstream_service.config import Config, config_example, load_config

_EXAMPLE = ROOT / "deploy" / "atomstream.toml"
_UNIT = ROOT / "deploy" / "atomstream.service"


def test_the_shipped_file_of_settings_is_the_codes_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert _EXAMPLE.read_text(encoding="utf-8") == config_example()

    assert main(["serve", "--example"]) == 0
    assert capsys.readouterr().out == config_example()


def test_the_file_of_settings_changes_nothing_as_it_is_nor_with_every_line_taken_in(tmp_path: Path) -> None:
    taken_in = re.sub(r"^#(?=\[|\w+ = )", "", _EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    (tmp_path / "all.toml").write_text(taken_in, encoding="utf-8")

    assert load_config(_EXAMPLE) == Config()
    assert load_config(tmp_path / "all.toml") == Config()


def test_the_file_of_settings_names_every_setting_of_the_schema() -> None:
    schema = json.loads((ROOT / "docs" / "config.schema.json").read_text(encoding="utf-8"))
    text = _EXAMPLE.read_text(encoding="utf-8")
    named = re.findall(r"^#(?:\[+)?(\w+)(?:\]+| =)", text, re.MULTILINE)

    wanted = [*schema["properties"], *(key for part in schema["$defs"].values() for key in part["properties"])]
    assert sorted(named) == sorted(wanted)


def test_the_unit_lets_the_service_write_where_it_keeps_things_and_nowhere_else() -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(re.sub(r"^Environment=(\w+)=", r"\1=", _UNIT.read_text(encoding="utf-8"), flags=re.MULTILINE))
    service = unit["Service"]

    assert service["ProtectSystem"] == "strict"
    assert service["NoNewPrivileges"] == "yes"
    assert service["Restart"] == "on-failure"
    assert service["ATOMSTREAM_STATE"] == f"/var/lib/{service['StateDirectory']}"
    assert service["NUMBA_CACHE_DIR"].startswith(f"/var/cache/{service['CacheDirectory']}/")
    # Machine code is made at run time.
    assert "MemoryDenyWriteExecute" not in service


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
def test_systemd_takes_the_unit_and_finds_it_well_confined(tmp_path: Path) -> None:
    unit = tmp_path / "atomstream.service"
    # Nothing is installed under /opt where this is tested.
    unit.write_text(_UNIT.read_text(encoding="utf-8").replace("ExecStart=/opt/atomstream/bin/atomstream", f"ExecStart={shutil.which('env')} atomstream"))

    verified = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stderr) == (0, "")
    rated = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=25", str(unit)], capture_output=True, text=True, check=False)
    assert rated.returncode == 0, rated.stdout
