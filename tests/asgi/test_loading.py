from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from quicxdp.asgi import loading
from quicxdp.errors import ApplicationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SOURCE = """
async def app(scope, receive, send): ...

class Nested:
    inner = app

class Instance:
    async def __call__(self, scope, receive, send): ...

instance = Instance()
number = 4

def make():
    return app

def make_with(argument):
    return app

def asgi2(scope):
    return app
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Make a folder with modules, and forget them afterwards."""
    (tmp_path / "qx_loaded.py").write_text(SOURCE)
    (tmp_path / "qx_broken.py").write_text("import qx_nowhere")
    before = list(sys.path)
    yield tmp_path
    sys.path[:] = before
    for name in ("qx_loaded", "qx_broken"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("target", "factory"),
    [
        ("qx_loaded:app", False),
        ("qx_loaded:Nested.inner", False),
        ("qx_loaded:instance", False),
        ("qx_loaded:make", True),
    ],
)
def test_an_application_is_found_by_its_name(
    folder: Path, target: str, *, factory: bool
) -> None:
    """What works with uvicorn's command line works here."""
    assert callable(loading.load(target, factory=factory, app_dir=folder))


@pytest.mark.parametrize(
    ("target", "factory", "told"),
    [
        ("qx_loaded", False, "module:attribute"),
        ("qx_absent:app", False, "no module qx_absent"),
        ("qx_loaded:absent", False, "has no 'absent'"),
        ("qx_loaded:number", False, "cannot be called"),
        ("qx_loaded:make", False, "--factory"),
        ("qx_loaded:asgi2", False, "ASGI 2"),
        ("qx_loaded:make_with", True, "wants arguments"),
        ("qx_loaded:number", True, "no factory"),
    ],
)
def test_what_is_no_application_is_refused_with_what_to_do(
    folder: Path, target: str, told: str, *, factory: bool
) -> None:
    """A wrong name is found at the start, not by the first visitor."""
    with pytest.raises(ApplicationError, match=told):
        loading.load(target, factory=factory, app_dir=folder)


def test_a_module_that_fails_to_import_tells_its_own_tale(folder: Path) -> None:
    """The missing module is the one that the user's module wants, not the user's."""
    with pytest.raises(ModuleNotFoundError, match="qx_nowhere"):
        loading.load("qx_broken:app", app_dir=folder)
