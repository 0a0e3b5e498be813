"""What the commands share: options, exit codes, and one way to report a mistake."""

from tune.cli.door import (
    Door,
    OneLineCommand,
    OneLineGroup,
    complain,
    nearest_of,
    open_console,
)
from tune.cli.options import AddressOption, ConfigOption, ModelOption, OverridesArgument, UriOption

__all__ = [
    "AddressOption",
    "ConfigOption",
    "Door",
    "ModelOption",
    "OneLineCommand",
    "OneLineGroup",
    "OverridesArgument",
    "UriOption",
    "complain",
    "nearest_of",
    "open_console",
]
