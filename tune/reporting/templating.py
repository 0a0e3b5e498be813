"""The pages' templates, in which whatever is put is text."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import jinja2

_TEMPLATES: Final = Path(__file__).parent / "templates"


def template(name: str) -> jinja2.Template:
    """A template by its file's name."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(name)
