"""What the store writes beside an array: `entry.json`, which may be damaged or made by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator

DATA, CHECKSUMS, DESCRIPTION = "data", "checksums", "entry.json"

_DTYPES: Final = {"uint8": torch.uint8, "float32": torch.float32, "bfloat16": torch.bfloat16}
_MOST_BYTES: Final = 100_000
_Length = Annotated[int, Field(ge=1, le=2**40)]


class Description(BaseModel):
    """An array in the store, without its bytes.

    Attributes:
        key: What determines it.
        dtype: The type of its values.
        shape: Its shape.
        size: The bytes of its data.
        chunk: The rows of a chunk.
    """

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)

    key: dict[str, Any]
    dtype: Literal["uint8", "float32", "bfloat16"]
    shape: Annotated[list[_Length], Field(min_length=1, max_length=8)]
    size: int
    chunk: _Length

    @property
    def torch_dtype(self) -> torch.dtype:
        """The type of its values."""
        return _DTYPES[self.dtype]

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.size != math.prod(self.shape) * self.torch_dtype.itemsize:
            raise ValueError("its size is not that of its shape")
        return self


def read_description(folder: Path) -> Description:
    """The description of an entry.

    Args:
        folder: The entry's.

    Raises:
        OSError: It cannot be read.
        ValueError: It is damaged.
    """
    with (folder / DESCRIPTION).open("rb") as file:
        return Description.model_validate_json(file.read(_MOST_BYTES))
