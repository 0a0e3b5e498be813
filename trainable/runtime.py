"""What a trial runs on: threads, its share of a GPU, and the node's store of activations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DEFAULT_IMAGE_BYTES: Final = 100 * 10**9

COMMAND: Final = "TUNE_COMMAND"
"""The variable that names a command, the same for all its processes on whatever machine."""


@dataclass(frozen=True)
class ImageCache:
    """Where the images of files are decoded to.

    Attributes:
        root: The folder of the node's store, or None for the default.
        max_bytes: The greatest size of the images there; 0 decodes into memory.
    """

    root: str | None = None
    max_bytes: int = DEFAULT_IMAGE_BYTES


@dataclass(frozen=True)
class Runtime:
    """What a trial runs on. Of its metrics it decides the last digits alone.

    Attributes:
        threads: CPU threads; as PyTorch has it where None.
        memory_fraction: The share of the GPU's memory that it may take, or None for all.
        use_gpu: Whether it takes a GPU where there is one.
        cache_root: The folder of the node's store of activations, or None for the default.
        cache_bytes: The cap of that store for a trial on a CPU; 0 is no store.
        gpu_cache_bytes: The same for a trial on a GPU.
        image_bytes: The cap of the decoded images in that store, on whatever device.
        cpu_precision: What `train.precision=auto` is on a CPU; see
            :func:`trainable.device.cpu_precision`.
    """

    threads: int | None = None
    memory_fraction: float | None = None
    use_gpu: bool = True
    cache_root: str | None = None
    cache_bytes: int = 0
    gpu_cache_bytes: int = 0
    image_bytes: int = DEFAULT_IMAGE_BYTES
    cpu_precision: str = "auto"

    @property
    def image_cache(self) -> ImageCache:
        """Where the images of files are decoded to."""
        return ImageCache(self.cache_root, self.image_bytes)
