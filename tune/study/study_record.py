"""What a search's study itself says of it."""

So a study alone suffices to go on with a search, and what its folder has is a cache of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from tune.study.reach import dialect_of, file_of
from tune.study.search import Search


class StudyRecord:
    """What the study of a search says of it.

    Args:
        name: The search's name.
        own: The URL of the study in the folder of all searches, which a config does not name.
        given: The URL of its study's storage, if it is known: by an option, a variable, a config.
    """

    def __init__(self, name: str, own: str, given: str | None) -> None:
        self._name, self._own, self._given = name, own, given

    def search(self, cached: Search | None) -> Search | None:
        """The search, with the address by which it was found; None where no study has it.

        Args:
            cached: The search as its folder has it, if it has it whole. A study of another search
                of this name is not taken for its own.
        """
        written = None if cached is None else cached.config.tracking.study
        for url in _there(self._given, written, self._own):
            from tune.study.definition import read_definition  # with Optuna, which takes a while

            found = read_definition(url, self._name)
            if found is not None and (cached is None or found.identity == cached.identity):
                return self._placed(found, cached, url)
        return None

    def _placed(self, found: Search, cached: Search | None, url: str) -> Search:
        """A search with its addresses: a study has none of its own, and no passwords."""
        if cached is None:
            uri = os.environ.get("MLFLOW_TRACKING_URI") or found.config.tracking.uri
        else:
            uri = cached.config.tracking.uri
        where = {"study": None if url == self._own else url, "uri": uri}
        tracking = found.config.tracking.model_copy(update=where)
        config = found.config.model_copy(update={"tracking": tracking})
        return found.model_copy(update={"config": config})


def _there(*urls: str | None) -> Iterator[str]:
    """Those of the storages that may be there, each once: no file is made by looking."""
    for url in dict.fromkeys(filter(None, urls)):
        file = file_of(url)
        if dialect_of(url) != "sqlite" or (file is not None and file.is_file()):
            yield url
