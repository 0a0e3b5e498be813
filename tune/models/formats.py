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
        ending: Of its name where none is given.
        packages: Of the extra `export`, which write and read it.
    """

    suffix: str
    ending: str
    packages: tuple[str, ...] = ()


_ONNX: Final = ("onnx", "onnxruntime", "onnxscript")
FORMATS: Final[dict[Form, FormatRules]] = {
    "onnx": FormatRules(".onnx", ".onnx", _ONNX),
    "pt2": FormatRules(".pt2", ".pt2"),
    "int8": FormatRules(".onnx", ".int8.onnx", _ONNX),
}
