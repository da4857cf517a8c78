"""Finding an application by its name, as in ``package.module:app``."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from typing import TYPE_CHECKING, Any, cast

from quicxdp.errors import ApplicationError

if TYPE_CHECKING:
    from pathlib import Path

    from .types import App

_PARAMETER_CNT = 3  # scope, receive, send


def load(target: str, *, factory: bool = False, app_dir: Path | None = None) -> App:
    """Import the application that *target* names.

    Args:
        target: module and attribute, with a colon between.
        factory: the attribute is a function that returns the application.
        app_dir: where to look for the module first; the current folder if None.

    Raises:
        ApplicationError: there is no such module or attribute, or it is no application.
        Exception: what the module itself raises when it is imported.
    """
    module_name, colon, path = target.partition(":")
    if not (module_name and colon and path):
        raise ApplicationError(
            f"{target!r} names no application; write module:attribute, such as main:app"
        )
    folder = os.fspath(app_dir) if app_dir is not None else str(os.curdir)
    if (absolute := os.path.realpath(folder)) not in sys.path:
        sys.path.insert(0, absolute)
    found: Any = _import(module_name, absolute)
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise ApplicationError(
                f"the module {module_name} has no {path!r}; is it named otherwise there?"
            ) from None
    if factory:
        found = _made_by(found, target)
    return check(found, target)


def _import(module_name: str, folder: str) -> object:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # A module that is there and imports one that is not has its own tale to tell.
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise ApplicationError(
            f"there is no module {error.name}, looked for in {folder} first; "
            f"--app-dir names another folder"
        ) from None


def _made_by(factory: object, target: str) -> object:
    if not callable(factory):
        raise ApplicationError(f"{target} cannot be called, so it is no factory")
    try:
        inspect.signature(factory).bind()
    except TypeError:
        raise ApplicationError(
            f"{target} wants arguments, so it is no factory; leave --factory out if it "
            f"is the application itself"
        ) from None
    except ValueError:
        pass  # a callable from C, which does not tell
    return factory()


def check(found: object, target: str) -> App:
    """Return *found* if it can be an ASGI 3 application.

    Raises:
        ApplicationError: it cannot, and the message says what it looks like.
    """
    if not callable(found):
        raise ApplicationError(
            f"{target} is {type(found).__name__!r} and cannot be called; an application "
            f"is called with scope, receive and send"
        )
    try:
        inspect.signature(found).bind(*range(_PARAMETER_CNT))
    except TypeError:
        raise ApplicationError(
            f"{target} does not take scope, receive and send: is it a function that "
            f"makes the application (--factory), or one of ASGI 2 or WSGI? (asgiref "
            f"adapts those: asgiref.compatibility, asgiref.wsgi.WsgiToAsgi)"
        ) from None
    except ValueError:
        pass
    return cast("App", found)
