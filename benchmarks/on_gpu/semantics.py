"""Whether a GPU gives what a CPU gives: pixels, metrics, checkpoints; and whether a cap holds."""

from __future__ import annotations

import io
import multiprocessing
from functools import partial
from typing import Any

import torch

from on_gpu.section import Options, Part, levels_apart, noise, rounded, run, start, trial
from trainable.augment.device_views import TOLERANCE, DeviceViews
from trainable.augment.views import Views
from trainable.config import Policy, TrialConfig
from trainable.device import Device, is_out_of_memory, tensor_share
from trainable.finetuner import FineTuner

METRICS = ("train_loss", "train_acc", "val_loss", "val_acc")
EPOCHS = 3
POLICIES: tuple[Policy, ...] = ("none", "flip", "flip_crop", "trivial", "rand")


def main(options: Options) -> None:
    """Compare what both give, the most wanted first."""
    cases = [(depth, "fp32") for depth in options.pick((0, 1, 5), (0,))]
    cases += options.pick([(5, "bf16")], [])
    parts = [
        Part(f"metrics_depth_{depth}_{precision}", 10, partial(metrics, depth, precision, options))
        for depth, precision in cases
    ]
    parts.append(Part("checkpoints", 10, partial(checkpoints, options)))
    sides = options.pick(((32, 224), (256, 224), (32, 48)), ((12, 16),))
    parts += [
        Part(f"pixels_{side}_to_{size}", 10, partial(pixels, side, size, options))
        for side, size in sides
    ]
    if not options.cpu:
        parts.append(Part("cap", 20, partial(cap, options)))
        parts.append(Part("neighbour", 45, partial(neighbour, options)))
    run(options, parts)


def digits(depth: int, options: Options) -> TrialConfig:
    """A trial on the digits, from the bundled backbone."""
    data = {"source": "digits", "image_size": 32, "limit": options.pick(600, 60), "mirror": False}
    return trial(
        data=data,
        model={"weights": "bundled", "unfreeze_depth": depth},
        augment={"policy": "flip_crop", "num_views": 4},
        optim={"name": "sgd", "lr": 0.01},
        train={"epochs": EPOCHS, "batch_size": 32},
    )


def cpu(precision: str = "fp32") -> Device:
    """The CPU, with a few threads."""
    dtype = torch.float32 if precision == "fp32" else torch.bfloat16
    return Device(torch.device("cpu"), dtype, torch.get_num_threads())


def epochs(tuner: FineTuner, count: int = EPOCHS) -> list[dict[str, float]]:
    """Metrics of so many epochs."""
    return [
        {name: m[name] for name in METRICS} for m in (tuner.train_epoch() for _ in range(count))
    ]


def apart(found: list[dict[str, float]], expected: list[dict[str, float]]) -> dict[str, float]:
    """By how much two trials differ at most: losses by a share, accuracies as they are."""
    pairs = [(one[n], other[n], n) for one, other in zip(found, expected, strict=True) for n in one]
    return {
        "loss_share": rounded(max(abs(a - b) / b for a, b, n in pairs if n.endswith("loss"))),
        "acc": rounded(max(abs(a - b) for a, b, n in pairs if n.endswith("acc"))),
    }


def metrics(depth: int, precision: str, options: Options) -> dict[str, Any]:
    """The same trial on the CPU, on the GPU, and on the GPU once more."""
    config, gpu = digits(depth, options), options.device(precision)  # type: ignore[arg-type]
    here = epochs(FineTuner(config, cpu(precision)))
    there, again = (epochs(FineTuner(config, gpu)) for _ in range(2))
    return {
        "cpu_last": here[-1],
        "gpu_last": there[-1],
        "gpu_from_cpu": apart(there, here),
        "gpu_from_gpu": apart(again, there),
    }


def checkpoints(options: Options) -> dict[str, Any]:
    """A checkpoint of each goes on on the other, beside the trial that was never moved."""
    config, gpu = digits(1, options), options.device("fp32")
    figures = {}
    for name, first, second in (("to_gpu", cpu(), gpu), ("to_cpu", gpu, cpu())):
        whole, resumed = FineTuner(config, first), FineTuner(config, second)
        epochs(whole, 1)
        file = io.BytesIO()
        torch.save(whole.state_dict(), file)
        file.seek(0)
        resumed.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
        figures[name] = apart(epochs(resumed, EPOCHS - 1), epochs(whole, EPOCHS - 1))
    return figures


def pixels(side: int, size: int, options: Options) -> dict[str, Any]:
    """By how many levels of 255 a GPU's view differs from a CPU's."""
    images = noise(options.pick(128, 8), side).train.images
    figures: dict[str, Any] = {"tolerance": TOLERANCE}
    for policy in POLICIES:
        views = Views(images, "a", policy, size, 4)
        there = DeviceViews.of(views, options.device("fp32"))
        levels = levels_apart(there.render(1, 0, len(views)), views.render(1, 0, len(views)))
        figures[policy] = {
            "most": int(levels.max()),
            "mean": rounded(levels.float().mean().item()),
            "over_tolerance": rounded((levels > TOLERANCE).float().mean().item()),
        }
    return figures


def heavy() -> TrialConfig:
    """A trial that takes some gigabytes."""
    return trial(data={"image_size": 224}, train={"batch_size": 256, "epochs": 1})


def cap(options: Options) -> dict[str, Any]:
    """A trial that needs more than its share fails, and goes on in two parts if these fit."""
    dataset, device = noise(512, 32), options.device("bf16")
    torch.cuda.reset_peak_memory_stats()
    FineTuner(heavy(), device, dataset=dataset).train_epoch()
    peak, total = torch.cuda.max_memory_allocated(), torch.cuda.mem_get_info()[1]
    torch.cuda.empty_cache()
    share = next(
        f / 1000 for f in range(1, 1000) if tensor_share(f / 1000, total) * total > 0.75 * peak
    )
    figures: dict[str, Any] = {"peak_gb": rounded(peak / 1e9), "share": share}
    for parts in (1, 2):
        options.device("bf16", share)
        try:
            metrics = FineTuner(heavy(), device, micro_batches=parts, dataset=dataset).train_epoch()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            figures[f"in_{parts}"] = str(error).splitlines()[0][:300]
        else:
            figures[f"in_{parts}"] = f"train_loss {metrics['train_loss']:.4f}"
        torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1.0)
    return figures


def neighbour(options: Options) -> dict[str, Any]:
    """The metrics of a trial alone, and beside one that runs out of its share again and again."""
    alone = _in_process(options, crowded=False)
    beside = _in_process(options, crowded=True)
    return {
        "apart": apart(beside["metrics"], alone["metrics"]),
        "neighbours_failures": beside["failures"],
    }


def _in_process(options: Options, *, crowded: bool) -> dict[str, Any]:
    context = multiprocessing.get_context("spawn")
    results, stop, full = context.Queue(), context.Event(), context.Value("i", 0)
    hog = context.Process(target=_crowd, args=(options, stop, full), daemon=True)
    if crowded:
        hog.start()
        while not full.value and hog.is_alive():
            stop.wait(0.1)
    trial = context.Process(target=_learn, args=(options, results), daemon=True)
    trial.start()
    found = results.get(timeout=60)
    trial.join()
    stop.set()
    if crowded:
        hog.join()
    return {"metrics": found, "failures": full.value}


def _learn(options: Options, results: Any) -> None:
    results.put(epochs(FineTuner(digits(5, options), options.device("fp32", 0.125))))


def _crowd(options: Options, stop: Any, full: Any) -> None:
    """Fill a share of the GPU until it is over, count that, and begin again."""
    device = options.device("bf16", 0.125)
    while not stop.is_set():
        held = []
        try:
            while not stop.is_set():
                held.append(torch.ones(2**28, device=device.torch_device))
        except torch.OutOfMemoryError:
            full.value += 1


if __name__ == "__main__":
    main(start())
