"""Bundles that are damaged, or made by somebody who means harm: each is refused by the check it fails, and leaves no trace."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import stat
import struct
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from conftest import dots, make_plain_bundle
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from atomstream_models.bundle import Bundle, Limits, pack
from atomstream_service.registry import BundleRefused, Registry, StagerLimits

_LIMITS = StagerLimits(
    wall_s=240, cpu_s=2, memory_bytes=1 << 30, bundle=Limits(entries=40, file_bytes=20 << 20, total_bytes=30 << 20, card_bytes=100_000, free_bytes=1 << 20)
)
_BIASES = (-1.0, -1.5)

Spoil = Callable[[Path], object]
"""Does something to a bundle's folder."""
Wrap = Callable[[Path, Path], object]
"""Makes an archive (second) of a bundle's folder (first)."""


@dataclass(frozen=True)
class Damage:
    """check : the one that must fail; said : what its sentence must name."""

    check: str
    said: str
    spoil: Spoil = lambda folder: None
    wrap: Wrap = pack


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _card(**changes: object) -> Spoil:
    def spoil(folder: Path) -> None:
        card = json.loads((folder / "card.json").read_text())
        (folder / "card.json").write_text(json.dumps({**card, **changes}))

    return spoil


def _entry(part: str, **changes: object) -> Spoil:
    def spoil(folder: Path) -> None:
        card = json.loads((folder / "card.json").read_text())
        card[part][0].update(changes)
        (folder / "card.json").write_text(json.dumps(card))

    return spoil


def _without_key(key: str) -> Spoil:
    def spoil(folder: Path) -> None:
        card = json.loads((folder / "card.json").read_text())
        del card[key]
        (folder / "card.json").write_text(json.dumps(card))

    return spoil


def _file(part: str, name: str, data: bytes) -> Spoil:
    """Replace the first file of a part, with the checksum that goes with it, as somebody would who means harm."""

    def spoil(folder: Path) -> None:
        (folder / part / name).write_bytes(data)
        _entry(part, sha256=_digest(folder / part / name))(folder)

    return spoil


def _model(change: Callable[[onnx.ModelProto], object]) -> Spoil:
    """Change the first member's graph."""

    def spoil(folder: Path) -> None:
        model = onnx.load(str(folder / "members" / "m00.onnx"), load_external_data=False)
        change(model)
        _file("members", "m00.onnx", model.SerializeToString())(folder)

    return spoil


def _nodes(*nodes: NodeProto, weights: dict[str, Any] | None = None, channels: int = 1) -> Spoil:
    """Replace the first member's graph by other nodes, from `frame` to `probability`."""

    def change(model: onnx.ModelProto) -> None:
        del model.graph.node[:], model.graph.initializer[:]
        model.graph.node.extend(nodes)
        model.graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in (weights or {}).items())
        model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = channels

    return _model(change)


def _node(kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> NodeProto:
    return helper.make_node(kind, list(inputs), [output], **attributes)


def _sigmoid(source: str) -> NodeProto:
    return _node("Sigmoid", [source], "probability")


def _golden(**changes: object) -> Spoil:
    """Change arrays of the first golden frame."""

    def spoil(folder: Path) -> None:
        with np.load(folder / "golden" / "00.npz") as file:
            arrays = {name: file[name] for name in file.files}
        stream = io.BytesIO()
        np.savez_compressed(stream, **{name: value for name, value in {**arrays, **changes}.items() if value is not None})
        _file("golden", "00.npz", stream.getvalue())(folder)

    return spoil


def _off(name: str, by: float) -> Spoil:
    def spoil(folder: Path) -> None:
        with np.load(folder / "golden" / "00.npz") as file:
            value = file[name]
        _golden(**{name: (value + by).astype(value.dtype)})(folder)

    return spoil


def _with_a_hole() -> NDArray[np.float32]:
    frame = dots((56, 64), [(20.0, 30.0)])
    frame[5, 6] = np.nan
    return frame


def _one_golden(folder: Path) -> None:
    card = json.loads((folder / "card.json").read_text())
    _card(golden=card["golden"][:1])(folder)


def _same_golden(folder: Path) -> None:
    _file("golden", "00.npz", (folder / "golden" / "01.npz").read_bytes())(folder)


def _pickled(folder: Path) -> None:
    stream = io.BytesIO()
    np.savez(stream, frame=np.array([{"a": 1}], object))
    _file("golden", "00.npz", stream.getvalue())(folder)


def _external(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def _foreign(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "com.microsoft"
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def _own_function(model: onnx.ModelProto) -> None:
    opset = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("", "Relu", ["x"], ["y"], [helper.make_node("Identity", ["x"], ["y"])], opset))


def _rename_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].name = model.graph.node[0].input[0] = "image"


def _rename_output(model: onnx.ModelProto) -> None:
    model.graph.output[0].name = model.graph.node[-1].output[0] = "p"


def _double(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.DOUBLE
    model.graph.node[0].input[0] = "single"
    model.graph.node.insert(0, _node("Cast", ["frame"], "single", to=TensorProto.FLOAT))


def _two_channels(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 2
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.ones((1, 2, 1, 1), np.float32), "w"))


def _two_inputs(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))


def _fixed(model: onnx.ModelProto) -> None:
    for port in (*model.graph.input, *model.graph.output):
        for dim in port.type.tensor_type.shape.dim[2:]:
            dim.dim_value = 64


def _weights(value: float) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.full((1, 1, 1, 1), value, np.float32), "w"))

    return change


def _branches(kind: str) -> NodeProto:
    """An If with two branches, or a Loop, that says what came in."""
    body = helper.make_graph([helper.make_node("Sigmoid", ["frame"], ["inner"])], "g", [], [helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)])
    if kind == "If":
        return _node("If", ["flag"], "probability", then_branch=body, else_branch=body)
    loop = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Sigmoid", ["x"], ["next"])],
        "g",
        [
            helper.make_tensor_value_info("k", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, None),
        ],
        [helper.make_tensor_value_info("on", TensorProto.BOOL, []), helper.make_tensor_value_info("next", TensorProto.FLOAT, None)],
    )
    return _node("Loop", ["count", "flag", "frame"], "probability", body=loop)


_HUGE = _nodes(
    _node("ConstantOfShape", ["size"], "zeros"),
    _node("ReduceMax", ["zeros"], "zero", keepdims=0),
    _node("Add", ["frame", "zero"], "sum"),
    _sigmoid("sum"),
    weights={"size": np.array([160_000, 160_000], np.int64)},
)
_GROWING = _nodes(
    _node("Resize", ["frame", "", "up"], "wide"),
    _node("ReduceMax", ["wide"], "highest", keepdims=0),
    _node("Add", ["frame", "highest"], "sum"),
    _sigmoid("sum"),
    weights={"up": np.array([1, 1, 3000, 3000], np.float32)},
)
_SLOW = _nodes(
    _node("Resize", ["frame", "", "up"], "wide", mode="nearest"),
    _node("AveragePool", ["wide"], "slow", kernel_shape=[255, 255], pads=[127] * 4, strides=[1, 1]),
    _node("Resize", ["slow", "", "down"], "back", mode="nearest"),
    _sigmoid("back"),
    weights={"up": np.array([1, 1, 32, 32], np.float32), "down": np.array([1, 1, 1 / 32, 1 / 32], np.float32)},
)
_HALVED = _nodes(
    _node("MaxPool", ["frame"], "half", kernel_shape=[16, 16], strides=[16, 16]),
    _node("Resize", ["half", "", "up"], "back", mode="nearest"),
    _node("Add", ["back", "frame"], "sum"),
    _sigmoid("sum"),
    weights={"up": np.array([1, 1, 16, 16], np.float32)},
)


def _truncated(keep: float) -> Wrap:
    def wrap(folder: Path, archive: Path) -> None:
        pack(folder, archive)
        data = archive.read_bytes()
        archive.write_bytes(data[: int(keep * len(data))])

    return wrap


def _flipped(folder: Path, archive: Path) -> None:
    """Bytes in the middle of a member's compressed data are turned over."""
    pack(folder, archive)
    data = bytearray(archive.read_bytes())
    at = data.index(b"members/m00.onnx") + 40
    data[at : at + 30] = bytes(255 - one for one in data[at : at + 30])
    archive.write_bytes(data)


def _with(*entries: tuple[str | zipfile.ZipInfo, bytes]) -> Wrap:
    """The bundle's zip with more in it."""

    def wrap(folder: Path, archive: Path) -> None:
        pack(folder, archive)
        with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as file:
            for name, data in entries:
                file.writestr(name, data)

    return wrap


def _of_mode(name: str, mode: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = mode << 16
    return entry


def _twice(folder: Path, archive: Path) -> None:
    pack(folder, archive)
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("CARD.JSON", b"{}")
    archive.write_bytes(archive.read_bytes().replace(b"CARD.JSON", b"card.json"))


def _lying(folder: Path, archive: Path) -> None:
    """The zip says that a file is small, and it unpacks to far more."""
    _with(("bomb", bytes(40 << 20)))(folder, archive)
    data = archive.read_bytes()
    archive.write_bytes(data.replace(struct.pack("<L", 40 << 20), struct.pack("<L", 100)))


def _packed_by(method: int) -> Wrap:
    def wrap(folder: Path, archive: Path) -> None:
        with zipfile.ZipFile(archive, "w", method) as file:
            for path in sorted(folder.rglob("*.*")):
                file.write(path, path.relative_to(folder).as_posix())

    return wrap


def _bytes(data: bytes) -> Wrap:
    return lambda folder, archive: archive.write_bytes(data)


def _in_a_folder(folder: Path, archive: Path) -> None:
    with zipfile.ZipFile(archive, "w") as file:
        for path in folder.rglob("*.*"):
            file.write(path, f"plain-1/{path.relative_to(folder).as_posix()}")


def _nested(folder: Path, archive: Path) -> None:
    """A zip of the bundle's zip."""
    inner = archive.with_name("inner.atomstream")
    pack(folder, inner)
    with zipfile.ZipFile(archive, "w") as file:
        file.write(inner, "plain.atomstream")


DAMAGED = {
    "empty file": Damage("archive", "not a zip", wrap=_bytes(b"")),
    "not a zip": Damage("archive", "not a zip", wrap=_bytes(b"\x7fELF" + bytes(5000))),
    "truncated at the start": Damage("archive", "not a zip", wrap=_truncated(0.01)),
    "truncated in the middle": Damage("archive", "not a zip", wrap=_truncated(0.5)),
    "truncated near the end": Damage("archive", "not a zip", wrap=_truncated(0.97)),
    "flipped bytes": Damage("archive", "can't be unpacked", wrap=_flipped),
    "path traversal": Damage("archive", "'../../out'", wrap=_with(("../../out", b"x"))),
    "path traversal of Windows": Damage("archive", "inside the bundle", wrap=_with(("..\\out", b"x"))),
    "absolute path": Damage("archive", "'/tmp/out'", wrap=_with(("/tmp/out", b"x"))),
    "symbolic link": Damage("archive", "inside the bundle", wrap=_with((_of_mode("link", stat.S_IFLNK | 0o777), b"/etc/passwd"))),
    "zip bomb by size": Damage("archive", "unpacks to more than", wrap=_with(("bomb", bytes(25 << 20)))),
    "zip bomb by ratio": Damage("archive", "unpacks to more than", wrap=_with(("bomb", bytes(8 << 20)))),
    "zip bomb of many files": Damage("archive", "unpacks to more than", wrap=_with(*((f"bomb{k}", bytes(1 << 20)) for k in range(12)))),
    "zip bomb that lies about its size": Damage("archive", "can't be unpacked", wrap=_lying),
    "too many entries": Damage("archive", "more than the 40 allowed", wrap=_with(*((f"{k}", b"") for k in range(50)))),
    "folders in folders": Damage("archive", "30 folders deep", wrap=_with(("/".join("a" * 30), b"x"))),
    "two entries of one name": Damage("archive", "more than once", wrap=_twice),
    "a file where a folder is": Damage("archive", "can't be unpacked", wrap=_with(("card.json/inside", b"x"))),
    "packed by LZMA": Damage("archive", "stored and deflated", wrap=_packed_by(zipfile.ZIP_LZMA)),
    "no card": Damage("card", "no card.json", lambda folder: (folder / "card.json").unlink()),
    "zip in a zip": Damage("card", "no card.json", wrap=_nested),
    "bundle in a folder": Damage("card", "no card.json", wrap=_in_a_folder),
    "card is no JSON": Damage("card", "JSON", lambda folder: (folder / "card.json").write_text("{")),
    "card is no text": Damage("card", "card.json", lambda folder: (folder / "card.json").write_bytes(os.urandom(500))),
    "card is a list": Damage("card", "card", lambda folder: (folder / "card.json").write_text("[]")),
    "card nested without end": Damage("card", "JSON", lambda folder: (folder / "card.json").write_text("[" * 50_000)),
    "card of a megabyte": Damage("card", "more than the 100000 allowed", _card(license="x" * 1_000_000)),
    "card without classes": Damage("card", "classes", _without_key("classes")),
    "another schema": Damage("card", "schema", _card(schema="atomstream.bundle.v2")),
    "name with slashes": Damage("card", "name", _card(name="../../up")),
    "name of dots": Damage("card", "name", _card(name="..")),
    "version with slashes": Damage("card", "version", _card(version="1/../../2")),
    "empty version": Damage("card", "version", _card(version="")),
    "background out of range": Damage("card", "background channel 5", _card(background=5)),
    "unknown normalisation": Damage("card", "magic", _card(normalization={"name": "magic"})),
    "threshold out of range": Damage("card", "threshold", _card(threshold=1.5)),
    "threshold is not a number": Damage("card", "threshold", _card(threshold=float("nan"))),
    "pixel sizes the wrong way round": Damage("card", "pixel_size_nm", _card(pixel_size_nm=[0.02, 0.01])),
    "downsample of nothing": Damage("card", "downsample", _card(downsample=0)),
    "no members": Damage("card", "members", _card(members=[])),
    "duplicate ids": Damage("card", "'m01' is there more than once", _entry("members", id="m01")),
    "duplicate files": Damage("card", "'members/m01.onnx' is there more than once", _entry("members", file="members/m01.onnx")),
    "member outside the bundle": Damage("card", "does not stay inside", _entry("members", file="../../etc/passwd")),
    "member missing": Damage("checksum", "m00.onnx", lambda folder: (folder / "members" / "m00.onnx").unlink()),
    "golden frame missing": Damage("checksum", "01.npz", lambda folder: (folder / "golden" / "01.npz").unlink()),
    "wrong checksum": Damage("checksum", "m00.onnx", _entry("members", sha256="0" * 64)),
    "member exchanged": Damage("checksum", "m00.onnx", lambda folder: shutil.copy(folder / "members" / "m01.onnx", folder / "members" / "m00.onnx")),
    "member is no network": Damage("member", "not an ONNX file", _file("members", "m00.onnx", b"\xff" * 500)),
    "member is empty": Damage("member", "ONNX", _file("members", "m00.onnx", b"")),
    "external data": Damage("member", "outside the file", _model(_external)),
    "unknown operator domain": Damage("member", "com.microsoft", _model(_foreign)),
    "unknown operator": Damage("member", "Magic", _nodes(_node("Magic", ["frame"], "probability"))),
    "If": Damage("member", "operator If", _nodes(_branches("If"), weights={"flag": np.array(True)})),
    "Loop": Damage("member", "operator Loop", _nodes(_branches("Loop"), weights={"flag": np.array(True), "count": np.array(1 << 40, np.int64)})),
    "RandomNormalLike": Damage("member", "operator RandomNormalLike", _nodes(_node("RandomNormalLike", ["frame"], "x"), _sigmoid("x"))),
    "functions of its own": Damage("member", "functions of its own", _model(_own_function)),
    "operator set of the future": Damage("member", "operator set ai.onnx 99", _model(lambda model: setattr(model.opset_import[0], "version", 99))),
    "format of the future": Damage("member", "ONNX checker", _model(lambda model: setattr(model, "ir_version", 99))),
    "graph that leads nowhere": Damage("member", "ONNX checker", _nodes(_node("Relu", ["nowhere"], "x"), _sigmoid("x"))),
    "input of another name": Damage("member", "wanted ['frame']", _model(_rename_input)),
    "output of another name": Damage("member", "wanted ['probability']", _model(_rename_output)),
    "two inputs": Damage("member", "['frame', 'more']", _model(_two_inputs)),
    "frames in double precision": Damage("member", "wanted float32", _model(_double)),
    "frames of two channels": Damage("member", "wanted float32 [N, 1, H, W]", _model(_two_channels)),
    "wrong channel count": Damage("member", "wanted float32 [N, 1, H, W]", _nodes(_node("Concat", ["frame", "frame"], "x", axis=1), _sigmoid("x"), channels=2)),
    "one golden frame": Damage("golden", "1 golden frames", _one_golden),
    "two golden frames that are the same": Damage("golden", "must differ", _same_golden),
    "golden frame with pickled objects": Damage("golden", "not a golden frame", _pickled),
    "golden frame without atoms": Damage("golden", "atoms", _golden(atoms=None)),
    "golden frame of another shape": Damage("golden", "don't fit", _golden(frame=np.zeros((8, 8), np.float32))),
    "golden frame of other classes": Damage("golden", "has 2 classes", _golden(mean=np.zeros((2, 56, 64), np.float16), std=np.zeros((2, 56, 64), np.float16))),
    "weights that are not finite": Damage("shapes", "not finite", _model(_weights(float("nan")))),
    "answers that are not finite": Damage(
        "shapes", "not finite", _nodes(_node("Exp", ["frame"], "a"), _node("Exp", ["a"], "b"), _node("Exp", ["b"], "probability"))
    ),
    "answers that are no probabilities": Damage("shapes", "no probabilities", _nodes(_node("Tanh", ["frame"], "probability"))),
    "answers of another shape": Damage("shapes", "wanted [1, 56, 72]", _nodes(_node("MaxPool", ["frame"], "x", kernel_shape=[2, 2]), _sigmoid("x"))),
    "frames of one size only": Damage("shapes", "56 x 72", _model(_fixed)),
    "downsample that does not hold": Damage("shapes", "56 x 72", _HALVED),
    "member that wants 100 GB": Damage("shapes", "m00", _HUGE),
    "member that grows while it runs": Damage("shapes", "m00", _GROWING),
    "member that never ends": Damage("shapes", "more than the 2 s of processor time", _SLOW),
    "mean off": Damage("acceptance", "mean map is off", _off("mean", 0.02)),
    "mean that is not finite": Damage("acceptance", "mean map is off", _off("mean", float("nan"))),
    "std off": Damage("acceptance", "std map is off", _off("std", 0.02)),
    "no std": Damage("acceptance", "no std map", _golden(std=None)),
    "other count of atoms": Damage("acceptance", "maker found 2", _off("atoms", 1)),
    "golden frame that can't be answered": Damage("acceptance", "can't be answered", _golden(frame=_with_a_hole())),
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_plain_bundle(tmp_path_factory.mktemp("sound"), biases=_BIASES)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """A registry that holds one bundle, "resident"."""
    folder = tmp_path_factory.mktemp("registry")
    registry = Registry(folder / "registry", device="cpu", threads=1, limits=_LIMITS)
    registry.add_folder(make_plain_bundle(folder / "resident", biases=_BIASES, name="resident").folder, "shipped", "tests")
    return registry


def _tree(folder: Path) -> dict[str, bytes]:
    return {path.as_posix(): path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_bundle_is_refused_by_its_check_and_leaves_no_trace(registry: Registry, sound: Bundle, tmp_path: Path, damage: Damage) -> None:
    home = registry.folder_of("resident", "1").parents[2]
    before, entries = _tree(home), registry.entries()
    shutil.copytree(sound.folder, tmp_path / "bundle")
    damage.spoil(tmp_path / "bundle")
    damage.wrap(tmp_path / "bundle", tmp_path / "damaged.atomstream")

    with pytest.raises(BundleRefused) as refusal:
        registry.add_archive(tmp_path / "damaged.atomstream", "upload", "mallory")

    failed = refusal.value.report.failed
    assert failed is not None
    assert (failed.name, damage.said in failed.detail) == (damage.check, True), failed
    assert f"check {damage.check} failed" in str(refusal.value)
    assert failed == refusal.value.report.checks[-1]
    assert registry.entries() == entries
    assert _tree(home) == before


def test_the_sound_bundle_behind_all_these_is_accepted(registry: Registry, sound: Bundle) -> None:
    entry = registry.add_folder(sound.folder, "upload", "kim")

    assert entry.report is not None
    assert entry.report.passed
    registry.remove(entry.name, entry.version)
