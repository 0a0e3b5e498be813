"""Images a second of full fine-tuning, beside the roofline and beside a plain program."""

from __future__ import annotations

import os
import tempfile
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from on_gpu.plain import rate, write_images
from on_gpu.roofline import Ceilings, Work, ceilings, work_of
from on_gpu.section import CLASSES, Options, Part, noise, rounded, run, start, tell, timed, trial
from trainable.data.datasets import Dataset
from trainable.device import Device
from trainable.finetuner import FineTuner
from trainable.network.compilation import can_compile

STORED_SIDE = 32
"""Of the images, as CIFAR-10 has them."""
ASKED = 8_000
"""Images a second at 224 px."""


def main(options: Options) -> None:
    """Measure what is most asked for first, and stop when the time is up."""
    device = options.device()
    roof = ceilings(device, options.pick(8192, 256), options.pick(4 * 10**9, 10**6))
    tell(ceilings={name: rounded(value) for name, value in asdict(roof).items()})
    bench = Bench(device, options, noise(options.pick(20_000, 40), STORED_SIDE), roof)
    sizes = options.pick((224, 128), (32,))
    parts = [Part(f"eager_{px}", 10, partial(bench.eager, px)) for px in sizes]
    compiling = device.is_gpu and can_compile()
    if compiling:
        parts.append(Part(f"compiled_{sizes[0]}", 40, partial(bench.compiled, sizes[0])))
    parts += [
        Part(f"data_{policy}", 15, partial(bench.data_share, policy, sizes[0]))
        for policy in ("flip", "flip_crop", "trivial")
    ]
    parts.append(Part("profile", 15, partial(bench.profile, sizes[0])))
    parts.append(Part("plain", 25, partial(bench.plain, sizes[0])))
    if device.is_gpu:
        parts.append(Part("cudnn_benchmark", 20, partial(bench.cudnn_benchmark, sizes[0])))
    if compiling:
        parts += [Part(f"compiled_{px}", 40, partial(bench.compiled, px)) for px in sizes[1:]]
        parts += [Part(f"graphs_{px}", 45, partial(bench.graphs, px)) for px in (32, sizes[0])]
    run(options, parts)


@dataclass(frozen=True)
class Timing:
    """How long steps take.

    Attributes:
        first: Seconds of the first, all that happens once included.
        each: Seconds of one later on.
    """

    first: float
    each: float


@dataclass(frozen=True)
class Bench:
    """What the figures are measured with."""

    device: Device
    options: Options
    dataset: Dataset
    roof: Ceilings

    @property
    def batch(self) -> int:
        """Images a step."""
        return int(self.options.pick(256, 8))

    def tuner(self, px: int, **sections: dict[str, Any]) -> FineTuner:
        """A trial at a size."""
        train = {"batch_size": self.batch, **sections.pop("train", {})}
        config = trial(data={"image_size": px}, train=train, **sections)
        return FineTuner(config, self.device, dataset=self.dataset)

    def time(self, tuner: FineTuner) -> Timing:
        """Warm up, and time steps for about three seconds."""
        first = timed(partial(tuner.rehearse, 1), self.device)
        steps = self.options.pick(10, 1)
        each = timed(partial(tuner.rehearse, steps), self.device) / steps
        steps = max(1, int(self.options.pick(3, 0.1) / each))
        return Timing(first, timed(partial(tuner.rehearse, steps), self.device) / steps)

    def eager(self, px: int) -> dict[str, Any]:
        """Images a second, and how far that is from what the device could do."""
        if self.device.is_gpu:
            torch.cuda.reset_peak_memory_stats()
        tuner = self.tuner(px)
        timing, work = self.time(tuner), self.work(tuner)
        peak = torch.cuda.max_memory_allocated() if self.device.is_gpu else 0
        return {
            "img_per_s": rounded(self.batch / timing.each),
            "asked_img_per_s_at_224": ASKED,
            "roof_img_per_s": rounded(self.batch / work.seconds(self.roof)),
            "share_of_roof": rounded(work.seconds(self.roof) / timing.each),
            "gflop_per_img": rounded(work.flops / self.batch / 1e9),
            "mb_per_img": rounded(work.bytes / self.batch / 1e6),
            "flops_alone_ms": rounded(1000 * work.flops / self.roof.flops),
            "bytes_alone_ms": rounded(1000 * work.bytes / self.roof.bytes),
            "step_ms": rounded(1000 * timing.each),
            "peak_gb": rounded(peak / 1e9),
        }

    def work(self, tuner: FineTuner) -> Work:
        """What a step asks for."""
        indices = torch.arange(self.batch, device=self.device.torch_device)
        batch, _ = tuner.inputs.batch(indices)
        return work_of(tuner.network.tail, batch, indices % CLASSES, self.device)

    def compiled(self, px: int) -> dict[str, Any]:
        """The same compiled, what compiling takes, and after how many steps it has paid."""
        eager = self.time(self.tuner(px))
        timing = self.time(self.tuner(px, train={"compile": True}))
        gained = eager.each - timing.each
        return {
            "img_per_s": rounded(self.batch / timing.each),
            "over_eager": rounded(eager.each / timing.each),
            "first_step_s": rounded(timing.first),
            "pays_after_steps": round(timing.first / gained) if gained > 0 else None,
        }

    def data_share(self, policy: str, px: int) -> dict[str, Any]:
        """The data's part of an epoch: making all its batches, without training on them."""
        tuner = self.tuner(px, augment={"policy": policy, "num_views": 8})
        tuner.train_epoch()

        def batches_of_another_view() -> None:
            tuner.inputs.set_epoch(2)
            for indices in tuner.inputs.whole_batches(2):
                tuner.inputs.batch(indices)

        data = timed(batches_of_another_view, self.device)
        epoch = timed(tuner.train_epoch, self.device)
        return {"data_s": rounded(data), "epoch_s": rounded(epoch), "share": rounded(data / epoch)}

    def profile(self, px: int) -> dict[str, Any]:
        """The operations that take most of a step, and the share of time the GPU is busy."""
        tuner, steps = self.tuner(px), self.options.pick(10, 1)
        tuner.rehearse(steps)
        on_gpu = self.device.is_gpu
        activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
        key = "self_device_time_total" if on_gpu else "self_cpu_time_total"
        with profile(activities=activities) as found:
            seconds = timed(partial(tuner.rehearse, steps), self.device)
        averages = found.key_averages()
        path = self.options.file(f"profile-{px}.txt")
        path.write_text(averages.table(sort_by=key, row_limit=40, max_name_column_width=100))
        # Of a GPU, what its kernels take; the operations that start them would count twice.
        kind = DeviceType.CUDA if on_gpu else DeviceType.CPU
        spent = {e.key[:80]: getattr(e, key) for e in averages if e.device_type == kind}
        total = sum(spent.values())
        top = sorted(spent.items(), key=lambda item: -item[1])[:12]
        return {
            "file": str(path),
            "busy": rounded(total / 1e6 / seconds),
            "top": {name: rounded(value / total, 3) for name, value in top},
        }

    def plain(self, px: int) -> dict[str, Any]:
        """Images a second of the usual program, with as many workers as there are cores."""
        options, workers = self.options, self.options.pick(min(os.cpu_count() or 1, 16), 1)
        with tempfile.TemporaryDirectory() as folder:
            root = write_images(Path(folder), options.pick(8_000, 40), STORED_SIDE)
            found = rate(root, px, self.batch, workers, self.device, options.pick(8, 0.5))
        return {"img_per_s": rounded(found), "workers": workers}

    def cudnn_benchmark(self, px: int) -> dict[str, Any]:
        """Images a second where cuDNN chooses its algorithms by trying them."""
        torch.backends.cudnn.benchmark = True
        try:
            timing = self.time(self.tuner(px))
        finally:
            torch.backends.cudnn.benchmark = False
        return self._variant(timing)

    def graphs(self, px: int) -> dict[str, Any]:
        """Images a second where the steps are compiled, and replayed as CUDA graphs."""
        tuner = self.tuner(px)
        eager = self.time(tuner)
        torch.compiler.reset()
        graphs = torch.compile(tuner.network.tail, mode="reduce-overhead", dynamic=False)
        tuner._updater.forward = graphs
        return {**self._variant(self.time(tuner)), "eager_img_per_s": self.batch / eager.each}

    def _variant(self, timing: Timing) -> dict[str, Any]:
        return {
            "img_per_s": rounded(self.batch / timing.each),
            "first_step_s": rounded(timing.first),
        }


if __name__ == "__main__":
    main(start())
