"""Hyperparameter search for fine-tuning image classifiers.

Ray Tune runs the trials, Optuna proposes them, MLflow records them::

    import tune

    result = tune.run("image_folder", data={"root": "photos"}, name="photos", num_samples=20)
    result.model.predict(["new.jpg"])

Importing the package is cheap: what is slow loads when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from tune.base.platforms import check_platform

if TYPE_CHECKING:
    from tune.base.errors import ConfigError, SearchStoppedError
    from tune.library.models import Prediction, PredictionModel, load_model
    from tune.library.results import Result
    from tune.library.runs import SearchEntry, resume, run, searches

__all__ = [
    "ConfigError",
    "Prediction",
    "PredictionModel",
    "Result",
    "SearchEntry",
    "SearchStoppedError",
    "load_model",
    "resume",
    "run",
    "searches",
]

_MODULES: Final = {
    "ConfigError": "tune.base.errors",
    "SearchStoppedError": "tune.base.errors",
    "Prediction": "tune.library.models",
    "PredictionModel": "tune.library.models",
    "load_model": "tune.library.models",
    "Result": "tune.library.results",
    "SearchEntry": "tune.library.runs",
    "resume": "tune.library.runs",
    "run": "tune.library.runs",
    "searches": "tune.library.runs",
}


check_platform()


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'tune' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
