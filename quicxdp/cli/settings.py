"""Options from a TOML file and from the environment.

    command line  >  environment  >  file of --config  >  default

Every option of a command that has settings is a key of the file, with dashes or
underscores, and a variable QUICXDP_NAME.  What is given twice is not added up: a list on
the command line replaces the one of the file.  They go through the same checks as the
command line, and a key of the file that is no option is an error.
"""

from __future__ import annotations

import argparse
import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

PREFIX: Final = "QUICXDP_"
_OPTION: Final = "--config"
_YES: Final = frozenset(("1", "true", "yes", "on"))
_NO: Final = frozenset(("0", "false", "no", "off", ""))


class Settings:
    """What a parser takes from file and environment."""

    def __init__(
        self, parser: argparse.ArgumentParser, environ: Mapping[str, str] = os.environ
    ) -> None:
        """Add --config to *parser*, after all other options."""
        self._parser = parser
        self._environ = environ
        self._actions = dict(_named(parser))
        self._lists: dict[str, list[Any]] = {}
        parser.add_argument(
            _OPTION,
            type=Path,
            metavar="TOML",
            help=f"take options from this file; those of the environment ({PREFIX}PORT "
            f"for --port) and of the command line go before",
        )

    def prepare(self, arguments: Sequence[str]) -> None:
        """Make what file and environment say the defaults of the parser."""
        found: dict[str, tuple[str, Any]] = {}
        if (path := self._file(arguments)) is not None:
            for key, value in self._load(path).items():
                name = key.replace("_", "-")
                if name not in self._actions:
                    self._fail(f"{path}: {key} is no option of this command")
                found[self._actions[name].dest] = (f"{path}: {key}", value)
        for name, action in self._actions.items():
            variable = PREFIX + name.replace("-", "_").upper()
            if variable in self._environ:
                found[action.dest] = (variable, self._environ[variable])
        actions = {action.dest: action for action in self._actions.values()}
        for dest, (source, value) in found.items():
            self._set_default(actions[dest], source, value)

    def finish(self, options: argparse.Namespace) -> None:
        """Fill in the lists that the command line says nothing about."""
        for dest, value in self._lists.items():
            if not getattr(options, dest):
                setattr(options, dest, value)

    def _file(self, arguments: Sequence[str]) -> Path | None:
        path = self._environ.get(f"{PREFIX}CONFIG")
        for at, argument in enumerate(arguments):
            if argument == _OPTION and at + 1 < len(arguments):
                path = arguments[at + 1]
            elif argument.startswith(f"{_OPTION}="):
                path = argument.partition("=")[2]
        return Path(path) if path else None

    def _load(self, path: Path) -> dict[str, Any]:
        try:
            with path.open("rb") as file:
                return tomllib.load(file)
        except OSError as error:
            self._fail(f"{path} cannot be read: {error.strerror}")
        except tomllib.TOMLDecodeError as error:
            self._fail(f"{path} is not TOML: {error}")
        raise AssertionError  # _fail does not return

    def _set_default(self, action: argparse.Action, source: str, value: Any) -> None:  # noqa: ANN401
        if isinstance(action, argparse._StoreTrueAction):  # noqa: SLF001
            action.default = self._truth(source, value)
        elif isinstance(action, argparse._AppendAction):  # noqa: SLF001
            items = value if isinstance(value, list) else str(value).split(",")
            texts = (str(item).strip() for item in items)
            self._lists[action.dest] = [self._converted(action, source, t) for t in texts]
        elif isinstance(value, (bool, list, dict)):
            self._fail(f"{source} is {value!r}, which is no single value")
        else:
            action.default = self._converted(action, source, str(value))

    def _truth(self, source: str, value: Any) -> bool:  # noqa: ANN401
        text = str(value).lower()
        if text not in _YES | _NO:
            self._fail(f"{source} is {value!r}; write true or false")
        return text in _YES

    def _converted(self, action: argparse.Action, source: str, text: str) -> Any:  # noqa: ANN401
        convert: Any = action.type or str
        try:
            value = convert(text)
        except (ValueError, TypeError, argparse.ArgumentTypeError) as error:
            self._fail(f"{source} is {text!r}: {error}")
        if action.choices is not None and value not in action.choices:
            self._fail(f"{source} is {text!r}, which is not one of the choices")
        return value

    def _fail(self, message: str) -> None:
        self._parser.error(message)


def _named(parser: argparse.ArgumentParser) -> Iterable[tuple[str, argparse.Action]]:
    for action in parser._actions:  # noqa: SLF001  (there is no other way to ask)
        if isinstance(action, (argparse._HelpAction, argparse._StoreConstAction)) and (  # noqa: SLF001
            not isinstance(action, argparse._StoreTrueAction)  # noqa: SLF001
        ):
            continue
        for option in action.option_strings or [action.dest]:
            yield option.lstrip("-"), action
