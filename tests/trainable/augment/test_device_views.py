"""What a GPU renders is the view that a CPU renders, but for the rounding.

The code for a GPU runs on a CPU too, which is how it is tested where there is no GPU.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from trainable import registries
from trainable.augment import device_views, per_image
from trainable.augment.device_views import TOLERANCE, DeviceViews
from trainable.augment.resampling import resampled
from trainable.augment.views import Views
from trainable.config import Policy
from trainable.data.sizes import fit
from trainable.device import Device

POLICIES = tuple(registries.POLICIES)
GROUPED: tuple[Policy, ...] = ("trivial", "rand")
SIZE = 16
COUNT = 100


@pytest.fixture(autouse=True)
def one_thread(threads: None) -> None:
    torch.set_num_threads(1)


on_gpu = pytest.param("cuda", marks=pytest.mark.gpu)


def blobs(side: int, count: int = COUNT) -> Tensor:
    """Smooth images, as photographs mostly are."""
    generator = torch.Generator().manual_seed(side)
    coarse = torch.rand(count, 3, 5, 5, generator=generator) * 255
    smooth = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")
    return smooth.to(torch.uint8)


def views(side: int, policy: Policy, **changes: Any) -> Views:
    return Views(
        blobs(side), "a", **{"policy": policy, "image_size": SIZE, "num_views": 4} | changes
    )


def there(source: Views, name: str) -> DeviceViews:
    return DeviceViews.of(source, device_of(name))


def device_of(name: str) -> Device:
    return Device(torch.device(name), torch.float32, 1)


def whole(source: Views, rendition: int) -> Tensor:
    return source.render(rendition, 0, len(source)).cpu()


def difference(first: Tensor, second: Tensor) -> Tensor:
    return (first.int() - second.int()).abs()


@pytest.mark.parametrize("name", ["cpu", on_gpu])
@pytest.mark.parametrize("side", [12, 16, 17, 18, 24, 40])
@pytest.mark.parametrize("policy", ["none", "flip", "flip_crop"])
@pytest.mark.parametrize("rendition", [0, 1])
def test_a_view_is_the_cpus_but_for_the_rounding(
    policy: Policy, side: int, rendition: int, name: str
) -> None:
    source = views(side, policy)
    rendered = there(source, name)
    whole(rendered, 1 - rendition)

    found, expected = whole(rendered, rendition), whole(source, rendition)

    assert found.shape == expected.shape
    assert found.dtype == torch.uint8
    assert difference(found, expected).max() <= TOLERANCE
    assert difference(found, expected).float().mean() < 0.5


@pytest.mark.parametrize("mirror", [True, False])
@pytest.mark.parametrize("policy", GROUPED)
def test_without_resizing_trivial_and_rand_are_torchvisions_to_the_pixel(
    policy: Policy, mirror: bool
) -> None:
    source = views(SIZE, policy, mirror=mirror)

    assert torch.equal(whole(there(source, "cpu"), 1), whole(source, 1))


@pytest.mark.parametrize("name", ["cpu", on_gpu])
@pytest.mark.parametrize("side", [12, 16, 24])
@pytest.mark.parametrize("policy", GROUPED)
def test_after_operations_that_amplify_the_rounding_few_pixels_differ(
    policy: Policy, side: int, name: str
) -> None:
    source = views(side, policy)

    apart = difference(whole(there(source, name), 1), whole(source, 1))

    assert (apart > TOLERANCE).float().mean() < 0.03
    assert apart.float().mean() < 1


@pytest.mark.parametrize("policy", GROUPED)
def test_images_that_drew_the_same_operation_are_changed_together(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type(per_image._policy(registries.POLICIES[policy].transform))
    real, counts = kind._apply_image_or_video_transform, []

    def note(self: Any, images: Tensor, *args: Any, **options: Any) -> Tensor:
        counts.append(len(images) if images.ndim == 4 else 1)
        return real(self, images, *args, **options)

    monkeypatch.setattr(kind, "_apply_image_or_video_transform", note)
    whole(there(views(SIZE, policy), "cpu"), 1)

    assert max(counts) > 1


@pytest.mark.parametrize("name", ["cpu", on_gpu])
@pytest.mark.parametrize("page", [1, 3 * SIZE**2 * 7, 3 * SIZE**2 * COUNT])
@pytest.mark.parametrize("policy", POLICIES)
def test_a_chunk_is_the_slice_of_the_whole(
    policy: Policy, page: int, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered = there(views(SIZE, policy), name)
    expected = [whole(rendered, rendition) for rendition in range(2)]
    monkeypatch.setattr(device_views, "_PAGE_BYTES", page)
    rendered = there(views(SIZE, policy), name)

    for rendition, start, stop in [(0, 3, 9), (0, 9, 12), (1, 9, 12), (0, 0, 5), (1, 60, COUNT)]:
        chunk = rendered.render(rendition, start, stop).cpu()
        assert torch.equal(chunk, expected[rendition][start:stop])


@pytest.mark.parametrize("name", ["cpu", on_gpu])
@pytest.mark.parametrize("side", [12, 24])
@pytest.mark.parametrize("policy", ["none", "flip", "flip_crop"])
def test_images_in_any_order_are_those_of_the_rendition(
    policy: Policy, side: int, name: str
) -> None:
    rendered = there(views(side, policy), name)
    indices = torch.tensor([7, 0, COUNT - 1, 7])

    found = rendered.render_at(1, indices.to(name)).cpu()

    # Batches of another size may be multiplied in another order.
    assert difference(found, whole(rendered, 1)[indices]).max() <= 1


@pytest.mark.parametrize("name", ["cpu", on_gpu])
def test_images_may_stay_where_they_are(name: str) -> None:
    source = views(24, "flip_crop")
    resident, brought = (
        DeviceViews.of(source, device_of(name), resident=resident) for resident in (True, False)
    )

    assert brought.images.device.type == "cpu"
    assert torch.equal(whole(resident, 1), whole(brought, 1))
    indices = torch.tensor([3, 1], device=name)
    assert torch.equal(resident.render_at(0, indices), brought.render_at(0, indices))


def test_a_box_of_each_image_is_resized_as_torchvision_resizes_it() -> None:
    images = blobs(40, 3)
    boxes = torch.tensor([[0, 0, 40, 40], [3, 5, 7, 30], [20, 1, 16, 16]])

    found = resampled(images, boxes, SIZE)

    for image, (top, left, height, width), result in zip(
        images, boxes.tolist(), found, strict=True
    ):
        part = image[None, :, top : top + height, left : left + width].float()
        expected = torch.nn.functional.interpolate(
            part, size=(SIZE, SIZE), mode="bilinear", antialias=True
        )
        assert (result - expected[0]).abs().max() < 1


def test_what_is_not_resized_is_not_changed() -> None:
    images = torch.randint(256, (4, 3, SIZE, SIZE), dtype=torch.uint8)

    assert torch.equal(resampled(images, torch.tensor([[0, 0, SIZE, SIZE]]), SIZE), images)


@pytest.mark.gpu
def test_images_are_brought_to_a_gpu_once() -> None:
    source = views(24, "flip_crop")

    first, second = (there(source, "cuda").images for _ in range(2))

    assert first.is_cuda
    assert first is second
    assert torch.equal(first.cpu(), source.images)


@pytest.mark.gpu
@pytest.mark.parametrize("policy", POLICIES)
def test_rendering_on_a_gpu_leaves_the_generators_alone(policy: Policy) -> None:
    rendered = there(views(24, policy), "cuda")
    before = torch.get_rng_state(), torch.cuda.get_rng_state()

    whole(rendered, 1)

    after = torch.get_rng_state(), torch.cuda.get_rng_state()
    assert all(torch.equal(*pair) for pair in zip(before, after, strict=True))


def test_the_default_view_of_a_device_is_what_fit_makes() -> None:
    source = views(SIZE, "none")

    assert torch.equal(whole(there(source, "cpu"), 0), fit(source.images, SIZE))
