"""The registered model, as MLflow loads it: this file is logged with it, and no pickle."""

from __future__ import annotations

import base64
import binascii
import io
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd

from trainable.classifier import Classifier


class ServedClassifier(mlflow.pyfunc.PythonModel):
    """Labels images that come as base64 text, in a column called `image`."""

    def load_context(self, context: Any) -> None:
        """Load the classifier's weights and classes."""
        self._classifier = Classifier.load(Path(context.artifacts["classifier"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """Label each row's image.

        Args:
            context: MLflow's.
            model_input: With a column `image`: PNG, JPEG or WebP files as base64 text.
            params: Unused.

        Returns:
            Columns `label`, `probability`, and `p_CLASS` for each class.

        Raises:
            ValueError: A row is no base64 text, or no image.
        """
        files = [_decode(row, text) for row, text in enumerate(model_input["image"])]
        probabilities = self._classifier.probabilities(self._classifier.read(files))
        classes = self._classifier.spec.classes
        table = pd.DataFrame(probabilities, columns=[f"p_{name}" for name in classes])
        labels = [classes[index] for index in probabilities.argmax(axis=1)]
        answers = pd.DataFrame({"label": labels, "probability": table.max(axis=1)})
        return pd.concat([answers, table], axis=1)


def _decode(row: int, text: str) -> io.BytesIO:
    try:
        return io.BytesIO(base64.b64decode(text, validate=True))
    except (binascii.Error, TypeError, ValueError) as error:
        raise ValueError(f"row {row}: image is not base64 text ({error})") from error


mlflow.models.set_model(ServedClassifier())
