"""Devices that this machine does not have."""

from __future__ import annotations

from dataclasses import dataclass

from trainable.device import Device


@dataclass(frozen=True)
class Pretended(Device):
    """A CPU that is treated as a GPU."""

    @property
    def is_gpu(self) -> bool:
        return True

    @property
    def identity(self) -> str:
        return "a CPU that is treated as a GPU"

    @classmethod
    def of(cls, device: Device, room: int | None = None) -> Pretended:
        return cls(device.torch_device, device.dtype, device.num_threads, room)
