"""AtomAI's networks and checkpoints.

`data/atomai_small.tar` was written by AtomAI 0.8.1 itself: its EnsembleTrainer, two members of Unet with nb_filters=1 and layers [1, 1, 1, 1],
500 cycles from scratch on 52 images of noisy square lattices. `data/atomai_small.npz` holds what AtomAI 0.8.1 answers:

    frame                     such a lattice, counts
    small_mean, small_std     EnsemblePredictor on the frame with that checkpoint (the square root of its variance)
    graphene_..._mean, _std   EnsemblePredictor and SegPredictor on the frame with the checkpoints among the real frames
    logits_<case>             its networks, filled by `filled` below, on the frame's first 16 x 16 pixels / 1000
"""

from __future__ import annotations

import argparse
import io
import json
import operator
import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from conftest import REAL_FRAMES, real_frames, write_member
from numpy.typing import NDArray
from onnx import TensorProto, helper
from torch import Tensor, nn

from atomstream_models.analysis import finish
from atomstream_models.bundle import BundleError, Card, open_bundle, unpack
from atomstream_models.errors import InputError
from atomstream_models.normalize import minmax
from atomstream_models.runtime import accept, load_ensemble, look
from atomstream_models.training.atomai import (
    CheckpointLimits,
    CheckpointRefused,
    import_checkpoints,
    import_onnx,
    read_checkpoint,
    read_checkpoints,
)
from atomstream_models.training.commands._import import add
from atomstream_models.training.networks.atomai import AtomAISettings, AtomAIUnet, build_atomai

DATA = Path(__file__).parents[1] / "data"
SMALL = DATA / "atomai_small.tar"
TINY = AtomAISettings("Unet", 1, 1, (1, 1, 1, 1))

CASES = {
    "unet": AtomAISettings("Unet", 3, 2, (1, 2, 2, 3)),
    "unet_dilated": AtomAISettings("Unet", 1, 2, (1, 1, 1, 2), dropout=True, with_dilation=True),
    "unet_nearest": AtomAISettings("Unet", 1, 2, (1, 2, 1, 2), batch_norm=False, upsampling="nearest"),
    "unet_plain_dilated": AtomAISettings("Unet", 1, 2, (1, 1, 2, 2), batch_norm=False, dropout=True, with_dilation=True),
    "dilnet": AtomAISettings("dilnet", 1, 3, (1, 3, 3, 1)),
    "dilnet_dropout": AtomAISettings("dilnet", 3, 3, (2, 2, 3, 1), batch_norm=False, dropout=True, upsampling="nearest"),
    "reshednet": AtomAISettings("ResHedNet", 3, 2, (3, 4, 5)),
    "reshednet_nearest": AtomAISettings("ResHedNet", 1, 2, (1, 2, 1), upsampling="nearest"),
    "segresnet": AtomAISettings("SegResNet", 1, 2, (2, 2, 2)),
    "segresnet_plain": AtomAISettings("SegResNet", 3, 2, (1, 2, 1), batch_norm=False, upsampling="nearest"),
}


@pytest.fixture(scope="module")
def atomai() -> dict[str, NDArray[Any]]:
    """What AtomAI itself answers."""
    with np.load(DATA / "atomai_small.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small checkpoint, imported on the command line."""
    out = tmp_path_factory.mktemp("imported") / "small.atomstream"
    assert command(str(SMALL), "--out", str(out), "--classes", "C", "--pixel-size-nm", "0.008", "0.014", "--json") == 0
    folder = out.with_name("unpacked")
    folder.mkdir()
    unpack(out, folder)
    return folder


def command(*words: str) -> int:
    """The exit code of `atomstream import`."""
    parser = argparse.ArgumentParser()
    add(parser.add_subparsers())
    given = parser.parse_args(["import", *words])
    code: int = given.run(given)
    return code


def filled(network: nn.Module) -> nn.Module:
    """The network with weights that any machine makes alike."""
    for k, (key, tensor) in enumerate(sorted(network.state_dict().items())):
        if tensor.is_floating_point():
            values = np.random.RandomState(k).uniform(-0.5, 0.5, tuple(tensor.shape))
            gain = 5 / np.sqrt(tensor[0].numel()) if tensor.ndim == 4 else 1.0
            around_one = tensor.ndim == 1 and key.endswith(("weight", "running_var"))
            tensor.copy_(torch.from_numpy(values * gain + around_one))
    return network.eval()


def weights(seed: int = 0, settings: AtomAISettings = TINY) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return build_atomai(settings).state_dict()


def described(**content: Any) -> dict[str, Any]:
    """A checkpoint with the keys that AtomAI writes for a single model."""
    words = {"model_type": "seg", "model": "Unet", "nb_classes": 1, "batch_norm": True, "dropout": False, "upsampling": "bilinear"}
    return {**words, "with_dilation": False, "nb_filters": 1, "layers": [1, 1, 1, 1], "weights": weights(), "optimizer": None, **content}


def saved(path: Path, content: object, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path


def trained_adam() -> torch.optim.Adam:
    """An optimizer that has state of its own, as AtomAI leaves it in a single model's file."""
    network = build_atomai(TINY)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.rand(2, 1, 16, 16)).sum().backward()
    optimizer.step()
    return optimizer


def about(**changes: Any) -> dict[str, Any]:
    return {"name": "x", "version": "1", "classes": ["C"], "pixel_size_nm": None, **changes}


def onnx_model(path: Path, *, kind: int = TensorProto.FLOAT, rows: int | str = "h", channels: int = 1, ports: tuple[str, str] = ("image", "logits")) -> Path:
    """A model of somebody else's: twice the frame, in every channel."""
    graph = helper.make_graph(
        [helper.make_node("Expand", [ports[0], "size"], ["wide"]), helper.make_node("Add", ["wide", "wide"], [ports[1]])],
        "model",
        [helper.make_tensor_value_info(ports[0], kind, ["n", 1, rows, "w"])],
        [helper.make_tensor_value_info(ports[1], kind, ["n", channels, rows, "w"])],
        [helper.make_tensor("size", TensorProto.INT64, [4], [1, channels, 1, 1])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(path))
    return path


@pytest.mark.parametrize("name", CASES)
def test_each_network_answers_as_atomais_own_does(name: str, atomai: dict[str, NDArray[Any]]) -> None:
    frame = torch.from_numpy(atomai["frame"][None, None, :16, :16].astype(np.float32) / 1000)
    with torch.no_grad():
        found = filled(build_atomai(CASES[name]))(frame)[0].numpy()
    wanted = atomai[f"logits_{name}"]

    # Channels are weighed before the maps are enlarged, not after, so the last digit may be another one.
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-6 * max(1.0, float(np.abs(wanted).max())))


@pytest.mark.parametrize("name", CASES)
def test_settings_are_read_off_the_tensors(name: str, tmp_path: Path) -> None:
    settings = CASES[name]
    path = saved(tmp_path / "x.tar", {"upsampling": settings.upsampling, "weights": weights(settings=settings)})

    assert [member.settings for member in read_checkpoint(path)] == [settings]


def test_an_imported_ensemble_answers_as_atomai_does(imported: Path, atomai: dict[str, NDArray[Any]]) -> None:
    ensemble = load_ensemble(open_bundle(imported), "cpu")
    (answer,) = (finish(one, ensemble.card) for one in look(ensemble, [atomai["frame"]], None))
    assert answer.std is not None

    np.testing.assert_allclose(answer.mean[0], atomai["small_mean"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(answer.std[0], atomai["small_std"], rtol=0, atol=1e-5)
    assert len(answer.atoms) > 0


def test_an_imported_bundle_is_accepted_and_says_where_it_comes_from(imported: Path) -> None:
    bundle = open_bundle(imported)
    accept(load_ensemble(bundle, "cpu"))
    card = bundle.card

    assert (card.name, card.classes, card.background, card.pixel_size_nm, card.normalization.name) == ("atomai_small", ("C",), None, (0.008, 0.014), "minmax")
    assert card.training["imported_from"] == ["atomai_small.tar"]
    assert card.training["settings"]["m01"] | {"number": 1, "kind": "Unet", "filters": 1} == card.training["settings"]["m01"]
    assert [member.architecture for member in card.members] == 2 * ["AtomAI Unet filters=1 layers=1,1,1,1"]


@real_frames
def test_an_ensemble_of_real_use_answers_as_atomai_does(tmp_path: Path, atomai: dict[str, NDArray[Any]]) -> None:
    import_checkpoints([REAL_FRAMES / "atomai_graphene_ensemble.tar"], tmp_path / "bundle", **about(pixel_size_nm=(0.008, 0.014)))
    (answer,) = look(load_ensemble(open_bundle(tmp_path / "bundle"), "cpu"), [atomai["frame"]], None)
    assert answer.std is not None

    np.testing.assert_allclose(answer.mean[0], atomai["graphene_ensemble_mean"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(answer.std[0], atomai["graphene_ensemble_std"], rtol=0, atol=1e-5)


@real_frames
def test_a_single_model_of_real_use_answers_as_atomai_does(atomai: dict[str, NDArray[Any]]) -> None:
    (member,) = read_checkpoint(REAL_FRAMES / "atomai_graphene_single.tar")
    with torch.no_grad():
        found = torch.sigmoid(member.network()(torch.from_numpy(minmax(atomai["frame"])[None, None])))[0, 0]

    np.testing.assert_allclose(found.numpy(), atomai["graphene_single_mean"], rtol=0, atol=1e-5)


_LATER = ("with_dilation", "optimizer")

FORMS: dict[str, Callable[[dict[str, Tensor]], Any]] = {
    "single": lambda state: described(weights=state),
    "single with its optimizer": lambda state: described(weights=state, optimizer=trained_adam()),
    "without what older versions lack": lambda state: {
        key: value for key, value in described(weights=state).items() if key not in ("with_dilation", "optimizer")
    },
    "bare": lambda state: state,
    "bare, of parameters": lambda state: OrderedDict((key, nn.Parameter(tensor) if tensor.is_floating_point() else tensor) for key, tensor in state.items()),
    "double precision": lambda state: {key: tensor.double() if tensor.is_floating_point() else tensor for key, tensor in state.items()},
    "from DataParallel": lambda state: {f"module.{key}": tensor for key, tensor in state.items()},
    "without batch counters": lambda state: {key: tensor for key, tensor in state.items() if "num_batches" not in key},
    "ensemble": lambda state: described(weights={0: state}),
    "bare ensemble": lambda state: {0: state},
    "ensemble beside a pickled network": lambda state: {"smodel": nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()), "ensemble": {0: state}},
}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_checkpoint_is_read(form: str, legacy: bool, tmp_path: Path) -> None:
    state = weights(3)
    path = saved(tmp_path / "x.tar", FORMS[form](state), _use_new_zipfile_serialization=not legacy)
    (member,) = read_checkpoint(path)
    found = member.network().state_dict()

    assert member.settings == TINY
    assert all(torch.equal(found[key], tensor) for key, tensor in state.items())


def test_a_folder_of_singles_is_one_ensemble(tmp_path: Path) -> None:
    for seed in (2, 1):
        saved(tmp_path / f"atomnet{seed}.tar", described(weights=weights(seed)))
    (tmp_path / "notes.txt").write_text("not a checkpoint")

    assert [(member.file.name, member.number) for member in read_checkpoints([tmp_path])] == [("atomnet1.tar", 0), ("atomnet2.tar", 0)]


def test_the_same_network_twice_is_refused_by_both_names(tmp_path: Path) -> None:
    paths = [saved(tmp_path / name, described()) for name in ("a.tar", "b.tar")]

    with pytest.raises(InputError, match=r"number 0 of a\.tar and number 0 of b\.tar are the same"):
        read_checkpoints(paths)


@pytest.mark.parametrize("value", [0.35, np.float64(0.35)], ids=["float", "numpy"])
def test_a_threshold_in_the_file_is_read(value: float, tmp_path: Path) -> None:
    (member,) = read_checkpoint(saved(tmp_path / "x.tar", described(binary_thresh=value)))

    assert member.threshold == 0.35


class _Runs:
    """Pickled so that reading it calls something."""

    def __init__(self, function: Callable[..., Any], *args: object) -> None:
        self._call = function, args

    def __reduce__(self) -> Any:
        return self._call


HOSTILE: dict[str, tuple[Callable[[str], object], str]] = {
    "system": (lambda mark: _Runs(os.system, f"echo > {mark}"), r"posix\.system|nt\.system"),
    "eval": (lambda mark: described(weights=_Runs(eval, f"open({mark!r}, 'w').close()")), r"builtins\.eval|__builtin__\.eval"),
    "exec in the optimizer": (lambda mark: described(optimizer={"state": [_Runs(exec, f"open({mark!r}, 'w').close()")]}), r"builtins\.exec|__builtin__\.exec"),
    "as a key": (lambda mark: {_Runs(io.open, mark, "w"): 1}, r"io\.open"),
    "a method": (lambda mark: {0: _Runs(operator.methodcaller("touch"), Path(mark))}, r"operator\.methodcaller"),
}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore:unclosed file:ResourceWarning")
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_pickle_is_refused_by_name_and_nothing_runs(name: str, legacy: bool, protocol: int, tmp_path: Path) -> None:
    make, named = HOSTILE[name]
    mark = tmp_path / "ran"
    path = saved(tmp_path / "x.tar", make(str(mark)), pickle_protocol=protocol, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(CheckpointRefused, match=f"wants ({named})"):
        read_checkpoint(path)
    assert not mark.exists()

    torch.load(path, weights_only=False)
    assert mark.exists()


def zip_of(path: Path, pickled: bytes, **entries: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", pickled)
        for name, data in entries.items():
            archive.writestr(f"x/{name}", data)
    return path


@pytest.mark.parametrize(
    "pickled",
    [
        b"ctorch.hub\nload\n(S'owner/name'\nS'net'\ntR.",
        b"ctorch.serialization\nload\n(S'other.tar'\ntR.",
        b"ctorch.storage\n_load_from_bytes\n(S'x'\ntR.",
        b"ctorch.jit\nload\n(S'other.pt'\ntR.",
        b"\x80\x04\x8c\x08builtins\x8c\x0cset.__init__\x93.",
        b"\x80\x02\x82\x01.",
    ],
    ids=["hub", "load", "bytes", "jit", "attribute", "extension"],
)
def test_torchs_own_loaders_and_back_doors_are_refused(pickled: bytes, tmp_path: Path) -> None:
    with pytest.raises(CheckpointRefused):
        read_checkpoint(zip_of(tmp_path / "x.tar", pickled))


def test_what_a_pickle_does_to_a_stand_in_is_forgotten_with_the_file(tmp_path: Path) -> None:
    reached = b"ctorch.optim.adam\nAdam\n(N(S'__setstate__'\nI1\ndtb."
    with pytest.raises(CheckpointRefused):
        read_checkpoint(zip_of(tmp_path / "bad.tar", reached))

    assert len(read_checkpoint(saved(tmp_path / "good.tar", described(optimizer=trained_adam())))) == 1


def stretched() -> Tensor:
    return torch.zeros(1).expand(1, 1, 3, 3)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (described(model_type="Seg"), "network of your own .* export it to ONNX"),
        (described(model_type="imspec"), "model_type 'imspec'"),
        (described(upsampling="cubic"), "upsampling 'cubic'"),
        (described(binary_thresh=2), "binary_thresh 2"),
        (described(weights=None), "holds no weights"),
        (described(weights={}), "holds no weights"),
        (described(weights={"fc.weight": torch.zeros(2, 2)}), "none of AtomAI's Unet, .* fc.weight"),
        (described(weights={key: tensor for key, tensor in weights().items() if key != "c5.block.0.bias"}), r"lacks c5\.block\.0\.bias"),
        (described(weights={**weights(), "extra": torch.zeros(1)}), "extra is left over"),
        (described(weights={**weights(), "c1.block.0.weight": stretched()}), "does not fit"),
        (described(weights={**weights(), "px.bias": torch.tensor([torch.nan])}), r"px\.bias of network 0 holds numbers that are not finite"),
        ([1, 2], "holds a list"),
        (nn.Conv2d(1, 1, 1), "whole pickled object"),
    ],
)
def test_a_checkpoint_that_cannot_be_used_is_refused_with_its_reason(content: object, why: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointRefused, match=why):
        read_checkpoint(saved(tmp_path / "x.tar", content))


def test_damaged_and_foreign_files_are_refused(tmp_path: Path) -> None:
    whole = SMALL.read_bytes()
    legacy = saved(tmp_path / "legacy.tar", described(), _use_new_zipfile_serialization=False).read_bytes()
    foreign = {"cut.tar": whole[: len(whole) // 2], "short.tar": legacy[:-100], "text.tar": b"no checkpoint", "empty.tar": b"", "pickle.tar": pickle.dumps(1)}
    for name, data in foreign.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(CheckpointRefused, match=name):
            read_checkpoint(tmp_path / name)


def test_files_beyond_the_limits_are_refused(tmp_path: Path) -> None:
    for limits in (CheckpointLimits(file_bytes=1000), CheckpointLimits(pickle_bytes=1000), CheckpointLimits(entries=3)):
        with pytest.raises(CheckpointRefused, match="more than"):
            read_checkpoint(SMALL, limits)
    with pytest.raises(CheckpointRefused, match="memo"):
        read_checkpoint(zip_of(tmp_path / "x.tar", b"\x80\x02]r\xff\xff\xff\x7f."))


def test_networks_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    one = saved(tmp_path / "one.tar", weights())
    three = saved(tmp_path / "three.tar", weights(settings=AtomAISettings("Unet", 3, 1, (1, 1, 1, 1))))

    with pytest.raises(InputError, match=r"one\.tar has 1 output channels and three\.tar has 3"):
        import_checkpoints([one, three], tmp_path / "out", **about())
    with pytest.raises(InputError, match="3 output channels, the last of them the background: that takes the names of 2 classes"):
        import_checkpoints([three], tmp_path / "out", **about())
    assert not (tmp_path / "out").exists()


def test_what_the_file_lacks_is_asked_for_by_flag(tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    with pytest.raises(InputError, match=r"--classes .* and --pixel-size-nm LOW HIGH"):
        command(str(SMALL), "--out", out)
    with pytest.raises(InputError, match="--normalization"):
        command(str(onnx_model(tmp_path / "m.onnx")), "--out", out, "--classes", "C", "--pixel-size-nm", "unknown")
    with pytest.raises(InputError, match=r"0\.02 0\.01 is not a range"):
        command(str(SMALL), "--out", out, "--classes", "C", "--pixel-size-nm", "0.02", "0.01")
    with pytest.raises(InputError, match="not narrow"):
        command(str(SMALL), "--out", out, "--classes", "C", "--pixel-size-nm", "narrow")
    with pytest.raises(InputError, match="is not there"):
        command(str(tmp_path / "none.tar"), "--out", out, "--classes", "C", "--pixel-size-nm", "unknown")


def test_no_file_is_no_ensemble(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no checkpoint"):
        import_checkpoints([], tmp_path / "out", **about())
    with pytest.raises(InputError, match="no ONNX model"):
        import_onnx([], tmp_path / "out", **about(normalization="none"))


def test_a_bundle_is_never_written_over_another(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("mine")

    with pytest.raises(InputError, match="is there already"):
        import_checkpoints([SMALL], tmp_path, **about())
    assert (tmp_path / "kept").read_text() == "mine"


def frames() -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal((40, 48), np.float32) for _ in range(2)]


def imported_model(path: Path, **changes: Any) -> Card:
    return import_onnx([path], path.parent / "bundle", **about(normalization="none", golden=frames(), **changes))


@pytest.mark.parametrize(("activation", "channels"), [("sigmoid", 1), ("softmax", 3)])
def test_a_model_with_names_and_logits_of_its_own_is_wrapped(activation: Any, channels: int, tmp_path: Path) -> None:
    card = imported_model(onnx_model(tmp_path / "m.onnx", channels=channels), activation=activation, classes=["C", "Si"][: max(1, channels - 1)])
    frame = frames()[0]
    (answer,) = look(load_ensemble(open_bundle(tmp_path / "bundle"), "cpu"), [frame], None)

    assert card.background == (2 if channels == 3 else None)
    wanted = 1 / (1 + np.exp(-2 * frame)) if channels == 1 else np.full_like(frame, 1 / 3)
    np.testing.assert_allclose(answer.mean[0], wanted, atol=1e-6)


def test_a_model_that_needs_no_wrapping_is_taken_as_it_is(tmp_path: Path) -> None:
    path = write_member(tmp_path / "m.onnx", 2.0, -1.0)
    imported_model(path)

    assert onnx.load(str(tmp_path / "bundle" / "members" / "m00.onnx")) == onnx.load(str(path))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"kind": TensorProto.FLOAT16}, "input 'image' is float16 .* wanted float32"),
        ({"rows": 64}, "rows and columns are fixed"),
        ({}, "answers from .* no probabilities; --activation"),
        ({"channels": 3}, "takes the names of 3 classes"),
    ],
)
def test_a_model_of_another_kind_is_refused_with_its_reason(options: dict[str, Any], why: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=why):
        imported_model(onnx_model(tmp_path / "m.onnx", **options))
    assert not (tmp_path / "bundle").exists()


def test_golden_frames_that_prove_nothing_are_refused(tmp_path: Path) -> None:
    path = onnx_model(tmp_path / "m.onnx")
    blank = np.ones((40, 48), np.float32)
    broken = np.where(np.arange(48) == 3, np.nan, frames()[0])
    for golden, why in (([blank, blank], "blank"), ([blank], "2 are needed"), ([broken, broken], "not finite")):
        with pytest.raises(InputError, match=why):
            import_onnx([path], tmp_path / "out", **about(normalization="none", activation="sigmoid", golden=golden))


def test_operators_that_are_not_onnxs_own_are_refused(tmp_path: Path) -> None:
    path = onnx_model(tmp_path / "m.onnx", ports=("frame", "probability"))
    model = onnx.load(str(path))
    model.graph.node[1].domain = "custom"
    model.opset_import.append(helper.make_opsetid("custom", 1))
    onnx.save(model, str(path))

    with pytest.raises(BundleError, match="operator set custom"):
        imported_model(path)


def test_weights_outside_the_file_are_refused_and_nothing_is_written_there(tmp_path: Path) -> None:
    path = write_member(tmp_path / "m.onnx", 2.0, -1.0)
    model = onnx.load(str(path))
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL
    model.graph.initializer[0].external_data.add(key="location", value="outside")
    path.write_bytes(model.SerializeToString())

    with pytest.raises(BundleError, match="lies outside the file"):
        imported_model(path)
    assert [one.name for one in tmp_path.iterdir()] == ["m.onnx"]


def test_a_network_starts_as_atomais_ensemble_trainer_starts_members() -> None:
    convolutions = [part for part in AtomAIUnet(16, 3).modules() if isinstance(part, nn.Conv2d)]
    reach = [float(np.sqrt(6 / (part.weight[0].numel() + part.weight[:, 0].numel()))) for part in convolutions]

    assert all(part.bias is not None and not part.bias.any() for part in convolutions)
    assert all(0.9 * most < float(part.weight.detach().abs().max()) <= most for part, most in zip(convolutions[1:-1], reach[1:-1], strict=True))


def test_the_card_is_printed_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--out", str(tmp_path / "b"), "--classes", "C", "--pixel-size-nm", "unknown", "--normalization", "none", "--activation", "sigmoid", "--json")
    command(str(onnx_model(tmp_path / "m.onnx")), *words)

    assert json.loads(capsys.readouterr().out)["pixel_size_nm"] is None
