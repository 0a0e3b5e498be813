"""The labels of images: as lines on the terminal, or as a CSV file, which is whole or not there."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from trainable.base.text import printable
from trainable.files.places import Place, is_file, is_folder
from tune.base.errors import ConfigError, first_line

Best = Sequence[tuple[str, float]]
"""The most probable labels of an image, and their probabilities."""
Each = Mapping[str, float]
"""The probability of each label, where an image may have any number of them; else empty."""
Put = Callable[[str, Best, bool, Each], None]
"""Puts the name of an image somewhere with its labels, whether the first is unsure, and each."""


def print_text(name: str, best: Best, unsure: bool, _: Each) -> None:
    """Print a line for people."""
    answers = ", ".join(f"{label or 'no label'} {probability:.2%}" for label, probability in best)
    print(printable(f"{name}: {answers}{' (unsure)' if unsure else ''}"))


def print_json(name: str, best: Best, unsure: bool, each: Each) -> None:
    """Print a line for programs."""
    top = [{"label": label, "probability": round(value, 6)} for label, value in best]
    rounded = {label: round(value, 6) for label, value in each.items()}
    more = {"probabilities": rounded} if each else {}
    print(json.dumps({"image": name, **top[0], "unsure": unsure, "top": top, **more}))


def check_table(path: Path) -> None:
    """Check that a table can be written, before anything slow is loaded.

    Raises:
        ConfigError: Its folder is not there, or what has its name is no file.
    """
    if path.exists() and not is_file(path):
        raise ConfigError(f"--csv {path}: that is no plain file; give the name of one")
    if not is_folder(path.parent):
        raise ConfigError(f"--csv {path}: there is no folder {path.parent}")


@contextmanager
def writing_table(path: Path, width: int, labels: Sequence[str] = ()) -> Iterator[Put]:
    """Write a table beside its place, and put it there when the block ends without an error.

    Args:
        path: The file; one that is there is replaced.
        width: The number of answers to an image.
        labels: All labels, where an image may have any number of them: each has a column.

    Yields:
        What writes a row: the name of an image, as it was given, its labels, whether the first is
        unsure, and the probability of each.

    Raises:
        ConfigError: It cannot be written; what was there is as it was.
    """
    place = Place(path.parent)
    place.clear_halves(path.name, spare_running=True)
    more = [f"{kind}_{n}" for n in range(2, width + 1) for kind in ("label", "probability")]
    more += [f"p_{label}" for label in labels]
    try:
        # Names go out byte for byte as they came, also those that are no UTF-8.
        with (
            place.aside(path.name) as aside,
            aside.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
        ):
            writer = csv.writer(file)  # RFC 4180: cells with either end of a line are quoted
            writer.writerow(["path", "label", "probability", "unsure", *more])

            def put(name: str, best: Best, unsure: bool, each: Each) -> None:
                cells = [cell for label, value in best for cell in (label, f"{value:.6f}")]
                cells += [f"{each[label]:.6f}" for label in labels]
                writer.writerow([name, *cells[:2], str(unsure).lower(), *cells[2:]])

            yield put
    except OSError as error:
        raise ConfigError(f"--csv {path} cannot be written: {first_line(error)}") from error
