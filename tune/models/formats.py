"""What a model can be exported as."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

from trainable.files.places import why_not_writable
from tune.base.errors import ConfigError

Form = Literal["onnx", "pt2", "int8"]
"""`onnx`, PyTorch's own `pt2`, or ONNX in eight-bit integers."""


@dataclass(frozen=True)
class FormatRules:
    """What a format asks for.

    Attributes:
        suffix: The suffix that a file's name must have.
        ending: The ending of the default name.
        tolerance: By how much a file may fall short of its model, by default: the accuracy of one
            in integers, and any probability of another, which only rounding makes different.
        packages: The packages of the extra `export` that write and read such files.
    """

    suffix: str
    ending: str
    tolerance: float
    packages: tuple[str, ...] = ()


_ONNX: Final = ("onnx", "onnxruntime", "onnxscript")
FORMATS: Final[dict[Form, FormatRules]] = {
    "onnx": FormatRules(".onnx", ".onnx", 1e-4, _ONNX),
    "pt2": FormatRules(".pt2", ".pt2", 1e-4),
    "int8": FormatRules(".onnx", ".int8.onnx", 0.01, _ONNX),
}


def file_name(model: str, form: Form) -> str:
    """The default name of a model's file: `resnet18-digits-3.onnx`."""
    registered = model.removeprefix("models:/")
    name = Path(model).resolve().name if registered == model else registered.replace("/", "-")
    return name + FORMATS[form].ending


def check_file(form: Form, out: Path | None) -> None:
    """Check that a file of this format can be written, before anything slow is loaded.

    Args:
        form: The format.
        out: The file; None is the default.

    Raises:
        ConfigError: The file's name or folder is wrong, or a package is missing.
    """
    rules = FORMATS[form]
    if out is not None and out.suffix != rules.suffix:
        raise ConfigError(f"--out {out}: with --format {form} its name must end in {rules.suffix}")
    if out is not None and not out.parent.is_dir():
        raise ConfigError(f"--out {out}: there is no folder {out.parent}")
    if reason := why_not_writable(out or Path(f"model{rules.suffix}")):
        raise ConfigError(f"--out {out or '.'} cannot be written: {reason}")
    missing = [name for name in rules.packages if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"--format {form} needs {', '.join(missing)}: pip install 'resnet-tune[export]'"
        )
