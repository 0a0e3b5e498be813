"""How much of a trial's epoch is model arithmetic, on the CPU.

    python benchmarks/epoch_profile.py
    python benchmarks/epoch_profile.py --quick

Profiles one epoch of training and validation after a first one (which computes what the frozen
layers make of the images), for a tail of each depth, at 224 px, one thread, on the digits. Model
arithmetic is the forward and backward pass: convolutions, matrix products, BatchNorm, ReLU,
pooling, the loss. The optimizer's update counts as arithmetic of the training, and is shown
apart. The rest is gathering batches, converting types, copying, and Python.
"""

from __future__ import annotations

import argparse
import json
import os
import time

from searches import versions
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile

from trainable.config import TrialConfig
from trainable.device import resolve_device
from trainable.finetuner import FineTuner

MODEL = (
    "convolution", "batch_norm", "threshold_backward", "clamp_min", "relu", "max_pool", "mean",
    "addmm", "aten::mm", "log_softmax", "nll_loss", "cross_entropy", "aten::sub", "aten::div",
    "aten::add_",
)  # fmt: skip
OPTIMIZER = ("adam", "sgd")


def main() -> None:
    """Profile an epoch of each depth and print the shares, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer images, two depths")
    quick = parser.parse_args().quick
    print(f"{os.cpu_count()} CPUs, {versions()}", flush=True)
    limit, depths = (200, (1, 5)) if quick else (600, (1, 2, 3, 4, 5))
    shares = {}
    for depth in depths:
        seconds, model, optimizer = epoch(depth, limit)
        shares[f"depth_{depth}"] = round(model + optimizer, 3)
        print(
            f"depth {depth}: {seconds:.2f} s, model {model:.1%}, optimizer {optimizer:.1%}, "
            f"the rest {1 - model - optimizer:.1%}",
            flush=True,
        )
    print(json.dumps(shares))


def epoch(depth: int, limit: int) -> tuple[float, float, float]:
    """Seconds of an epoch, and the shares of the model and of the optimizer in them."""
    config = TrialConfig.model_validate(
        {
            "data": {"image_size": 224, "limit": limit},
            "model": {"unfreeze_depth": depth},
            "train": {"epochs": 3},
        }
    )
    tuner = FineTuner(config, resolve_device("auto", 1))
    tuner.train_epoch()
    start = time.perf_counter()
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        tuner.train_epoch()
    total = time.perf_counter() - start
    events = profiled.key_averages()
    return total, spent(events, MODEL) / total, spent(events, OPTIMIZER) / total


def spent(events: list[FunctionEvent], names: tuple[str, ...]) -> float:
    """Seconds in operations of these names themselves."""
    found = [event for event in events if any(name in event.key.lower() for name in names)]
    return sum(event.self_cpu_time_total for event in found) / 10**6


if __name__ == "__main__":
    main()
