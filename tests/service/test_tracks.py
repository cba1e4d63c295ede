from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from trackpy.linking import Linker

from atomstream_service.config import TrackSettings
from atomstream_service.tracks import Scene, TrackLinker, common_shift

SCENE = Scene("scope", "HAADF", "one", (256, 256), None)
SPACING = 14.0


def lattice(rows: int = 18, columns: int = 18) -> NDArray[np.float64]:
    """A hexagonal lattice, shape (rows * columns, 2)."""
    return np.array([(SPACING * (i + 0.5 * (j % 2)), SPACING * 0.866 * j) for i in range(rows) for j in range(columns)])


def atoms_at(yx: NDArray[np.float64]) -> NDArray[np.float32]:
    atoms = np.zeros((len(yx), 10), np.float32)
    atoms[:, :2] = yx
    atoms[:, 9] = np.arange(len(yx))
    return atoms


def ids(linked: NDArray[np.float32]) -> list[int]:
    return [int(one) for one in linked[:, 9]]


def test_ids_stay_with_their_atoms_under_jitter_whatever_order_atoms_come_in() -> None:
    rng, linker, sites = np.random.default_rng(0), TrackLinker(TrackSettings()), lattice()
    first = ids(linker.link(SCENE, atoms_at(sites)))
    for _ in range(20):
        order = rng.permutation(len(sites))
        seen = ids(linker.link(SCENE, atoms_at((sites + rng.normal(0, 0.7, sites.shape))[order])))
        assert seen == [first[k] for k in order]
    assert linker.summary.started == len(sites)


def test_ids_stay_while_the_stage_drifts_by_nearly_half_a_neighbour_distance_each_frame() -> None:
    rng, linker, sites = np.random.default_rng(1), TrackLinker(TrackSettings(max_distance_share=0.2)), lattice(30, 30)
    names: dict[int, int] = {}
    for k in range(12):
        moved = sites + k * np.array([4.4, -3.6]) + rng.normal(0, 0.4, sites.shape)
        inside = np.flatnonzero((moved > 0).all(axis=1) & (moved < 256).all(axis=1))
        for site, name in zip(inside, ids(linker.link(SCENE, atoms_at(moved[inside]))), strict=True):
            assert names.setdefault(int(site), name) == name
    assert len(set(names.values())) == len(names)


def test_an_island_is_followed_over_a_jump_of_more_than_half_a_neighbour_distance() -> None:
    linker, island = TrackLinker(TrackSettings()), lattice(5, 5)
    before = ids(linker.link(SCENE, atoms_at(island + 80)))

    assert ids(linker.link(SCENE, atoms_at(island + 80 + np.array([0.0, 11.0])))) == before


def test_the_motion_of_a_few_atoms_is_not_taken_for_the_stage() -> None:
    sites = lattice(8, 8)
    moved = sites.copy()
    moved[:10] += 5.0

    assert np.abs(common_shift(sites, moved, SPACING)).max() < 0.1
    assert (common_shift(sites[:2], sites[:2] + 3.0, SPACING) == 0).all()


def test_an_atom_out_of_sight_keeps_its_id_as_long_as_the_memory_and_then_gets_a_new_one() -> None:
    linker, sites = TrackLinker(TrackSettings(memory_frames=2)), lattice(6, 6)
    first = ids(linker.link(SCENE, atoms_at(sites)))
    for _ in range(2):
        linker.link(SCENE, atoms_at(sites[1:]))
    back = ids(linker.link(SCENE, atoms_at(sites)))
    for _ in range(3):
        linker.link(SCENE, atoms_at(sites[1:]))
    too_late = ids(linker.link(SCENE, atoms_at(sites)))

    assert back == first
    assert too_late[1:] == first[1:]
    assert too_late[0] == len(sites)


def test_an_atom_out_of_sight_drifts_with_the_others() -> None:
    linker, sites = TrackLinker(TrackSettings(memory_frames=3)), lattice(8, 8)
    first = ids(linker.link(SCENE, atoms_at(sites)))
    for k in (1, 2, 3):
        linker.link(SCENE, atoms_at(np.delete(sites, 20, axis=0) + 5.0 * k))

    assert ids(linker.link(SCENE, atoms_at(sites + 20.0))) == first


def test_a_new_atom_gets_a_new_id() -> None:
    linker, sites = TrackLinker(TrackSettings()), lattice(4, 4)
    first = ids(linker.link(SCENE, atoms_at(sites)))

    assert ids(linker.link(SCENE, atoms_at(np.vstack([sites, [200.0, 200.0]])))) == [*first, len(sites)]


@pytest.mark.parametrize("change", [{"session": "two"}, {"shape": (128, 256)}, {"pixel_size_nm": (0.01, 0.01)}])
def test_another_session_shape_or_pixel_size_begins_new_tracks_with_new_ids(change: dict[str, object]) -> None:
    linker, sites = TrackLinker(TrackSettings()), lattice(4, 4)
    first = ids(linker.link(SCENE, atoms_at(sites)))

    assert set(ids(linker.link(replace(SCENE, **change), atoms_at(sites)))).isdisjoint(first)  # type: ignore[arg-type]


def test_sources_and_channels_have_tracks_of_their_own() -> None:
    linker, sites = TrackLinker(TrackSettings()), lattice(4, 4)
    first = ids(linker.link(SCENE, atoms_at(sites)))
    for other in (replace(SCENE, source="other"), replace(SCENE, channel="BF")):
        linker.link(other, atoms_at(sites + 7.0))

    assert ids(linker.link(SCENE, atoms_at(sites))) == first


def test_a_distance_in_nm_holds_where_the_pixel_size_is_known() -> None:
    calibrated = replace(SCENE, pixel_size_nm=(0.01, 0.01))
    for settings, linked in ((TrackSettings(max_distance_nm=0.02), False), (TrackSettings(max_distance_nm=0.06), True)):
        linker = TrackLinker(settings)
        linker.link(calibrated, atoms_at(np.array([[50.0, 50.0], [100.0, 50.0]])))
        assert (ids(linker.link(calibrated, atoms_at(np.array([[50.0, 55.0], [100.0, 50.0]]))))[0] == 0) is linked


def test_a_frame_without_atoms_is_a_frame_that_all_are_missing_from() -> None:
    linker, sites = TrackLinker(TrackSettings(memory_frames=1)), lattice(4, 4)
    first = ids(linker.link(SCENE, atoms_at(sites)))
    none = linker.link(SCENE, atoms_at(np.empty((0, 2))))

    assert none.shape == (0, 10)
    assert ids(linker.link(SCENE, atoms_at(sites))) == first


def test_ids_begin_again_once_float32_can_hold_no_more() -> None:
    linker, sites = TrackLinker(TrackSettings(memory_frames=0), most_ids=40), lattice(4, 4)
    for session in ("one", "two"):
        linker.link(replace(SCENE, session=session), atoms_at(sites))
    again = ids(linker.link(replace(SCENE, session="three"), atoms_at(sites)))

    assert sorted(again) == list(range(16))
    assert linker.summary.restarted == 1
    assert ids(linker.link(replace(SCENE, session="three"), atoms_at(sites))) == again


def test_a_crowded_frame_is_linked_over_a_shorter_distance_and_counted() -> None:
    rng, linker = np.random.default_rng(2), TrackLinker(TrackSettings(max_distance_nm=2.0))
    calibrated = replace(SCENE, pixel_size_nm=(0.01, 0.01))
    crowd = rng.random((3000, 2)) * 256
    first = ids(linker.link(calibrated, atoms_at(crowd)))
    second = ids(linker.link(calibrated, atoms_at(crowd + rng.normal(0, 0.05, crowd.shape))))

    assert linker.summary.narrowed == 1
    assert np.mean(np.array(first) == np.array(second)) > 0.99


def test_links_are_those_of_trackpy() -> None:
    rng, sites = np.random.default_rng(3), lattice(20, 20)
    scene = replace(SCENE, pixel_size_nm=(1.0, 1.0))
    ours, theirs = TrackLinker(TrackSettings(max_distance_nm=0.5 * SPACING, memory_frames=2)), Linker(0.5 * SPACING, memory=2)
    pairs = set()
    for k in range(15):
        seen = (sites + rng.normal(0, 1.0, sites.shape))[rng.random(len(sites)) > 0.03]
        if k:
            theirs.next_level(seen, k)
        else:
            theirs.init_level(seen, k)
        pairs |= set(zip(ids(ours.link(scene, atoms_at(seen))), theirs.particle_ids, strict=True))

    assert len(pairs) == len({one for one, _ in pairs}) == len({other for _, other in pairs})
