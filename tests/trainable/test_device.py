"""Where a trial computes."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from tests.helpers.processes import run
from trainable.device import cpu_precision, resolve_device


def product(dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.ones(2, 2, dtype=dtype) @ torch.ones(2, 2, dtype=dtype)


@pytest.fixture
def whole_memory() -> Iterator[None]:
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)]
)
def test_a_precision_asked_for_is_had(
    precision: Any, dtype: torch.dtype, native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": native})

    device = resolve_device(precision)

    assert device.dtype == dtype
    assert device.precision == precision


@pytest.mark.parametrize(
    ("rule", "gain", "capabilities", "precision"),
    [
        ("auto", 0.5, {"avx512_bf16": True}, "fp32"),
        ("auto", 1.1, {"avx512_bf16": True}, "fp32"),
        ("auto", 1.5, {"avx512_bf16": True}, "bf16"),
        ("auto", 3.0, {}, "bf16"),  # as on a processor whose flags have other names
        ("flags", 0.5, {"avx512_bf16": True}, "bf16"),
        ("flags", 0.5, {"amx_bf16": True}, "bf16"),
        ("flags", 3.0, {"avx512_bf16": False}, "fp32"),
        ("fp32", 3.0, {"avx512_bf16": True}, "fp32"),
        ("bf16", 0.5, {}, "bf16"),
    ],
)
def test_auto_is_what_is_faster_on_a_cpu_or_what_was_decided(
    rule: str,
    gain: float,
    capabilities: dict[str, bool],
    precision: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    monkeypatch.setattr("trainable.device.bf16_gain", lambda: gain)

    assert cpu_precision(rule) == precision
    assert resolve_device("auto", use_gpu=False, on_cpu=rule).precision == precision
    assert resolve_device("fp32", use_gpu=False, on_cpu=rule).precision == "fp32"
    assert resolve_device("bf16", use_gpu=False, on_cpu=rule).precision == "bf16"


@pytest.mark.slow
def test_it_is_measured_whether_bf16_is_faster() -> None:
    """oneDNN is kept from all instructions for bf16: then it cannot be, whatever the flags say."""
    words = "from trainable.device import bf16_gain, cpu_precision"
    program = f"{words}; print(bf16_gain(), cpu_precision('auto'))"
    done = run([sys.executable, "-c", program], env={**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"})
    gain, precision = done.stdout.split()
    assert float(gain) < 1
    assert precision == "fp32"


def test_a_trial_computes_on_the_cpu_where_there_is_no_gpu() -> None:
    assert resolve_device().torch_device == torch.device("cpu")


@pytest.mark.gpu
def test_a_trial_computes_on_the_gpu_where_there_is_one() -> None:
    assert resolve_device("fp32").torch_device.type == "cuda"


def test_threads_are_set_and_told() -> None:
    assert resolve_device("fp32", 1).num_threads == torch.get_num_threads() == 1
    assert resolve_device("fp32", 2).num_threads == torch.get_num_threads() == 2
    assert resolve_device("fp32").num_threads == 2


def test_a_share_of_memory_is_no_matter_on_a_cpu() -> None:
    assert resolve_device("fp32", 1, 0.25) == resolve_device("fp32", 1)


def test_fp32_computes_in_fp32() -> None:
    with resolve_device("fp32").autocast():
        assert product().dtype == torch.float32
        assert not torch.is_autocast_enabled("cpu")


def test_bf16_computes_in_bf16_what_bears_it() -> None:
    with resolve_device("bf16").autocast():
        assert product().dtype == torch.bfloat16
        assert torch.ones(2).softmax(0).dtype == torch.float32
    assert product().dtype == torch.float32


@pytest.mark.gpu
def test_a_trial_cannot_take_more_than_its_share_of_the_gpus_memory(whole_memory: None) -> None:
    total = torch.cuda.get_device_properties(0).total_memory
    device = resolve_device("fp32", memory_fraction=0.1)

    fits = torch.empty(total // 20, dtype=torch.uint8, device=device.torch_device)
    with pytest.raises(torch.OutOfMemoryError):
        torch.empty(total // 5, dtype=torch.uint8, device=device.torch_device)
    assert fits.is_cuda


def test_freed_memory_is_kept_for_the_next_tensor() -> None:
    resolve_device("fp32", 1, use_gpu=False)
    for _ in range(8):  # until the heap has grown to hold it
        torch.ones(2**24).sum()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        torch.ones(2**24).sum()
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    # Without it each of the five is mapped anew, page by page.
    assert faults < 2 * (2**24 * 4 // resource.getpagesize())
