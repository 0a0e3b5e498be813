"""A storage that is away stops a search as a full disk does: for now."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from trainable.base.errors import first_line
from trainable.files.remote import StorageAwayError
from tune.base.errors import Halt


@contextmanager
def halting(errors: type[OSError] = StorageAwayError) -> Iterator[None]:
    """Have a storage that is away for too long, or that refuses, halt the search.

    At the request itself where Ray calls it: of what is no Halt, Ray makes an error of its own.

    Args:
        errors: What says so; of a folder that a network has, any may.

    Raises:
        Halt: It is away.
    """
    try:
        yield
    except errors as error:
        raise Halt(first_line(error)) from error
