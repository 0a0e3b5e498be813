"""A search's definition in its study, so that a study alone suffices to go on with it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import optuna
from optuna.study import Study
from pydantic import ValidationError

from tune.study.search import Search
from tune.study.storage import UNUSABLE, open_storage

_DEFINITION: Final = "definition"
"""Name of the study's attribute."""
_PASSWORD: Final = re.compile(r"(?<=://)([^/:@]*):[^/@]*@")


def write_definition(study: Study, search: Search) -> None:
    """Put a search into its study, less the passwords that its addresses may hold."""
    tracking = search.config.tracking
    # Where the study lies is known to whoever reads it there.
    shown = tracking.model_copy(update={"study": None, "uri": _without_password(tracking.uri)})
    config = search.config.model_copy(update={"tracking": shown})
    content = search.model_copy(update={"config": config}).model_dump(mode="json")
    if study.user_attrs.get(_DEFINITION) != content:
        study.set_user_attr(_DEFINITION, content)


def read_definition(url: str, name: str) -> Search | None:
    """The search of a study, if there is such a study and it holds one.

    Args:
        url: The storage, which is not made if it is not there.
        name: The search's name.
    """
    path = Path(url.removeprefix("sqlite:///"))
    if url.startswith("sqlite:///") and not path.is_file():
        return None
    try:
        study = optuna.load_study(study_name=name, storage=open_storage(url))
        return Search.model_validate(study.user_attrs[_DEFINITION])
    except (KeyError, ValidationError, *UNUSABLE):
        return None


def _without_password(uri: str | None) -> str | None:
    return None if uri is None else _PASSWORD.sub(r"\1@", uri)
