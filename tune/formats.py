"""What a model can be exported as."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Form = Literal["onnx", "pt2", "int8"]
"""`onnx`, PyTorch's own `pt2`, or ONNX in eight-bit integers."""


@dataclass(frozen=True)
class FormatRules:
    """What a format asks for.

    Attributes:
        suffix: Of the file's name.
        packages: Of the extra `export`, which write and read it.
    """

    suffix: str
    packages: tuple[str, ...] = ()


_ONNX: Final = FormatRules(".onnx", ("onnx", "onnxruntime", "onnxscript"))
FORMATS: Final[dict[Form, FormatRules]] = {
    "onnx": _ONNX,
    "pt2": FormatRules(".pt2"),
    "int8": _ONNX,
}
