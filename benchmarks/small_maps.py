"""A step of training with convolutions of small maps as matrix products, and with oneDNN's alone.

    python benchmarks/small_maps.py              # a minute and a half
    python benchmarks/small_maps.py --quick      # two cases, to see that it runs

In bfloat16 on a CPU, for one and two threads: the median of steps that are taken in turn, at each
side of the images, unfreeze depth and batch size. Prints a row for each, and last a line of JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import Final

import torch
from searches import versions
from torch import Tensor
from torch.nn import functional as F

from trainable.device import resolve_device
from trainable.network.cut_network import CutNetwork, build
from trainable.network.small_maps import gather_small_maps

CASES: Final = (
    *((32, 1, 128), (32, 5, 128), (32, 5, 32), (64, 1, 128), (64, 5, 128), (64, 5, 32)),
    *((96, 5, 32), (128, 1, 32), (128, 5, 32), (224, 1, 32)),
)
"""Side of the images, unfreeze depth and batch size of each case."""
STEPS, WARM_UP = 7, 2


def main() -> None:
    """Print the milliseconds of a step both ways and their ratio, case by case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two cases, to see that it runs")
    cases = CASES[:2] if parser.parse_args().quick else CASES
    resolve_device("bf16", use_gpu=False)
    print(versions(), flush=True)
    ratios = {}
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for side, depth, batch in cases:
            plain, ours = medians(side, depth, batch)
            name = f"{threads} threads, {side} px, depth {depth}, batches of {batch}"
            ratios[name] = round(plain / ours, 2)
            print(f"{name}: {1000 * plain:.0f} ms, {1000 * ours:.0f} ms, {plain / ours:.2f} times")
    print(json.dumps(ratios))


def medians(side: int, depth: int, batch: int) -> tuple[float, float]:
    """Seconds of a step with oneDNN's convolutions alone, and with matrix products."""
    plain, ours = new_network(depth), new_network(depth)
    gather_small_maps(ours.tail)
    pixels, labels = torch.rand(batch, 3, side, side) * 255, torch.randint(10, (batch,))
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        inputs = plain.prefix(pixels).contiguous(memory_format=torch.channels_last)
    inputs = inputs.clone()  # of inference mode, which nothing could learn from
    sides = [(net, torch.optim.SGD(net.tail.parameters(), 1e-3)) for net in (plain, ours)]
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(WARM_UP + STEPS):
        for (network, optimizer), seconds in zip(sides, taken, strict=True):
            start = time.perf_counter()
            step(network, optimizer, inputs, labels)
            seconds.append(time.perf_counter() - start)
    plain_s, ours_s = (statistics.median(seconds[WARM_UP:]) for seconds in taken)
    return plain_s, ours_s


def new_network(depth: int) -> CutNetwork:
    """A ResNet18 of random weights, as trials have it."""
    network = build("resnet18", num_classes=10, depth=depth)
    for part in (network.prefix, network.tail):
        part.to(memory_format=torch.channels_last)
    return network


def step(
    network: CutNetwork, optimizer: torch.optim.Optimizer, inputs: Tensor, labels: Tensor
) -> None:
    """One update."""
    network.tail.train()
    with torch.autocast("cpu", torch.bfloat16):
        loss = F.cross_entropy(network.tail(inputs).float(), labels)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()


if __name__ == "__main__":
    main()
