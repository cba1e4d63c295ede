"""What belongs into a folder of wheels for another computer."""

from __future__ import annotations

import importlib.util
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
from conftest import ROOT


@pytest.fixture(scope="module")
def wheelhouse() -> ModuleType:
    spec = importlib.util.spec_from_file_location("wheelhouse", ROOT / "deploy" / "wheelhouse.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _wheel(folder: Path, name: str, *requirements: str) -> None:
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        lines = ["Metadata-Version: 2.1", f"Name: {name}", "Version: 1.0", *(f"Requires-Dist: {one}" for one in requirements), "", "A package."]
        archive.writestr(f"{name}-1.0.dist-info/METADATA", "\n".join(lines))


def test_what_is_missing_goes_by_the_other_computer_and_the_extras_wanted(tmp_path: Path, wheelhouse: ModuleType) -> None:
    _wheel(tmp_path, "atomstream", "numpy>=2", "onnxruntime>=1.22; extra == 'cpu'", "openvino; extra == 'openvino'", "Tifffile[all]")
    _wheel(tmp_path, "numpy")
    _wheel(tmp_path, "tifffile", "colours>=1; sys_platform == 'win32'", "loops; sys_platform != 'win32'", "codecs; extra == 'all'", "numpy")

    def missing(platform: str, *extras: str) -> set[str]:
        found: set[str] = wheelhouse._missing(tmp_path, set(extras), wheelhouse._environment("3.12", platform))
        return found

    assert missing("win_amd64", "cpu") == {"onnxruntime>=1.22", "colours>=1", "codecs"}
    assert missing("manylinux_2_28_x86_64", "cpu", "openvino") == {"onnxruntime>=1.22", "openvino", "loops", "codecs"}


def test_a_package_that_can_not_be_had_is_an_error(
    tmp_path: Path, wheelhouse: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setattr(sys, "argv", ["wheelhouse.py", "--out", str(tmp_path / "wheels")])

    assert wheelhouse.main() == 1
    assert "pip wheel failed" in capfd.readouterr().err
