"""Seeds of recorded trials and searches stay what they are."""

from __future__ import annotations

import subprocess
import sys

import pytest

from trainable.seeding import generator, seed_of


@pytest.mark.parametrize(
    ("parts", "num_bytes", "seed"),
    [
        ((3, "order", 4), 7, 25727751297090099),
        (("abc", "flip_crop", 16, "crop", 2), 7, 48021359600323080),
        (("0 12 optim.lr",), 4, 3000495463),
    ],
)
def test_a_seed_is_the_one_that_was_recorded(
    parts: tuple[object, ...], num_bytes: int, seed: int
) -> None:
    assert seed_of(*parts, num_bytes=num_bytes) == seed


def test_a_generator_has_the_seed_of_its_parts() -> None:
    assert generator(3, "order", 4).initial_seed() == seed_of(3, "order", 4)


def test_every_part_matters() -> None:
    parts = [(0, "order", 1), (1, "order", 1), (0, "mixing", 1), (0, "order", 2), ("0", "order", 1)]

    assert len({seed_of(*each) for each in parts}) == len(parts)


def test_a_seed_needs_no_pytorch() -> None:
    program = "import sys; from trainable.seeding import seed_of; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
