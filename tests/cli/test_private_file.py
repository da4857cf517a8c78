"""Files that hold secrets."""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING

import pytest

from quicxdp.cli import private_file
from quicxdp.cli.exits import StartError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_secrets_log_is_for_its_owner_only(tmp_path: Path) -> None:
    """Whatever the umask says: it opens all traffic of the run."""
    before = os.umask(0)
    try:
        with private_file.open_secrets_log(tmp_path / "keys") as file:
            file.write("CLIENT_RANDOM x y\n")
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o600


@pytest.mark.parametrize("kind", ["file", "link", "dangling link"])
def test_nothing_that_exists_is_written_to(tmp_path: Path, kind: str) -> None:
    """In /tmp somebody else may have put a link there first."""
    target = tmp_path / "target"
    path = tmp_path / "keys"
    if kind == "file":
        path.write_text("keep")
    else:
        path.symlink_to(target)
    if kind == "link":
        target.write_text("keep")

    with pytest.raises(StartError, match="exists"):
        private_file.open_secrets_log(path)

    assert kind != "dangling link" or not target.exists()


def test_a_restarted_server_finds_a_free_name(tmp_path: Path) -> None:
    """Files are only made anew, and systemd starts a server again with the same words."""
    path = private_file.new_file(f"{tmp_path}/run-{{time}}-{{pid}}.keys")

    assert re.fullmatch(rf"run-\d{{8}}T\d{{6}}Z-{os.getpid()}\.keys", path.name)
    assert private_file.new_file("plain %p {x}.keys").name == "plain %p {x}.keys"
    private_file.open_secrets_log(path).close()
    with pytest.raises(StartError, match=r"put \{time\} or \{pid\} into its name"):
        private_file.open_secrets_log(path)


def test_a_folder_that_is_not_there_is_said_to_be_so(tmp_path: Path) -> None:
    """With the file's name."""
    with pytest.raises(StartError, match="No such file"):
        private_file.open_secrets_log(tmp_path / "nope" / "keys")
