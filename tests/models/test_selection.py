from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ROOT, make_plain_bundle
from numpy.typing import NDArray

from atomstream_models.analysis import Inferred
from atomstream_models.bundle import Bundle, open_bundle
from atomstream_models.combine import mean_std
from atomstream_models.errors import InputError
from atomstream_models.locate import locate
from atomstream_models.runtime import accept, load_ensemble, look
from atomstream_models.selection import WEIGHTS, MemberScores, choose, gallery, rank, score_members, subset_bundle
from atomstream_models.simulation import MicroscopeFrame, SimulatedMicroscope, smooth_field, soft_disks

Map = NDArray[np.float32]
Spoil = Callable[[Map, MicroscopeFrame], Map]
THRESHOLD = 0.5
TRUE_RADIUS = 0.25


def ideal(frame: MicroscopeFrame, seed: int) -> Map:
    """What a good member answers: discs at the true atoms, each member a little off."""
    rng = np.random.default_rng(seed)
    yx = frame.atoms_yx[frame.kinds >= 0]
    return soft_disks(yx + rng.normal(0, 0.4, yx.shape), TRUE_RADIUS * frame.neighbour_px, frame.image.shape)[None]


def foggy(maps: Map, frame: MicroscopeFrame) -> Map:
    field = np.clip(smooth_field(frame.image.shape, 8, np.random.default_rng(0)), 0, 1)
    return np.maximum(maps, 0.45 * field[None]).astype(np.float32)


def atoms_in_the_hole(maps: Map, frame: MicroscopeFrame) -> Map:
    dark = cv2.GaussianBlur(frame.image.astype(np.float32), (0, 0), 10)
    places = np.argwhere(dark < np.quantile(dark, 0.08))[::40].astype(float)
    return np.maximum(maps, soft_disks(places, TRUE_RADIUS * frame.neighbour_px, frame.image.shape))


def amorphous(maps: Map, frame: MicroscopeFrame) -> Map:
    dirt = frame.atoms_yx[frame.kinds < 0]
    return np.maximum(maps, soft_disks(dirt, TRUE_RADIUS * frame.neighbour_px, frame.image.shape))


def merged(maps: Map, frame: MicroscopeFrame) -> Map:
    return np.asarray(np.clip(2.5 * cv2.GaussianBlur(maps[0], (0, 0), 0.3 * frame.neighbour_px), 0, 1)[None])


def blind(maps: Map, frame: MicroscopeFrame) -> Map:
    lost = locate(maps, None, (), THRESHOLD)[::3, :2].astype(float)
    return maps * (1 - soft_disks(lost, 0.5 * frame.neighbour_px, frame.image.shape))


def silent(maps: Map, frame: MicroscopeFrame) -> Map:
    return np.zeros_like(maps)


SPOILS: dict[str, Spoil] = {
    "fog": foggy,
    "hole": atoms_in_the_hole,
    "amorphous": amorphous,
    "merged": merged,
    "blind": blind,
    "silent": silent,
}


@cache
def movie() -> tuple[MicroscopeFrame, ...]:
    """Two frames with a hole and an amorphous patch."""
    microscope = SimulatedMicroscope(7, (256, 256))
    frames = [microscope.next_frame() for _ in range(25)]
    return frames[20], frames[24]


@cache
def answers() -> tuple[Inferred, ...]:
    """Three good members and one of each kind of bad ones."""
    ensemble = load_ensemble(open_bundle(ROOT / "models" / "atomstream_models" / "ensembles" / "graphene"), "cpu")
    some = list(look(ensemble, [frame.image for frame in movie()], None, ensemble.card.member_ids[:1]))
    ensemble.close()
    return tuple(_answer(frame, one) for frame, one in zip(movie(), some, strict=True))


def _answer(frame: MicroscopeFrame, one: Inferred) -> Inferred:
    good = {f"good{k}": ideal(frame, k) for k in range(3)}
    maps = {**good, **{name: spoil(ideal(frame, 10), frame) for name, spoil in SPOILS.items()}}
    mean, std = mean_std(tuple(maps.values()))
    return replace(one, members_used=tuple(maps), maps=tuple(maps.values()), mean=mean, std=std)


@cache
def scores() -> dict[str, MemberScores]:
    return {one.member: one for one in score_members([frame.image for frame in movie()], answers(), THRESHOLD)}


def some_scores(**artifacts: float) -> list[MemberScores]:
    parts = dict.fromkeys(WEIGHTS, 0.0)
    return [MemberScores(member, artifact, **parts, atoms=10.0, by_frame=(artifact,)) for member, artifact in artifacts.items()]


def test_every_kind_of_bad_member_ranks_behind_the_good_ones_and_is_not_suggested() -> None:
    ranked = [one.member for one in rank(list(scores().values()))]

    assert set(ranked[:3]) == {"good0", "good1", "good2"}
    assert set(choose(list(scores().values()))) == {"good0", "good1", "good2"}


@pytest.mark.parametrize(
    ("member", "part"),
    [
        ("fog", "fog"),
        ("hole", "vacuum"),
        ("hole", "off_lattice"),
        ("amorphous", "off_lattice"),
        ("merged", "shape"),
        ("blind", "detection"),
        ("blind", "disagreement"),
        ("silent", "disagreement"),
    ],
)
def test_each_artifact_raises_its_own_score(member: str, part: str) -> None:
    good = max(scores()[name].parts[part] for name in ("good0", "good1", "good2"))

    assert scores()[member].parts[part] > max(1.3 * good, good + 0.02)


def test_scores_lie_between_0_and_1_and_are_kept_for_each_frame() -> None:
    for one in scores().values():
        assert all(0 <= value <= 1 for value in (one.artifact, *one.parts.values()))
        assert len(one.by_frame) == 2


def test_a_member_that_finds_nothing_is_still_scored() -> None:
    assert scores()["silent"].atoms == 0
    assert scores()["silent"].detection == 1


def test_an_expected_distance_shows_members_that_see_another_lattice() -> None:
    frames = [frame.image for frame in movie()]
    right, wrong = (score_members(frames, answers(), THRESHOLD, expected_neighbour_px=factor * movie()[0].neighbour_px)[0].spacing for factor in (1.0, 2.0))

    assert right < 0.1
    assert wrong > 0.9


def test_a_single_member_has_no_disagreement_but_a_score() -> None:
    alone = [replace(one, members_used=("good0",), maps=one.maps[:1], mean=one.maps[0], std=None) for one in answers()]
    (one,) = score_members([frame.image for frame in movie()], alone, THRESHOLD)

    assert np.isnan(one.disagreement)
    assert 0 <= one.artifact < 0.1


def test_without_a_lattice_nothing_can_be_off_it() -> None:
    rng = np.random.default_rng(0)
    yx = rng.uniform(10, 246, (25, 2))
    image = rng.normal(100, 1, (256, 256)) + 50 * soft_disks(yx, 3.0, (256, 256))
    maps = tuple(soft_disks(yx, 3.0, (256, 256))[None] for _ in range(2))
    (one, _) = score_members([image], [replace(answers()[0], members_used=("a", "b"), maps=maps, mean=maps[0], std=None)], THRESHOLD)

    assert np.isnan(one.off_lattice)
    assert one.artifact < 0.05


def test_a_blank_frame_counts_for_nobody_and_blank_frames_alone_are_refused() -> None:
    blank = replace(answers()[0], members_used=(), maps=())
    scored = score_members([movie()[0].image, movie()[0].image], [answers()[0], blank], THRESHOLD)

    assert np.isnan(scored[0].by_frame[1])
    assert scored[0].artifact == pytest.approx(scored[0].by_frame[0])
    with pytest.raises(InputError, match="none of the 1 frames"):
        score_members([movie()[0].image], [blank], THRESHOLD)


def test_rows_without_data_do_not_stop_the_scores() -> None:
    cut = movie()[0].image.astype(np.float32)
    cut[200:] = np.nan
    scored = score_members([cut], [answers()[0]], THRESHOLD)

    assert np.isfinite(scored[0].artifact)


def test_the_best_few_are_chosen_in_order() -> None:
    assert choose(some_scores(a=0.3, b=0.1, c=0.2, d=0.1), best=3) == ("b", "d", "c")


def test_a_suggestion_takes_those_nearly_as_good_as_the_best() -> None:
    assert choose(some_scores(a=0.100, b=0.120, c=0.2)) == ("a", "b")
    assert choose(some_scores(a=0.0, b=0.009, c=0.02)) == ("a", "b")
    assert choose(some_scores(a=0.1, b=0.12), margin=0.0) == ("a",)


@pytest.mark.parametrize("best", [0, 3])
def test_a_number_of_members_that_is_not_there_is_refused(best: int) -> None:
    with pytest.raises(InputError, match=f"best {best} of 2"):
        choose(some_scores(a=0.1, b=0.2), best=best)


def test_the_gallery_is_a_png_in_which_a_choice_shows() -> None:
    frames, found = [frame.image for frame in movie()], list(scores().values())
    plain, marked = (gallery(frames, answers(), found, chosen=chosen) for chosen in ((), ("good0",)))
    picture = cv2.imdecode(np.frombuffer(plain, np.uint8), cv2.IMREAD_COLOR)

    assert picture is not None
    assert picture.shape[1] > 3 * 100
    assert plain != marked


def test_a_gallery_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="0 frames"):
        gallery([], [], list(scores().values()))


def test_a_subset_is_a_bundle_that_is_accepted_and_says_what_it_was_chosen_from(tmp_path: Path, plain_bundle: Bundle) -> None:
    card = subset_bundle(
        plain_bundle, ["m01"], tmp_path / "subset", version="2", reason="no fog", scores=some_scores(m00=0.5, m01=0.1), frames="movie.npz: 0, 5"
    )
    subset = open_bundle(tmp_path / "subset")
    accept(load_ensemble(subset, "cpu"))
    selection = json.loads((subset.folder / "card.json").read_bytes())["selection"]

    assert (card.version, card.member_ids, card.name) == ("2", ("m01",), plain_bundle.card.name)
    assert (selection["members"], selection["parent"], selection["reason"]) == (["m01"], plain_bundle.sha256, "no fog")
    assert selection["scores"]["m00"]["artifact"] == 0.5
    assert [golden.std for golden in subset.golden()] == [None, None]


def test_a_subset_keeps_keys_that_this_version_does_not_know(tmp_path: Path) -> None:
    parent = make_plain_bundle(tmp_path / "plain", biases=(-1.0, -1.1, -0.9), training={"config": {"seed": 3}}, later={"a": 1})
    file = parent.folder / "card.json"
    changed = json.loads(file.read_bytes())
    changed["members"][2]["later"] = "kept"
    file.write_text(json.dumps(changed))
    subset_bundle(open_bundle(parent.folder), ["m02", "m00"], tmp_path / "subset", version="2")
    card = json.loads((tmp_path / "subset" / "card.json").read_bytes())

    assert card["training"] == {"config": {"seed": 3}}
    assert card["later"] == {"a": 1}
    assert [(entry["id"], entry.get("later")) for entry in card["members"]] == [("m00", None), ("m02", "kept")]
    assert open_bundle(tmp_path / "subset").golden()[0].std is not None


def test_a_subset_of_unknown_members_of_none_or_into_a_full_folder_is_refused(tmp_path: Path, plain_bundle: Bundle) -> None:
    with pytest.raises(InputError, match="no member m07"):
        subset_bundle(plain_bundle, ["m07"], tmp_path / "subset", version="2")
    with pytest.raises(InputError, match="needs a member"):
        subset_bundle(plain_bundle, [], tmp_path / "subset", version="2")
    with pytest.raises(InputError, match="not an empty folder"):
        subset_bundle(plain_bundle, ["m00"], plain_bundle.folder, version="2")
