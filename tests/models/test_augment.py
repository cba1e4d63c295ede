from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from atomstream_models.locate import locate
from atomstream_models.normalize import normalizer
from atomstream_models.simulation import render_atoms
from atomstream_models.training import known, wanted
from atomstream_models.training.augment import (
    AtomAIAugmentation,
    Augmentation,
    Batch,
    Geometry,
    Intensity,
    augment,
    flip_and_turn,
    move,
    normalize_batch,
    warp,
)
from atomstream_models.training.losses import loss_function


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _batch(count: int = 4, shape: tuple[int, int] = (96, 96), seed: int = 0, masks: bool = False) -> Batch:
    """Images of Gaussian atoms that stay apart, and those atoms."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(np.arange(12, shape[0] - 8, 16), np.arange(12, shape[1] - 8, 16), indexing="ij"), -1).reshape(-1, 2)
    atoms = grid[None] + rng.uniform(-2, 2, (count, len(grid), 2))
    images = np.stack([render_atoms(one, np.ones(len(one)), (2.5, 2.5), shape) for one in atoms])
    batch = Batch(
        torch.from_numpy(images).float(), torch.from_numpy(atoms).float(), torch.zeros((count, len(grid)), dtype=torch.int64), torch.full((count,), 4.0)
    )
    return Batch(batch.images, batch.atoms_yx, batch.kinds, batch.radius_px, wanted(batch, 1)) if masks else batch


def _brightness_at_atoms(batch: Batch) -> list[NDArray[np.float32]]:
    """The image's value at each atom that lies well inside it."""
    out = []
    for image, atoms in zip(batch.images, batch.atoms_yx, strict=True):
        size = torch.tensor(image.shape)
        inside = ((atoms > 4) & (atoms < size - 5)).all(-1)
        y, x = atoms[inside].round().long().T
        out.append(image[y, x].numpy())
    return out


@pytest.mark.parametrize("symmetry", range(8))
def test_atoms_and_masks_stay_with_their_image_in_all_eight_positions(symmetry: int) -> None:
    batch = _batch(masks=True)
    turned = flip_and_turn(batch, torch.full((4,), symmetry))

    assert all((one > 0.9).all() for one in _brightness_at_atoms(turned))
    assert turned.masks is not None
    np.testing.assert_allclose(turned.masks.numpy(), wanted(Batch(turned.images, turned.atoms_yx, turned.kinds, turned.radius_px), 1).numpy(), atol=1e-5)


def test_the_eight_positions_are_eight() -> None:
    image = torch.arange(64.0).reshape(1, 8, 8).repeat(8, 1, 1)
    nothing = torch.zeros((8, 1, 2))
    turned = flip_and_turn(Batch(image, nothing, nothing[..., 0].long(), torch.ones(8)), torch.arange(8)).images

    assert len({tuple(one.flatten().tolist()) for one in turned}) == 8


def test_turns_alone_mirror_nothing() -> None:
    image = torch.zeros((1, 16, 16))
    image[0, 2, 2:6] = 1  # an L, whose mirror image no turn gives
    image[0, 2:9, 2] = 1
    turns = {tuple(torch.rot90(image[0], k).flatten().tolist()) for k in range(4)}
    nothing = torch.zeros((1, 1, 2))
    for seed in range(16):
        moved = move(Batch(image, nothing, nothing[..., 0].long(), torch.ones(1)), Geometry(flips=False), _generator(seed)).images[0]
        assert tuple(moved.flatten().tolist()) in turns


def test_oblong_images_are_flipped_but_never_turned() -> None:
    batch = move(_batch(shape=(64, 96)), Geometry(), _generator())

    assert batch.images.shape[1:] == (64, 96)
    assert all((one > 0.9).all() for one in _brightness_at_atoms(batch))
    with pytest.raises(ValueError, match="64x96"):
        flip_and_turn(_batch(shape=(64, 96)), torch.full((4,), 4))


def test_a_warp_moves_atoms_and_pixels_alike() -> None:
    batch = move(_batch(seed=3), Geometry(patch_px=64, zoom=(1.0, 2.0), shear=0.04), _generator(1))
    heights = np.concatenate(_brightness_at_atoms(batch))

    assert batch.images.shape == (4, 64, 64)
    assert len(heights) > 15
    # Rounding to a pixel loses some of a peak; an atom that had not moved with its image would see the background.
    assert heights.min() > 0.8


def test_a_warp_is_exact_to_a_hundredth_of_a_pixel() -> None:
    batch = _batch(1)
    still = torch.zeros((1, 2))
    moved = warp(batch, (96, 96), torch.tensor([1.25]), still + 0.5, torch.tensor([[0.03, -0.02]]), torch.zeros((1, 96)))
    found = locate(moved.images.numpy(), None, (), 0.3)[:, :2]
    inside = ((moved.atoms_yx[0] > 8) & (moved.atoms_yx[0] < 87)).all(-1)
    true = moved.atoms_yx[0][inside].numpy()
    error = np.abs(found[:, None] - true[None]).sum(-1).min(axis=0)

    assert np.median(error) < 0.03


def test_targets_find_their_atoms_again() -> None:
    batch = _batch(2, seed=5)
    target = wanted(batch, 1)
    found = locate(target[0].numpy(), None, (), 0.5)[:, :2]
    error = np.linalg.norm(found[:, None] - batch.atoms_yx[0].numpy()[None], axis=-1).min(axis=1)

    assert len(found) == batch.atoms_yx.shape[1]
    assert error.max() < 0.02


def test_targets_of_several_classes_add_up_to_one_and_the_later_class_holds() -> None:
    atoms = torch.tensor([[[20.0, 20.0], [20.0, 22.0], [40.0, 40.0], [float("nan"), float("nan")]]])
    batch = Batch(torch.zeros((1, 64, 64)), atoms, torch.tensor([[0, 1, 0, -1]]), torch.tensor([4.0]))
    target = wanted(batch, 2)[0]

    np.testing.assert_allclose(target.sum(0).numpy(), 1, atol=1e-6)
    assert target[1, 20, 22] > 0.9
    assert target[0, 20, 22] < 0.1
    assert target[0, 40, 40] > 0.9
    assert target[2, 60, 10] > 0.99


def test_a_class_that_is_missing_is_an_empty_target() -> None:
    target = wanted(_batch(2), 2)

    assert float(target[:, 1].max()) < 1e-3
    assert float(target[:, 0].max()) > 0.9


def test_atoms_outside_the_patch_are_drawn_in_part() -> None:
    atoms = torch.tensor([[[-1.0, 10.0], [63.9, 70.0], [-500.0, 3.0]]])
    target = wanted(Batch(torch.zeros((1, 64, 64)), atoms, torch.zeros((1, 3), dtype=torch.int64), torch.tensor([4.0])), 1)[0, 0]

    assert target[0, 10] > 0.9
    assert target[20:50, 20:50].max() < 1e-3


@pytest.mark.parametrize("name", ["robust", "minmax", "none"])
@pytest.mark.parametrize("side", [64, 300])
def test_batches_are_normalised_as_frames_are(name: str, side: int) -> None:
    rng = np.random.default_rng(0)
    images = (rng.gamma(2, 3, (3, side, side)) + 5).astype(np.float32)
    images[1, :4] = 500
    images[2] = 7
    batch = normalize_batch(torch.from_numpy(images), name, {})

    for image, normalised in zip(images, batch, strict=True):
        np.testing.assert_allclose(normalised.numpy(), normalizer(name)(image), rtol=1e-4, atol=2e-4)


FULL = Augmentation(
    geometry=Geometry(patch_px=64, zoom=(1, 1.5), shear=0.02, line_jitter_px=(0, 1)),
    intensity=Intensity(
        blur_px=(0, 2),
        contrast=(0.5, 1.9),
        background=(0, 1),
        noise=(0.05, 1),
        shot=(0, 1),
        counts=(1, 50),
        counts_chance=0.5,
        smear_chance=0.5,
        salt_and_pepper=(0, 0.05),
        salt_and_pepper_chance=0.5,
        gamma_chance=0.5,
        floor_chance=0.5,
    ),
)
ATOMAI = AtomAIAugmentation(
    gauss_noise=True, jitter=True, poisson_noise=True, salt_and_pepper=True, blur=True, contrast=True, zoom=True, background=True, rotation=True
)


@pytest.mark.parametrize("settings", [FULL, ATOMAI])
def test_augmentation_is_the_same_for_the_same_seed_and_another_for_another(settings: Augmentation | AtomAIAugmentation) -> None:
    one, same, other = (augment(_batch(), settings, _generator(seed)).images for seed in (1, 1, 2))

    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.isfinite(one).all()


@pytest.mark.parametrize("settings", [FULL, ATOMAI])
def test_constant_and_empty_images_pass_through_every_augmentation(settings: Augmentation | AtomAIAugmentation) -> None:
    for value in (0.0, 3.0):
        batch = Batch(torch.full((2, 96, 96), value), torch.full((2, 1, 2), torch.nan), torch.full((2, 1), -1), torch.full((2,), 4.0))
        out = augment(batch, settings, _generator())

        assert torch.isfinite(out.images).all()
        assert float(wanted(out, 1).max()) < 1e-3


def _noise_of(settings: Intensity, level: float) -> Tensor:
    images = torch.full((8, 64, 64), level)
    batch = Batch(images, torch.zeros((8, 1, 2)), torch.zeros((8, 1), dtype=torch.int64), torch.ones(8))
    return augment(batch, Augmentation(intensity=settings), _generator()).images - images


def test_noise_has_the_size_that_was_asked_for() -> None:
    assert _noise_of(Intensity(noise=(0.3, 0.3)), 2.0).std() == pytest.approx(0.3, rel=0.02)
    assert _noise_of(Intensity(counts=(25, 25), counts_chance=1), 4.0).std() == pytest.approx(np.sqrt(4 / 25), rel=0.02)


def test_atomai_noise_has_atomais_units() -> None:
    ramp = torch.linspace(0, 1, 96)[None, None].repeat(2, 96, 1)
    batch = Batch(ramp, torch.zeros((2, 1, 2)), torch.zeros((2, 1), dtype=torch.int64), torch.ones(2))
    out = augment(batch, AtomAIAugmentation(gauss_noise=(25, 26)), _generator()).images

    # Variance 25e-4, before the last normalisation to 0..1, which the clipped values leave as it is.
    assert (out - ramp)[:, :, 20:76].std() == pytest.approx(0.05, rel=0.05)
    assert (float(out.min()), float(out.max())) == (0, 1)


def test_nothing_is_learned_where_nobody_knows() -> None:
    atoms = torch.tensor([[[20.0, 20.0], [40.0, 44.0]]])
    batch = Batch(torch.zeros((1, 64, 64)), atoms, torch.tensor([[0, -2]]), torch.tensor([4.0]))
    mask = known(batch)
    assert mask is not None
    there, hidden = wanted(batch, 1)[0, 0], mask[0, 0] == 0

    assert known(Batch(batch.images, atoms, torch.tensor([[0, -1]]), batch.radius_px)) is None
    assert hidden[40, 44]
    assert not hidden[20, 20]
    assert there[20, 20] > 0.9
    assert there[40, 44] < 1e-3
    for name in ("cross-entropy", "dice", "focal", "soft-iou"):
        loss = loss_function(name)
        logits = torch.zeros((1, 1, 64, 64))
        wrong = torch.where(hidden, 9.0, 0.0)[None, None]

        assert torch.equal(loss(logits, there[None, None], mask), loss(logits + wrong, there[None, None], mask))
        assert not torch.equal(loss(logits, there[None, None]), loss(logits + wrong, there[None, None]))
