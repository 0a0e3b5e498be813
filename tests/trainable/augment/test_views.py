"""View `k` is the same pixels, wherever and in whatever pieces it is rendered."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import trainable
from trainable import registries
from trainable.augment.views import Views
from trainable.config import Policy
from trainable.data.sizes import fit

POLICIES = tuple(registries.POLICIES)
RANDOM: tuple[Policy, ...] = ("flip_crop", "trivial", "rand")
SIZE = 16
SIDES = [12, 16, 24]
"""Stored sides below, at and above the size the network sees."""
COUNT = 9


def noise(side: int, count: int = COUNT) -> Tensor:
    generator = torch.Generator().manual_seed(side)
    return torch.randint(256, (count, 3, side, side), generator=generator, dtype=torch.uint8)


def views(side: int = 12, **changes: Any) -> Views:
    given: dict[str, Any] = {"policy": "flip_crop", "image_size": SIZE, "num_views": 4}
    return Views(noise(side), **{"fingerprint": "a", **given, **changes})


def whole(views: Views, rendition: int = 0) -> Tensor:
    return views.render(rendition, 0, len(views))


def brightens_to_the_right(images: Tensor) -> Tensor:
    columns = images.float().mean((1, 2))
    half = columns.shape[1] // 2
    return columns[:, half:].mean(1) > columns[:, :half].mean(1)


def ramps(side: int, count: int = 64) -> Tensor:
    """Images that brighten from left to right."""
    row = torch.linspace(0, 255, side).to(torch.uint8)
    return row.expand(count, 3, side, side).contiguous()


bounds = st.tuples(st.integers(0, COUNT), st.integers(0, COUNT)).map(sorted)
proper_bounds = bounds.filter(lambda pair: pair[0] < pair[1])


@given(st.sampled_from(POLICIES), st.sampled_from(SIDES), st.integers(0, 3), proper_bounds)
def test_a_chunk_is_the_slice_of_the_whole(
    policy: Policy, side: int, rendition: int, bounds: list[int]
) -> None:
    start, stop = bounds
    rendered = views(side, policy=policy)

    chunk = rendered.render(rendition, start, stop)

    assert torch.equal(chunk, whole(rendered, rendition)[start:stop])


@given(st.sampled_from(POLICIES), st.sampled_from(SIDES), st.integers(0, 3), st.booleans())
def test_a_view_depends_on_nothing_but_what_defines_it(
    policy: Policy, side: int, rendition: int, mirror: bool
) -> None:
    first, second = (views(side, policy=policy, mirror=mirror) for _ in range(2))
    rendered = whole(first, rendition)
    torch.manual_seed(rendition)
    whole(second, rendition + 1)

    assert torch.equal(rendered, whole(second, rendition))
    assert torch.equal(first.choice(rendition), second.choice(rendition))


@given(st.sampled_from(POLICIES), st.sampled_from(SIDES))
def test_a_view_is_integers_of_the_size_the_network_sees(policy: Policy, side: int) -> None:
    rendered = whole(views(side, policy=policy), 1)

    assert rendered.shape == (COUNT, 3, SIZE, SIZE)
    assert rendered.dtype == torch.uint8


@given(st.sampled_from(POLICIES), st.sampled_from(SIDES))
def test_rendering_leaves_the_stored_images_as_they_were(policy: Policy, side: int) -> None:
    rendered = views(side, policy=policy)
    before = rendered.images.clone()

    for rendition in range(2):
        whole(rendered, rendition)

    assert torch.equal(rendered.images, before)


@given(st.sampled_from(POLICIES), st.sampled_from(SIDES))
def test_rendering_leaves_the_global_generator_alone(policy: Policy, side: int) -> None:
    rendered = views(side, policy=policy)
    before = torch.get_rng_state()

    whole(rendered)
    rendered.choice(0)

    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.slow
def test_another_process_renders_the_same_pixels(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", noise(24).numpy())
    program = (
        "import sys, numpy, torch; from trainable.augment.views import Views;"
        "images = torch.from_numpy(numpy.load(sys.argv[1]));"
        "numpy.save(sys.argv[2], Views(images, 'a', 'trivial', 16, 4).render(2, 3, 9).numpy())"
    )
    root = Path(trainable.__file__).parents[1]

    subprocess.run(
        [sys.executable, "-c", program, tmp_path / "images.npy", tmp_path / "there.npy"],
        env={**os.environ, "PYTHONPATH": str(root), "PYTHONHASHSEED": "3"},
        check=True,
    )

    here = Views(noise(24), "a", "trivial", SIZE, 4).render(2, 3, 9)
    np.testing.assert_array_equal(np.load(tmp_path / "there.npy"), here.numpy())


@pytest.mark.parametrize("policy", RANDOM)
@pytest.mark.parametrize("side", SIDES)
class TestRandomPolicies:
    def test_another_rendition_has_other_pixels(self, policy: Policy, side: int) -> None:
        rendered = views(side, policy=policy)

        renditions = [whole(rendered, number).numpy().tobytes() for number in range(4)]

        assert len(set(renditions)) == 4

    def test_another_dataset_has_other_draws(self, policy: Policy, side: int) -> None:
        first, second = (views(side, policy=policy, fingerprint=name) for name in "ab")

        assert not torch.equal(whole(first), whole(second))

    def test_each_image_has_its_own_draw(self, policy: Policy, side: int) -> None:
        alike = noise(side, 1).expand(8, -1, -1, -1).contiguous()

        rendered = whole(Views(alike, "a", policy, SIZE, 4))

        assert len({image.numpy().tobytes() for image in rendered}) > 4

    def test_the_number_of_views_does_not_change_a_view(self, policy: Policy, side: int) -> None:
        few, many = (views(side, policy=policy, num_views=number) for number in (2, 9))

        assert torch.equal(whole(few, 1), whole(many, 1))

    def test_an_epoch_has_one_rendition_and_the_renditions_come_round(
        self, policy: Policy, side: int
    ) -> None:
        rendered = views(side, policy=policy, num_views=3)

        assert [rendered.renditions_of(epoch) for epoch in range(5)] == [
            (0,),
            (1,),
            (2,),
            (0,),
            (1,),
        ]
        assert not rendered.choice(1).any()


@pytest.mark.parametrize("policy", ["trivial", "rand"])
def test_these_policies_do_more_than_crop_and_mirror(policy: Policy) -> None:
    grey = torch.full((32, 3, SIZE, SIZE), 100, dtype=torch.uint8)

    cropped, rendered = (whole(Views(grey, "a", name, SIZE, 4)) for name in ("flip_crop", policy))

    assert torch.equal(cropped, grey)
    assert not torch.equal(rendered, grey)


class TestNone:
    @pytest.mark.parametrize("side", SIDES)
    def test_it_has_one_rendition_that_is_not_augmented(self, side: int) -> None:
        plain = views(side, policy="none")

        assert {plain.renditions_of(epoch) for epoch in range(6)} == {(0,)}
        assert not plain.choice(5).any()
        assert torch.equal(whole(plain), fit(plain.images, SIZE))


class TestFlip:
    @pytest.mark.parametrize("side", SIDES)
    def test_its_second_rendition_is_the_mirror_of_its_first(self, side: int) -> None:
        flip = views(side, policy="flip")

        assert {flip.renditions_of(epoch) for epoch in range(6)} == {(0, 1)}
        assert torch.equal(whole(flip, 0), fit(flip.images, SIZE))
        assert torch.equal(whole(flip, 1), whole(flip, 0).flip(3))

    @pytest.fixture
    def many(self) -> Views:
        return Views(torch.zeros(1000, 3, 2, 2, dtype=torch.uint8), "a", "flip", 8, num_views=3)

    def test_it_mirrors_about_half_of_the_images(self, many: Views) -> None:
        for epoch in range(3):
            assert set(many.choice(epoch).tolist()) == {0, 1}
            assert 450 < many.choice(epoch).sum() < 550

    def test_it_mirrors_others_in_the_next_epoch(self, many: Views) -> None:
        agreement = (many.choice(0) == many.choice(1)).float().mean()

        assert 0.4 < agreement < 0.6

    def test_its_choices_come_round(self, many: Views) -> None:
        for epoch in range(3):
            assert torch.equal(many.choice(epoch), many.choice(epoch + 3))

    def test_its_choices_depend_on_the_dataset(self, many: Views) -> None:
        other = Views(many.images, "b", "flip", 8, num_views=3)

        assert not torch.equal(many.choice(0), other.choice(0))


class TestFlipCrop:
    @pytest.mark.parametrize("side", SIDES)
    def test_it_mirrors_about_half_of_the_images(self, side: int) -> None:
        mirrored = ~brightens_to_the_right(whole(Views(ramps(side), "a", "flip_crop", SIZE, 4)))

        assert 20 < mirrored.sum() < 44

    @pytest.mark.parametrize("side", SIDES)
    def test_it_mirrors_nothing_where_a_mirrored_image_changes_its_label(self, side: int) -> None:
        unmirrored = Views(ramps(side), "a", "flip_crop", SIZE, 4, mirror=False)

        for rendition in range(4):
            assert brightens_to_the_right(whole(unmirrored, rendition)).all()

    def test_a_small_image_moves_by_up_to_an_eighth_of_its_side(self) -> None:
        dots = torch.zeros(200, 3, SIZE, SIZE, dtype=torch.uint8)
        dots[:, :, 8, 8] = 255

        rendered = whole(Views(dots, "a", "flip_crop", SIZE, 4, mirror=False))

        found = rendered[:, 0].nonzero()
        assert len(found) == 200
        assert {tuple(place) for place in (found[:, 1:] - 8).tolist()} == {
            (down, right) for down in range(-2, 3) for right in range(-2, 3)
        }

    @pytest.mark.parametrize("side", SIDES)
    def test_another_size_has_other_draws(self, side: int) -> None:
        small, large = (
            brightens_to_the_right(whole(Views(ramps(side), "a", "flip_crop", size, 4)))
            for size in (SIZE, SIZE + 1)
        )

        assert 20 < (small != large).sum() < 44

    @pytest.mark.parametrize("upright", [False, True])
    def test_a_large_image_is_cut_to_a_quarter_or_more_of_it_anywhere(self, upright: bool) -> None:
        images = ramps(64, 200).transpose(2, 3) if upright else ramps(64, 200)

        rendered = whole(Views(images, "a", "flip_crop", SIZE, 4, mirror=False))

        levels = rendered[:, 0].float() / 255
        first, last = levels[:, 0, 0], levels[:, -1, -1]
        assert 0.35 < (last - first).min() < 0.5
        assert (last - first).max() > 0.9
        assert first.min() < 0.05
        assert first.max() > 0.4
        assert last.max() > 0.95
