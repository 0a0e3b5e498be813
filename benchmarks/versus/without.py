"""`tune.search` with an ingredient of its speed switched off, which no setting does.

WITHOUT=channels_last python benchmarks/versus/without.py --config FILE
WITHOUT=actor_reuse python benchmarks/versus/without.py --config FILE
"""

from __future__ import annotations

import os
from typing import Any

from tune.base.environment import prepare_environment

prepare_environment()

import torch  # noqa: E402
from ray.tune import TuneConfig  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from trainable import finetuner  # noqa: E402
from trainable.device import Device  # noqa: E402
from trainable.features import batches, prefix  # noqa: E402
from trainable.ray_trainable import FineTuneTrainable  # noqa: E402
from tune import search  # noqa: E402
from tune.engine import trials  # noqa: E402


class ChannelsFirst(FineTuneTrainable):
    """A trial whose images and weights lie as PyTorch lays them by default."""

    def setup(self, config: dict[str, Any]) -> None:
        """Replace what lays them otherwise."""

        def as_tail_input(stored: Tensor) -> Tensor:
            return (stored.permute(0, 3, 1, 2) if stored.ndim == 4 else stored).contiguous()

        @torch.no_grad()
        def forward(stages: nn.Sequential, pixels: Tensor, device: Device) -> Tensor:
            with device.autocast():
                return stages(pixels)

        batches.as_tail_input = finetuner.as_tail_input = as_tail_input
        prefix._forward = forward
        super().setup(config)
        self._tuner.network.net.to(memory_format=torch.contiguous_format)


if __name__ == "__main__":
    match os.environ["WITHOUT"]:
        case "channels_last":
            trials.FineTuneTrainable = ChannelsFirst
        case "actor_reuse":
            trials.TuneConfig = lambda **given: TuneConfig(**{**given, "reuse_actors": False})
    search.app()
