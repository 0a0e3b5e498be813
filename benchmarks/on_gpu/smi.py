"""What `nvidia-smi` sees of the GPU while something runs."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean
from types import TracebackType
from typing import Any

_QUERY = ("nvidia-smi", "--format=csv,noheader,nounits", "-i", "0")
_MS = 500


def memory_used() -> int:
    """Bytes that all processes have of the GPU's memory; 0 where that cannot be asked."""
    if shutil.which(_QUERY[0]) is None:
        return 0
    done = subprocess.run(
        [*_QUERY, "--query-gpu=memory.used"],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    return int(done.stdout) * 2**20 if done.stdout.strip().isdigit() else 0


@dataclass(frozen=True)
class Sample:
    """A look at the GPU: the share of time it was busy (percent), and MiB in use."""

    busy: int
    used: int


class Sampler:
    """Looks at the GPU twice a second, as long as it is open."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Sampler:
        if shutil.which(_QUERY[0]) is not None:
            query = "--query-gpu=utilization.gpu,memory.used"
            self._process = subprocess.Popen(
                [*_QUERY, query, "-lms", str(_MS)], stdout=subprocess.PIPE, text=True
            )
            threading.Thread(target=self._read, args=(self._process,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            numbers = line.replace(" ", "").strip().split(",")
            if len(numbers) == 2 and all(number.isdigit() for number in numbers):
                self.samples.append(Sample(int(numbers[0]), int(numbers[1])))

    def figures(self, seconds: int = 10) -> dict[str, Any]:
        """Mean utilization in percent, overall and for each so many seconds, and most memory."""
        if not self.samples:
            return {}
        count = seconds * 1000 // _MS
        return {
            "busy_percent": round(mean(sample.busy for sample in self.samples), 1),
            f"busy_percent_each_{seconds}_s": [
                round(mean(sample.busy for sample in part)) for part in _parts(self.samples, count)
            ],
            "memory_gb": round(max(sample.used for sample in self.samples) * 2**20 / 1e9, 1),
        }


def _parts(samples: Sequence[Sample], count: int) -> list[Sequence[Sample]]:
    return [samples[first : first + count] for first in range(0, len(samples), count)]
