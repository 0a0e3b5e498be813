"""The registered model, as MLflow loads it: this file is logged with it, and no pickle."""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import mlflow
import numpy as np
import pandas as pd
import torch
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc import scoring_server
from numpy.typing import NDArray
from torch import Tensor

from trainable.data.decoding.image_file import ImageError
from trainable.inference.classifier import Classifier

_BATCH: Final = 32
"""Images that pass the network together: a request may hold any number of them."""
_IN_SERVER: Final = "_MLFLOW_IS_IN_SERVING_ENVIRONMENT"
"""Variable that MLflow sets in its server."""
_TAKES_FILES: Final = "takes_image_files"
"""Mark of what stands in for MLflow's own function, so that it does so once."""


class RequestError(MlflowException):
    """A mistake in a request, for which MLflow's server answers 400 with this message alone."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, error_code=INVALID_PARAMETER_VALUE)
        self._reason = reason

    def serialize_as_json(self) -> str:
        """The answer's body."""
        self.message = self._reason  # the server has put all that was sent before it
        return super().serialize_as_json()


class ServedClassifier(mlflow.pyfunc.PythonModel):
    """Labels images that come as base64 text, in a column called `image`."""

    def load_context(self, context: Any) -> None:
        """Load the classifier's weights and classes."""
        (folder,) = context.artifacts.values()  # served without `tune`, and so without its names
        self._classifier = Classifier.load(Path(folder))
        _refuse_deep_json()  # MLflow's server loads the model before it says that it is one
        _take_files()

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """Label each row's image.

        Args:
            context: MLflow's.
            model_input: With a column `image`: PNG, JPEG or WebP files as base64 text.
            params: Unused.

        Returns:
            Columns `label` (of several labels `cat|dog`), `probability`, `unsure`, and `p_CLASS`
            for each class.

        Raises:
            RequestError: There is no row, or one is no base64 text or no image.
        """
        _share_cores()
        texts = model_input["image"].tolist()
        if not texts:
            raise RequestError("there is no image: send at least one")
        probabilities = np.concatenate(list(self._batches(texts)))
        classes = self._classifier.spec.classes
        answers = [self._classifier.answer(row) for row in probabilities]
        table = pd.DataFrame(probabilities, columns=[f"p_{name}" for name in classes])
        table.insert(0, "label", [label for label, _ in answers])
        table.insert(1, "probability", [probability for _, probability in answers])
        table.insert(2, "unsure", self._classifier.unsure(probabilities))
        return table

    def _batches(self, texts: list[Any]) -> Iterator[NDArray[np.float32]]:
        """Class probabilities, so many images at a time."""
        for start in range(0, len(texts), _BATCH):
            rows = enumerate(texts[start : start + _BATCH], start)
            images = torch.cat([self._read(row, text) for row, text in rows])
            yield self._classifier.probabilities(images)

    def _read(self, row: int, text: Any) -> Tensor:
        try:
            return self._classifier.read([io.BytesIO(base64.b64decode(text, validate=True))])
        except ImageError as error:
            raise RequestError(f"row {row}: {error}") from error
        except (TypeError, ValueError) as error:
            raise RequestError(f"row {row}: image is not base64 text ({error})") from error


def _share_cores() -> None:
    """In a server, compute in this thread alone, unless `OMP_NUM_THREADS` says otherwise.

    It answers several requests at once, each in a thread: were each to use all the cores, they
    would spend most of their time waiting for each other. PyTorch keeps this setting by thread.
    """
    if _IN_SERVER in os.environ and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)


def _refuse_deep_json() -> None:
    """Have MLflow's server answer 400 to JSON that is nested deeper than Python reads, and not 500.

    There is no other place for it than its own function, which it looks up at each request.
    """
    decode = getattr(scoring_server, "_decode_json_input", None)
    if decode is None:
        return

    def decoded(json_input: Any) -> Any:
        try:
            return decode(json_input)
        except RecursionError as error:
            raise RequestError("the JSON is nested too deep") from error

    scoring_server._decode_json_input = decoded


def _take_files() -> None:
    """Have MLflow's server take the bytes of one image file too, as clients send files.

    Its own function, which it looks up at each request, knows JSON, CSV and Parquet by the type of
    the content, and answers 415 to others; were it gone, an image would be answered that too.
    """
    invoke = getattr(scoring_server, "invocations", None)
    if invoke is None or hasattr(invoke, _TAKES_FILES):
        return

    def invoked(data: Any, content_type: str, *more: Any) -> Any:
        kind = (content_type or "").partition(";")[0].strip().lower()
        if not (kind.startswith("image/") or kind == "application/octet-stream"):
            return invoke(data, content_type, *more)
        row = {"image": base64.b64encode(data).decode()}
        return invoke(json.dumps({"dataframe_records": [row]}), "application/json", *more)

    setattr(invoked, _TAKES_FILES, True)
    scoring_server.invocations = invoked


mlflow.models.set_model(ServedClassifier())
