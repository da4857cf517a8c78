"""How command lines are read, and how their help looks."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .settings import Settings


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Keep line breaks of descriptions and examples; leave room for long options."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28)


class CommandParser(argparse.ArgumentParser):
    """The parser of one command, with our help: options may stand between arguments.

    argparse can do that (`parse_intermixed_args`), but not for the parsers of commands,
    which it calls through `parse_known_args`.
    """

    _is_inside = False
    settings: Settings | None = None  # where options come from besides the command line

    def __init__(self, **options: Any) -> None:  # noqa: ANN401
        super().__init__(**{"formatter_class": Formatter, **options})

    def parse_known_args(  # type: ignore[override]
        self,
        args: Sequence[str] | None = None,
        namespace: argparse.Namespace | None = None,
    ) -> tuple[Any, list[str]]:
        """Read arguments and options in any order."""
        if self._is_inside:
            return super().parse_known_args(args, namespace)
        self._is_inside = True
        try:
            if self.settings is not None:
                self.settings.prepare(args or ())
            options, rest = self.parse_known_intermixed_args(args, namespace)
            if self.settings is not None:
                self.settings.finish(options)
            return options, rest
        finally:
            self._is_inside = False
