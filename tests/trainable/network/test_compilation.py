"""When the trained layers are compiled, and that it is the same training."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

from tests.helpers.devices import Pretended
from trainable.config import TrialConfig
from trainable.device import Device, resolve_device
from trainable.finetuner import FineTuner
from trainable.network import compilation
from trainable.network.compilation import PAYS_AFTER, compiles


@pytest.fixture
def gpu_like(device: Device) -> Device:
    return Pretended.of(device)


@pytest.mark.parametrize("setting", [True, False])
@pytest.mark.parametrize("steps", [1, 10 * PAYS_AFTER])
def test_what_is_asked_for_is_had(setting: bool, steps: int, device: Device) -> None:
    assert compiles(setting, device, steps) is setting


def test_auto_compiles_nothing_on_a_cpu(device: Device) -> None:
    assert not compiles("auto", device, 10**9)


@pytest.mark.parametrize(
    ("steps", "possible", "expected"),
    [(PAYS_AFTER - 1, True, False), (PAYS_AFTER, True, True), (10**9, False, False)],
)
def test_auto_compiles_on_a_gpu_where_there_are_enough_steps_to_pay_it_back(
    steps: int, possible: bool, expected: bool, gpu_like: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compilation, "can_compile", lambda: possible)

    assert compiles("auto", gpu_like, steps) is expected


def test_without_a_c_compiler_nothing_can_be_compiled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)

    assert not compilation.can_compile()


def trained(config: TrialConfig, device: Device) -> dict[str, float]:
    metrics = FineTuner(config, device).train_epoch()
    return {name: metrics[name] for name in ("train_loss", "val_loss")}


@pytest.mark.slow
@pytest.mark.parametrize("depth", [0, 1])
def test_what_is_traced_to_be_compiled_learns_the_same(
    depth: int, tiny: Callable[..., TrialConfig], device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The tracing is PyTorch's own; what it then makes machine code of would take a C compiler.
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    changes = {"model": {"unfreeze_depth": depth}, "data": {"limit": 100}}

    eager, compiled = (
        trained(tiny(**changes, train={"compile": setting}), device) for setting in (False, True)
    )

    assert compiled == pytest.approx(eager, rel=1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.filterwarnings("ignore:TensorFloat32 tensor cores")
def test_a_compiled_network_learns_much_the_same_on_a_gpu(
    precision: Any, tiny: Callable[..., TrialConfig]
) -> None:
    changes: dict[str, Any] = {
        "model": {"unfreeze_depth": 5},
        "data": {"image_size": 32},
        "optim": {"name": "sgd", "lr": 0.002},
    }
    device = resolve_device(precision)

    eager, compiled = (
        trained(tiny(**changes, train={"compile": setting}), device) for setting in (False, True)
    )

    assert compiled == pytest.approx(eager, rel=0.05)
