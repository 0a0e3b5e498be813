"""The images of a search, as MLflow names the data of a run."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import Any, Final

from mlflow.entities import Dataset, DatasetInput, InputTag
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT, MLFLOW_SOURCE_NAME

from tune.study.search import Search
from tune.tracking.schema import SOURCE

_DIGEST: Final = 36
"""Characters that MLflow takes."""
_NAME: Final = 500
_COLUMNS: Final = (("binary", "image"), ("string", "label"))


def dataset_input(search: Search) -> DatasetInput:
    """The images of a search with the start of their fingerprint, for `MlflowClient.log_inputs`.

    The store knows a dataset again by its name and digest: one that is logged twice is there once.
    """
    data = search.config.data
    if data.root is None:
        name, kind = data.name or data.source, "code"
        source: dict[str, Any] = {"tags": {MLFLOW_SOURCE_NAME: SOURCE, "data.source": data.source}}
    elif isinstance(data.root, str):
        kind, _, below = data.root.partition("://")
        name, source = PurePosixPath(below).name or data.source, {"uri": data.root}
    else:
        root = data.root.resolve()
        name, kind, source = root.name or data.source, "local", {"uri": str(root)}
    columns = [{"type": each, "name": column, "required": True} for each, column in _COLUMNS]
    images = Dataset(
        name=name[:_NAME],
        digest=search.data_fingerprint[:_DIGEST],
        source_type=kind,
        source=json.dumps(source),
        schema=json.dumps({"mlflow_colspec": columns}),
        profile=json.dumps(search.sizes) if search.sizes else None,
    )
    return DatasetInput(images, [InputTag(MLFLOW_DATASET_CONTEXT, "training")])
