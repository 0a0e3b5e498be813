"""What a trial on a fold answered to the images of that fold: kept when its checkpoints are not."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Final

from trainable.files.remote import place_at
from trainable.judging.predictions import Predictions

_FILE: Final = "validated.npz"
_MOST_BYTES: Final = 2**26
"""Of answers that are kept. More are made again, by whoever asks for them."""


def keep_validated(folder: Path | str, predictions: Predictions) -> None:
    """Keep a trial's predictions on its validation images, beside its checkpoints.

    Raises:
        OSError: They cannot be written; those before are still there.
    """
    if predictions.logits.nbytes > _MOST_BYTES:
        return
    buffer = io.BytesIO()
    predictions.save(buffer)
    place_at(folder).write(_FILE, buffer.getvalue())


def read_validated(folder: Path | str) -> Predictions | None:
    """Those that were kept; None where there are none that can be read."""
    try:
        if not place_at(folder).exists(_FILE):
            return None
        content = io.BytesIO(place_at(folder).read(_FILE))  # NumPy leaves a broken file open
        return Predictions.load(content)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
