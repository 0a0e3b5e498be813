"""A search's definition in its study, so that a study alone suffices to go on with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from optuna.study import Study
from pydantic import ValidationError

from tune.base.errors import ConfigError
from tune.base.passwords import without_passwords
from tune.study.search import Search
from tune.study.storage import UNUSABLE, has_study, load_study, open_storage, unusable

_DEFINITION: Final = "definition"
"""Name of the study's attribute."""


def write_definition(study: Study, search: Search) -> None:
    """Put a search into its study, less the passwords that its addresses may hold."""
    tracking = search.config.tracking
    # Where the study lies is known to whoever reads it there.
    uri = None if tracking.uri is None else without_passwords(tracking.uri)
    shown = tracking.model_copy(update={"study": None, "uri": uri})
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
    try:
        if has_study(url, name):
            return Search.model_validate(load_study(url, name).user_attrs[_DEFINITION])
    except (ConfigError, KeyError, ValidationError):
        pass
    return None


def read_definitions(url: str, wanted: Callable[[Mapping[str, Any]], bool]) -> Iterator[Search]:
    """The searches of a storage that is there, the latest first; each with that storage.

    Args:
        url: The storage.
        wanted: Says of a definition, as it was written, whether the search is to be read.

    Raises:
        ConfigError: The storage cannot be used.
    """
    try:
        studies = open_storage(url).get_all_studies()
    except UNUSABLE as error:
        raise unusable(url, error) from error
    for study in sorted(studies, key=lambda one: -one._study_id):
        content = study.user_attrs.get(_DEFINITION)
        if not isinstance(content, Mapping) or not wanted(content):
            continue
        with suppress(ValidationError):
            search = Search.model_validate(content)
            tracking = search.config.tracking.model_copy(update={"study": url})
            config = search.config.model_copy(update={"tracking": tracking})
            yield search.model_copy(update={"config": config})
