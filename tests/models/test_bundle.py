from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import about, dots, golden_of, make_plain_bundle, write_member
from onnx import TensorProto, helper

from atomstream_models.bundle import Bundle, BundleError, Limits, load_golden, open_bundle, pack, save_golden, unpack, write_bundle
from atomstream_models.bundle import MemberSource as Member
from atomstream_models.runtime import accept, load_ensemble


def _damage_card(**changes: object) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        card = json.loads((folder / "card.json").read_text())
        (folder / "card.json").write_text(json.dumps({**card, **changes}))

    return damage


def _damage_member_entry(**changes: object) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        card = json.loads((folder / "card.json").read_text())
        card["members"][0].update(changes)
        (folder / "card.json").write_text(json.dumps(card))

    return damage


def _replace_member(change: Callable[[onnx.ModelProto], None]) -> Callable[[Path], None]:
    """Change a member's graph and its checksum with it, as a hostile maker would."""

    def damage(folder: Path) -> None:
        path = folder / "members" / "m00.onnx"
        model = onnx.load(str(path), load_external_data=False)
        change(model)
        path.write_bytes(model.SerializeToString())
        _damage_member_entry(sha256=hashlib.sha256(path.read_bytes()).hexdigest())(folder)

    return damage


def _external(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def _foreign_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "com.example"
    model.opset_import.append(helper.make_opsetid("com.example", 1))


def _rename_output(model: onnx.ModelProto) -> None:
    model.graph.output[0].name = "p"
    model.graph.node[-1].output[0] = "p"


def _two_channels(model: onnx.ModelProto) -> None:
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 2


def _unsorted(model: onnx.ModelProto) -> None:
    model.graph.node[0].input[0] = "nowhere"


@pytest.mark.parametrize(
    ("damage", "check", "named"),
    [
        (lambda folder: (folder / "card.json").unlink(), "card", "no card.json"),
        (lambda folder: (folder / "card.json").write_text("{"), "card", "JSON"),
        (_damage_card(schema="atomstream.bundle.v2"), "card", "schema"),
        (_damage_card(name="../up"), "card", "name"),
        (_damage_card(classes=[]), "card", "classes"),
        (_damage_card(background=5), "card", "background channel 5"),
        (_damage_card(pixel_size_nm=[0.02, 0.01]), "card", "0.02"),
        (_damage_card(normalization={"name": "magic"}), "card", "magic"),
        (_damage_card(threshold=1.5), "card", "threshold"),
        (_damage_card(members=[]), "card", "members"),
        (_damage_member_entry(id="m01"), "card", "'m01' is there more than once"),
        (_damage_member_entry(file="../../etc/passwd"), "card", "does not stay inside"),
        (_damage_member_entry(file="members/none.onnx"), "checksum", "members/none.onnx"),
        (_damage_member_entry(sha256="0" * 64), "checksum", "m00.onnx"),
        (lambda folder: (folder / "members" / "m00.onnx").write_bytes(b"junk"), "checksum", "m00.onnx"),
        (_replace_member(_external), "member", "outside the file"),
        (_replace_member(_foreign_operator), "member", "com.example"),
        (_replace_member(_rename_output), "member", "'probability'"),
        (_replace_member(_two_channels), "member", "m00.onnx"),
        (_replace_member(_unsorted), "member", "ONNX checker"),
    ],
)
def test_a_damaged_bundle_is_refused_by_the_check_that_failed(plain_bundle: Bundle, damage: Callable[[Path], object], check: str, named: str) -> None:
    damage(plain_bundle.folder)

    with pytest.raises(BundleError) as refusal:
        open_bundle(plain_bundle.folder)

    assert refusal.value.check == check
    assert named in str(refusal.value)


def test_a_symbolic_link_for_a_member_is_refused(plain_bundle: Bundle) -> None:
    path = plain_bundle.member_path("m00")
    os.rename(path, path.with_suffix(".real"))
    path.symlink_to(path.with_suffix(".real"))

    with pytest.raises(BundleError, match="not in the bundle"):
        open_bundle(plain_bundle.folder)


def test_a_bundle_survives_packing_and_unpacking(plain_bundle: Bundle, tmp_path: Path) -> None:
    pack(plain_bundle.folder, tmp_path / "plain-1.atomstream")
    (tmp_path / "back").mkdir()
    unpack(tmp_path / "plain-1.atomstream", tmp_path / "back")
    back = open_bundle(tmp_path / "back")

    assert back.sha256 == plain_bundle.sha256
    assert back.card == plain_bundle.card


def test_card_keys_of_a_later_version_are_kept(plain_bundle: Bundle) -> None:
    _damage_card(novelty={"a": 1})(plain_bundle.folder)

    assert open_bundle(plain_bundle.folder).card.model_dump()["novelty"] == {"a": 1}


def _zip(path: Path, entries: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize("name", ["../out", "/abs", "a/../../out", "C:\\out", "a\\..\\b"])
def test_a_name_that_leaves_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "in").mkdir()

    with pytest.raises(BundleError, match="inside the bundle"):
        unpack(_zip(tmp_path / "b.zip", {name: b"x"}), tmp_path / "in")
    assert list((tmp_path / "in").iterdir()) == []


def test_a_zip_bomb_is_stopped_while_unpacking(tmp_path: Path) -> None:
    bomb = _zip(tmp_path / "b.zip", {"a": bytes(5_000_000), "b": bytes(5_000_000)})
    (tmp_path / "in").mkdir()

    with pytest.raises(BundleError, match="more than the"):
        unpack(bomb, tmp_path / "in", Limits(total_bytes=6_000_000))


def test_too_many_entries_are_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()

    with pytest.raises(BundleError, match="11 entries"):
        unpack(_zip(tmp_path / "b.zip", {str(k): b"" for k in range(11)}), tmp_path / "in", Limits(entries=10))


def test_a_link_in_the_zip_is_refused(tmp_path: Path) -> None:
    entry = zipfile.ZipInfo("link")
    entry.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr(entry, "/etc/passwd")
    (tmp_path / "in").mkdir()

    with pytest.raises(BundleError, match="inside the bundle"):
        unpack(tmp_path / "b.zip", tmp_path / "in")


@pytest.mark.parametrize("keep", [0, 10, 400, -30])
def test_a_truncated_zip_is_refused(plain_bundle: Bundle, tmp_path: Path, keep: int) -> None:
    pack(plain_bundle.folder, tmp_path / "b.zip")
    (tmp_path / "b.zip").write_bytes((tmp_path / "b.zip").read_bytes()[:keep])
    (tmp_path / "in").mkdir()

    with pytest.raises(BundleError) as refusal:
        unpack(tmp_path / "b.zip", tmp_path / "in")
    assert refusal.value.check == "archive"


def test_a_zip_with_damaged_data_is_refused(plain_bundle: Bundle, tmp_path: Path) -> None:
    pack(plain_bundle.folder, tmp_path / "b.zip")
    data = bytearray((tmp_path / "b.zip").read_bytes())
    data[100:160] = bytes(60)
    (tmp_path / "b.zip").write_bytes(bytes(data))
    (tmp_path / "in").mkdir()

    with pytest.raises(BundleError):
        unpack(tmp_path / "b.zip", tmp_path / "in")


def _with_golden(folder: Path, biases: tuple[float, ...], more_atoms: int = 0, error: float = 0.0) -> Bundle:
    folder.mkdir(exist_ok=True)
    members = [Member(f"m{k:02d}", write_member(folder / f"raw{k}.onnx", 2.0, bias)) for k, bias in enumerate(biases)]
    honest = [golden_of(dots((56, 64), [centre]), biases) for centre in ((20.0, 30.0), (40.0, 10.0))]
    write_bundle(folder / "bundle", about(), members, [replace(one, mean=one.mean + np.float32(error), atoms=one.atoms + more_atoms) for one in honest])
    return open_bundle(folder / "bundle")


@pytest.mark.parametrize("biases", [(-1.0,), (-1.0, -1.5, -0.5)])
def test_a_bundle_that_gives_its_golden_answers_is_accepted(tmp_path: Path, biases: tuple[float, ...]) -> None:
    accept(load_ensemble(_with_golden(tmp_path, biases)))


@pytest.mark.parametrize(("atoms", "error", "named"), [(1, 0.0, "1 atoms found"), (0, 0.02, "mean map is off by 0.02")])
def test_a_bundle_that_gives_other_answers_is_not_accepted(tmp_path: Path, atoms: int, error: float, named: str) -> None:
    ensemble = load_ensemble(_with_golden(tmp_path, (-1.0, -1.5), atoms, error))

    with pytest.raises(BundleError, match=named) as refusal:
        accept(ensemble)
    assert refusal.value.check == "acceptance"


def test_a_bundle_whose_golden_frame_can_not_be_run_is_not_accepted(tmp_path: Path) -> None:
    ensemble = load_ensemble(make_plain_bundle(tmp_path, biases=(-1.0, float("nan"))))

    with pytest.raises(BundleError, match="not finite"):
        accept(ensemble)


def test_a_bundle_without_two_golden_frames_is_refused(tmp_path: Path) -> None:
    member = Member("m00", write_member(tmp_path / "raw.onnx", 2.0, -1.0))
    write_bundle(tmp_path / "bundle", about(), [member], [golden_of(dots((56, 64), [(20, 30)]), (-1.0,))])

    with pytest.raises(BundleError, match="two or more"):
        open_bundle(tmp_path / "bundle")


def test_two_equal_golden_frames_are_refused(tmp_path: Path) -> None:
    member = Member("m00", write_member(tmp_path / "raw.onnx", 2.0, -1.0))
    one = golden_of(dots((56, 64), [(20, 30)]), (-1.0,))
    write_bundle(tmp_path / "bundle", about(), [member], [one, one])

    with pytest.raises(BundleError, match="must differ"):
        open_bundle(tmp_path / "bundle")


def test_a_golden_file_with_a_pickle_is_refused(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.savez(stream, frame=np.array([{"a": 1}], object))
    (tmp_path / "g.npz").write_bytes(stream.getvalue())

    with pytest.raises(BundleError, match="not a golden frame"):
        load_golden(tmp_path / "g.npz")


def test_a_golden_frame_comes_back(tmp_path: Path) -> None:
    golden = golden_of(dots((56, 64), [(20, 30)]), (-1.0, -1.5))
    save_golden(tmp_path / "g.npz", golden)
    back = load_golden(tmp_path / "g.npz")

    assert back.std is not None
    assert golden.std is not None
    np.testing.assert_array_equal(back.frame, golden.frame)
    np.testing.assert_allclose(back.std, golden.std, atol=1e-3)


def test_bundles_of_one_member_and_many_classes_are_made(tmp_path: Path) -> None:
    bundle = make_plain_bundle(tmp_path, biases=(-1.0,))

    assert bundle.card.member_ids == ("m00",)
