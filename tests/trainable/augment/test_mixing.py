"""MixUp and CutMix."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from trainable.augment.mixing import Mixer
from trainable.config import AugmentConfig

COUNT = 8
LABELS = torch.arange(COUNT)
"""Each image of a class of its own, so that targets tell who was mixed with whom."""


def mixer(seed: int = 0, **alphas: float) -> Mixer:
    return Mixer(AugmentConfig(**alphas), COUNT, torch.Generator().manual_seed(seed))


def maps(side: int = 8) -> Tensor:
    """Image `i` is `i` all over."""
    return LABELS.float()[:, None, None, None].expand(COUNT, 2, side, side).clone()


def vectors() -> Tensor:
    return torch.randn(COUNT, 5, generator=torch.Generator().manual_seed(0))


def blend(inputs: Tensor, targets: Tensor) -> Tensor:
    """The inputs mixed as the targets say."""
    return (targets @ inputs.flatten(1).float()).view(inputs.shape)


def shares(targets: Tensor) -> Tensor:
    """Of those that had a partner, the share each kept of itself."""
    kept = targets.diagonal()
    return kept[kept < 1]


def test_nothing_is_touched_when_mixing_is_off() -> None:
    inputs = maps()

    mixed, targets, _ = mixer()(inputs, LABELS)

    assert mixed is inputs
    assert targets is LABELS


@given(st.integers(0, 100), st.floats(0, 10), st.floats(0, 10), st.booleans())
def test_targets_are_shares_of_the_classes(
    seed: int, mixup: float, cutmix: float, pooled: bool
) -> None:
    _, targets, _ = mixer(seed, mixup=mixup, cutmix=max(cutmix, 1e-3))(
        vectors() if pooled else maps(), LABELS
    )

    assert targets.shape == (COUNT, COUNT)
    assert targets.min() >= 0
    torch.testing.assert_close(targets.sum(1), torch.ones(COUNT))
    torch.testing.assert_close(targets.sum(0), torch.ones(COUNT))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("inputs", [maps(), vectors()], ids=["maps", "vectors"])
def test_mixup_blends_inputs_as_it_blends_targets(seed: int, inputs: Tensor) -> None:
    mixed, targets, _ = mixer(seed, mixup=1.0)(inputs, LABELS)

    torch.testing.assert_close(mixed, blend(inputs, targets))
    assert len(shares(targets).unique()) == 1


@pytest.mark.parametrize("seed", range(20))
def test_cutmix_pastes_as_much_as_the_targets_say(seed: int) -> None:
    mixed, targets, _ = mixer(seed, cutmix=1.0)(maps(), LABELS)

    for image, target in zip(mixed, targets, strict=True):
        areas = torch.bincount(image[0].long().flatten(), minlength=COUNT) / image[0].numel()
        torch.testing.assert_close(areas, target)
        assert torch.equal(image[0], image[1])


def test_cutmix_pastes_one_box_in_the_same_place_of_all_images() -> None:
    mixed, *_ = mixer(1, cutmix=1.0)(maps(), LABELS)

    pasted = (mixed != maps())[:, 0]
    places = {place.numpy().tobytes() for place in pasted if place.any()}
    assert len(places) == 1
    place = next(place for place in pasted if place.any())
    assert 0 < place.sum() < place.numel()
    assert place.sum() == place.any(0).sum() * place.any(1).sum()


def test_cutmix_pastes_boxes_up_to_every_edge() -> None:
    mix = mixer(cutmix=1.0)
    places = [(mix(maps(), LABELS)[0] != maps()).any(1).any(0) for _ in range(200)]
    partial = torch.stack([place for place in places if not (place.any(0) | place.any(1)).all()])

    for edge in (partial[:, 0], partial[:, -1], partial[:, :, 0], partial[:, :, -1]):
        assert 5 < edge.any(1).sum() < len(partial)


@pytest.mark.parametrize("seed", range(5))
def test_cutmix_blends_pooled_vectors(seed: int) -> None:
    mixed, targets, _ = mixer(seed, cutmix=1.0)(vectors(), LABELS)

    torch.testing.assert_close(mixed, blend(vectors(), targets))


def test_cutmix_leaves_one_pixel_maps_whole() -> None:
    mixed, targets, _ = mixer(3, cutmix=1.0)(maps(1), LABELS)

    torch.testing.assert_close(mixed, blend(maps(1), targets))
    assert set(targets.unique().tolist()) <= {0.0, 1.0}


def test_each_batch_takes_one_of_both_at_even_odds() -> None:
    both = mixer(mixup=1.0, cutmix=1.0)
    blended = 0
    for _ in range(200):
        mixed, *_ = both(maps(), LABELS)
        constant = mixed.flatten(1).std(1).max() < 1e-6
        blended += bool(constant)

    assert 75 < blended < 140


def test_a_large_alpha_mixes_evenly_and_a_small_one_hardly() -> None:
    def mean_smaller_share(alpha: float) -> float:
        mix = mixer(mixup=alpha)
        kept = torch.cat([shares(mix(vectors(), LABELS)[1]) for _ in range(50)])
        return torch.minimum(kept, 1 - kept).mean().item()

    assert mean_smaller_share(10.0) > 0.35
    assert mean_smaller_share(0.1) < 0.1


@pytest.mark.parametrize("alphas", [{"mixup": 1.0}, {"cutmix": 1.0}, {"mixup": 0.5, "cutmix": 2.0}])
def test_the_same_generator_mixes_the_same_way(alphas: dict[str, float]) -> None:
    torch.manual_seed(1)
    first = [mix(maps(), LABELS) for mix in [mixer(4, **alphas)] for _ in range(3)]
    torch.manual_seed(2)
    second = [mix(maps(), LABELS) for mix in [mixer(4, **alphas)] for _ in range(3)]
    other = mixer(5, **alphas)(maps(), LABELS)

    for (inputs, targets, _), (same_inputs, same_targets, _) in zip(first, second, strict=True):
        assert torch.equal(inputs, same_inputs)
        assert torch.equal(targets, same_targets)
    assert not torch.equal(other[1], first[0][1])
    assert not torch.equal(first[0][1], first[1][1])


@pytest.mark.parametrize("alphas", [{"mixup": 1.0}, {"cutmix": 1.0}])
def test_the_batch_itself_is_left_as_it_was(alphas: dict[str, float]) -> None:
    inputs = maps()

    mixer(1, **alphas)(inputs, LABELS)

    assert torch.equal(inputs, maps())


@pytest.mark.parametrize(
    ("given_type", "mixed_type"),
    [
        (torch.uint8, torch.float32),
        (torch.bfloat16, torch.bfloat16),
        (torch.float32, torch.float32),
    ],
)
def test_mixup_makes_fractions_of_pixels_and_keeps_activations_types(
    given_type: torch.dtype, mixed_type: torch.dtype
) -> None:
    pixels = (maps() * 30).to(given_type)

    mixed, targets, _ = mixer(mixup=1.0)(pixels, LABELS)

    assert mixed.dtype == mixed_type
    torch.testing.assert_close(mixed.float(), blend(pixels, targets), rtol=0.01, atol=0.01)


def test_cutmix_keeps_pixels_as_integers() -> None:
    mixed, *_ = mixer(cutmix=1.0)(maps().to(torch.uint8), LABELS)

    assert mixed.dtype == torch.uint8
