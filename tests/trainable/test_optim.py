"""How fast each layer learns, and how that changes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from trainable.config import OptimConfig, ScheduleConfig
from trainable.network.cut_network import CutNetwork, build
from trainable.optim import Schedule, build_optimizer, penalized_weights

PEAK = 0.01
NAMES = ("constant", "cosine", "one_cycle", "step", "plateau")


@pytest.fixture(scope="module")
def networks() -> dict[int, CutNetwork]:
    return {depth: build("resnet18", num_classes=3, depth=depth) for depth in (0, 1, 5)}


def one_parameter(lr: float = PEAK) -> Optimizer:
    return SGD([nn.Parameter(torch.zeros(1, 1))], lr=lr, momentum=0.9)


def schedule_of(optimizer: Optimizer, name: str, steps: int, **changes: Any) -> Schedule:
    return Schedule(ScheduleConfig.model_validate({"name": name, **changes}), optimizer, steps)


def rate(optimizer: Optimizer) -> float:
    return float(optimizer.param_groups[0]["lr"])


def rates(name: str, steps: int, **changes: Any) -> list[float]:
    """The learning rate of each step of a run, and the one after it."""
    optimizer = one_parameter()
    schedule = schedule_of(optimizer, name, steps, **changes)
    seen = [rate(optimizer)]
    for _ in range(steps):
        optimizer.step()
        schedule.after_batch()
        seen.append(rate(optimizer))
    return seen


class TestOptimizer:
    @pytest.mark.parametrize(("name", "kind"), [("sgd", SGD), ("adam", Adam), ("adamw", AdamW)])
    def test_a_name_stands_for_a_kind(
        self, name: Any, kind: type[Optimizer], networks: dict[int, CutNetwork]
    ) -> None:
        assert type(build_optimizer(OptimConfig(name=name), networks[0])) is kind

    def test_sgd_has_nesterov_momentum(self, networks: dict[int, CutNetwork]) -> None:
        optimizer = build_optimizer(OptimConfig(name="sgd"), networks[1])

        assert {(g["momentum"], g["nesterov"]) for g in optimizer.param_groups} == {(0.9, True)}

    @pytest.mark.parametrize("depth", [0, 1, 5])
    def test_each_trained_parameter_is_updated_once(
        self, depth: int, networks: dict[int, CutNetwork]
    ) -> None:
        optimizer = build_optimizer(OptimConfig(), networks[depth])

        updated = [id(p) for group in optimizer.param_groups for p in group["params"]]
        assert len(updated) == len(set(updated))
        assert set(updated) == {id(p) for p in networks[depth].tail.parameters()}

    @pytest.mark.parametrize("depth", [0, 1, 5])
    @pytest.mark.parametrize("layer_decay", [1.0, 0.5])
    def test_each_stage_learns_slower_than_the_one_above_it(
        self, depth: int, layer_decay: float, networks: dict[int, CutNetwork]
    ) -> None:
        network = networks[depth]
        config = OptimConfig(lr=PEAK, layer_decay=layer_decay)
        names = {id(p): name for name, p in network.net.named_parameters()}
        from_the_top = list(reversed(network.trained))

        for group in build_optimizer(config, network).param_groups:
            (stage,) = {network.stage_of(names[id(p)]) for p in group["params"]}
            assert group["lr"] == pytest.approx(PEAK * layer_decay ** from_the_top.index(stage))

    @pytest.mark.parametrize("depth", [0, 1, 5])
    def test_only_weights_decay(self, depth: int, networks: dict[int, CutNetwork]) -> None:
        optimizer = build_optimizer(OptimConfig(weight_decay=0.02), networks[depth])

        for group in optimizer.param_groups:
            (are_weights,) = {p.ndim > 1 for p in group["params"]}
            assert group["weight_decay"] == (0.02 if are_weights else 0.0)

    @pytest.mark.parametrize(("depth", "shapes"), [(0, [(3, 512)]), (1, None)])
    def test_the_penalty_is_on_weights_of_the_tail(
        self, depth: int, shapes: list[Any] | None, networks: dict[int, CutNetwork]
    ) -> None:
        network = networks[depth]
        penalized = {id(p) for p in penalized_weights(network)}

        names = {name for name, p in network.net.named_parameters() if id(p) in penalized}
        assert {network.stage_of(name) for name in names} == set(network.trained)
        assert all(
            "conv" in name or "downsample.0" in name or name == "fc.weight" for name in names
        )
        assert shapes is None or [tuple(p.shape) for p in penalized_weights(network)] == shapes


class TestSchedules:
    def test_constant_stays(self) -> None:
        assert rates("constant", 10) == [PEAK] * 11

    def test_cosine_falls_to_nothing_along_half_a_wave(self) -> None:
        seen = rates("cosine", 10)

        assert seen[0] == PEAK
        assert seen[5] == pytest.approx(PEAK / 2)
        assert seen[10] == pytest.approx(0, abs=1e-12)
        assert seen == sorted(seen, reverse=True)

    def test_step_divides_by_ten_after_each_third(self) -> None:
        expected = [PEAK] * 3 + [PEAK / 10] * 3 + [PEAK / 100] * 4

        assert rates("step", 9) == pytest.approx(expected)

    def test_one_cycle_rises_for_three_tenths_and_falls_to_almost_nothing(self) -> None:
        seen = rates("one_cycle", 10)[:10]

        assert seen[0] == pytest.approx(PEAK / 25)
        assert seen[2] == pytest.approx(PEAK)
        assert seen[9] == pytest.approx(PEAK / 25 / 1e4)
        assert seen.index(max(seen)) == 2

    def test_plateau_stays_while_the_loss_falls(self) -> None:
        assert rates("plateau", 10) == [PEAK] * 11

    @pytest.mark.parametrize("name", ["constant", "cosine", "step", "plateau"])
    def test_a_warm_up_rises_to_the_peak_in_equal_steps(self, name: str) -> None:
        seen = rates(name, 20, warmup=0.2)

        assert seen[:5] == pytest.approx([PEAK * part / 5 for part in range(1, 6)])
        assert max(seen) == pytest.approx(PEAK)

    @pytest.mark.parametrize(
        ("name", "last"), [("constant", PEAK), ("cosine", 0), ("step", PEAK / 100)]
    )
    def test_a_schedule_runs_its_course_in_what_follows_the_warm_up(
        self, name: str, last: float
    ) -> None:
        assert rates(name, 20, warmup=0.4)[20] == pytest.approx(last, abs=1e-12)

    def test_one_cycle_rises_for_as_long_as_it_is_told(self) -> None:
        seen = rates("one_cycle", 20, warmup=0.5)

        assert seen[9] == pytest.approx(PEAK)

    @given(
        st.sampled_from(NAMES),
        st.integers(1, 40),
        st.none() | st.floats(0, 0.99, allow_subnormal=False),
    )
    @example("one_cycle", 10, 0.1)
    @example("one_cycle", 2, 0.5)
    @example("one_cycle", 1, 0.0)
    @example("plateau", 1, 0.99)
    def test_no_run_is_so_short_that_the_rate_leaves_its_range(
        self, name: str, steps: int, warmup: float | None
    ) -> None:
        for seen in rates(name, steps, warmup=warmup):
            assert math.isfinite(seen)
            assert -1e-12 <= seen <= PEAK * (1 + 1e-9)

    @pytest.mark.parametrize("name", NAMES)
    def test_stages_keep_their_distance(self, name: str, networks: dict[int, CutNetwork]) -> None:
        optimizer = build_optimizer(OptimConfig(lr=PEAK, layer_decay=0.5), networks[1])
        schedule = schedule_of(optimizer, name, 10)

        for _ in range(9):
            head, layer4 = (optimizer.param_groups[index]["lr"] for index in (0, 2))
            assert layer4 == pytest.approx(head / 2)
            optimizer.step()
            schedule.after_batch()


class TestPlateau:
    def run(self, losses: Sequence[float], warmup: float = 0.0) -> list[float]:
        """The learning rate after each epoch of two steps."""
        optimizer = one_parameter()
        schedule = schedule_of(optimizer, "plateau", 2 * len(losses), warmup=warmup)
        seen = []
        for loss in losses:
            for _ in range(2):
                optimizer.step()
                schedule.after_batch()
            schedule.after_epoch(loss)
            seen.append(rate(optimizer))
        return seen

    def test_it_cuts_at_the_third_epoch_without_a_lower_loss(self) -> None:
        assert self.run([1.0, 1.1, 1.2]) == [PEAK] * 3
        assert self.run([1.0, 1.1, 1.2, 1.0]) == pytest.approx([PEAK] * 3 + [PEAK / 10])

    def test_it_keeps_its_cut_while_batches_go_by(self) -> None:
        seen = self.run([1.0, 1.1, 1.2, 1.0, 0.9, 0.8, 0.7])

        assert seen[3:] == pytest.approx([PEAK / 10] * 4)

    def test_it_cuts_again(self) -> None:
        assert self.run([1.0] * 7)[-1] == pytest.approx(PEAK / 100)

    def test_a_lower_loss_starts_the_count_again(self) -> None:
        assert self.run([1.0, 1.1, 1.2, 0.9, 1.0, 1.0]) == [PEAK] * 6

    def test_a_cut_during_the_warm_up_is_kept_after_it(self) -> None:
        seen = self.run([1.0, 1.1, 1.2, 1.0, 0.9, 0.8, 0.7], warmup=0.8)

        assert seen[-1] == pytest.approx(PEAK / 10)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "plateau"])
def test_only_plateau_heeds_the_loss(name: str) -> None:
    optimizer = one_parameter()
    schedule = schedule_of(optimizer, name, 20)
    before = rate(optimizer)

    for _ in range(9):
        schedule.after_epoch(1.0)

    assert rate(optimizer) == before


class Run:
    """A schedule with its optimizer, an epoch a step, the loss never falling."""

    def __init__(self, name: str) -> None:
        self.optimizer = one_parameter()
        self.schedule = schedule_of(self.optimizer, name, 12, warmup=0.25)

    def advance(self, epochs: int) -> list[float]:
        seen = []
        for _ in range(epochs):
            self.optimizer.step()
            self.schedule.after_batch()
            self.schedule.after_epoch(1.0)
            seen.append(rate(self.optimizer))
        return seen


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("done", [0, 1, 5, 11])
def test_a_schedule_resumed_equals_one_uninterrupted(name: str, done: int) -> None:
    first, second = Run(name), Run(name)
    first.advance(done)

    second.optimizer.load_state_dict(first.optimizer.state_dict())
    second.schedule.load_state_dict(first.schedule.state_dict())

    assert second.advance(12 - done) == first.advance(12 - done)
