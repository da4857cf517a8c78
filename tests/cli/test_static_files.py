"""Opening files for strangers: nothing outside the folder, nothing but regular files."""

from __future__ import annotations

import os
import socket
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quicxdp.cli.request import Refused, parse_path_untrusted
from quicxdp.cli.static_files import FileRoot, OpenFile, OpenFolder

if TYPE_CHECKING:
    from collections.abc import Generator

SECRET = "secret, must never be served"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Make a folder to serve, beside things that must not be."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text(SECRET)
    root = tmp_path / "www"
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "page.html").write_text("page")
    (root / "sub" / "index.html").write_text("index")
    (root / "sub" / "deep" / "file").write_text("deep")
    (root / ".hidden").write_text(SECRET)
    (root / ".git").mkdir()
    (root / ".git" / "config").write_text(SECRET)
    return root


def open_descriptors() -> set[str]:
    """List this process's descriptors."""
    return {path.name for path in Path("/proc/self/fd").iterdir()}


@pytest.fixture
def root(site: Path) -> Generator[FileRoot]:
    """Hold the folder open; afterwards every descriptor must be back."""
    before = open_descriptors()
    with FileRoot(site) as opened:
        yield opened
    assert open_descriptors() == before


def get(root: FileRoot, path: str) -> str | HTTPStatus:
    """Return a file's content, "folder", or the status of the refusal."""
    try:
        opened = root.open_untrusted(parse_path_untrusted(path.encode()))
    except Refused as refused:
        return refused.status
    try:
        if isinstance(opened, OpenFolder):
            return "folder"
        return os.pread(opened.fd, 1 << 16, 0).decode()
    finally:
        os.close(opened.fd)


def test_files_below_the_folder_are_opened(root: FileRoot) -> None:
    """What it is for."""
    assert get(root, "/page.html") == "page"
    assert get(root, "/sub/deep/file") == "deep"


def test_a_folder_with_its_slash_is_its_index(root: FileRoot) -> None:
    """Without the slash it is a folder still, to be redirected."""
    assert get(root, "/sub/") == "index"
    assert get(root, "/sub") == "folder"
    assert get(root, "/sub/deep/") == "folder"


def test_what_is_not_there_is_not_found(root: FileRoot) -> None:
    """Also below a file, and a file that is asked for as a folder."""
    for path in ("/nope", "/nope/x", "/page.html/", "/page.html/x", "/" + "x" * 255):
        assert get(root, path) == HTTPStatus.NOT_FOUND


def test_an_index_that_is_a_folder_is_refused(site: Path, root: FileRoot) -> None:
    """It must not be listed as if it were its parent."""
    (site / "odd" / "index.html").mkdir(parents=True)

    assert get(root, "/odd/") == HTTPStatus.FORBIDDEN


@pytest.mark.parametrize(
    "link",
    [
        "../outside/secret",
        "../../../../../../../../etc/passwd",
        "/etc/passwd",
        "sub/../../outside/secret",
        "./../www/../outside/secret",
    ],
)
def test_links_that_lead_out_are_refused(site: Path, root: FileRoot, link: str) -> None:
    """Whoever can write into the folder must not be able to read beside it."""
    (site / "link").symlink_to(link)
    (site / "sub" / "link").symlink_to("../link")

    assert get(root, "/link") == HTTPStatus.FORBIDDEN
    assert get(root, "/sub/link") == HTTPStatus.FORBIDDEN


def test_folder_links_that_lead_out_are_refused(site: Path, root: FileRoot) -> None:
    """The same one level up."""
    (site / "dir").symlink_to("../outside")
    (site / "abs").symlink_to(site.parent / "outside")

    assert get(root, "/dir/secret") == HTTPStatus.FORBIDDEN
    assert get(root, "/abs/secret") == HTTPStatus.FORBIDDEN
    assert get(root, "/dir/") == HTTPStatus.FORBIDDEN


def test_links_inside_the_folder_are_followed(site: Path, root: FileRoot) -> None:
    """`current -> release-42` is how sites are switched over."""
    (site / "current").symlink_to("sub")
    (site / "sub" / "up").symlink_to("../page.html")
    (site / "round").symlink_to("sub/../sub/./deep//file")

    assert get(root, "/current/deep/file") == "deep"
    assert get(root, "/current/") == "index"
    assert get(root, "/sub/up") == "page"
    assert get(root, "/current/up") == "page"
    assert get(root, "/round") == "deep"


def test_links_to_hidden_files_do_not_show_them(site: Path, root: FileRoot) -> None:
    """A link is no way around the rule for hidden names."""
    (site / "link").symlink_to(".git/config")
    (site / "dir").symlink_to(".git")

    assert get(root, "/link") == HTTPStatus.NOT_FOUND
    assert get(root, "/dir/config") == HTTPStatus.NOT_FOUND


def test_links_in_a_circle_end(site: Path, root: FileRoot) -> None:
    """The kernel's own limit does not help where we follow links ourselves."""
    (site / "a").symlink_to("b")
    (site / "b").symlink_to("a")
    (site / "self").symlink_to("self/self")

    assert get(root, "/a") == HTTPStatus.FORBIDDEN
    assert get(root, "/self") == HTTPStatus.FORBIDDEN


def test_a_dangling_link_is_not_found(site: Path, root: FileRoot) -> None:
    """As if it were not there."""
    (site / "link").symlink_to("nope")

    assert get(root, "/link") == HTTPStatus.NOT_FOUND


def test_only_regular_files_are_opened(site: Path, root: FileRoot) -> None:
    """Opening a FIFO would wait for its writer, and a device may do anything."""
    os.mkfifo(site / "fifo")
    (site / "device").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(site / "socket"))
        if os.geteuid() == 0:
            os.mknod(site / "zero", 0o20666, os.makedev(1, 5))
            assert get(root, "/zero") == HTTPStatus.FORBIDDEN
        for path in ("/fifo", "/device", "/socket", "/fifo/x"):
            assert get(root, path) == HTTPStatus.FORBIDDEN


def test_a_name_that_becomes_a_link_between_look_and_open_is_not_followed(
    site: Path, root: FileRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The race that a check of paths always loses, and O_NOFOLLOW always wins."""
    real_stat = os.stat

    def stat_then_swap(
        name: bytes, *, dir_fd: int, follow_symlinks: bool
    ) -> os.stat_result:
        result = real_stat(name, dir_fd=dir_fd, follow_symlinks=follow_symlinks)
        if name == b"page.html":
            (site / "page.html").unlink()
            (site / "page.html").symlink_to("../outside/secret")
        if name == b"sub":
            (site / "sub").rename(site / "old")
            (site / "sub").symlink_to("../outside")
        return result

    monkeypatch.setattr(os, "stat", stat_then_swap)

    assert get(root, "/page.html") == HTTPStatus.NOT_FOUND
    assert get(root, "/sub/secret") == HTTPStatus.NOT_FOUND


def test_a_file_that_may_not_be_read_is_forbidden(
    site: Path, root: FileRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root reads everything, so the kernel's refusal is put on here."""
    real_open = os.open

    def refuse(name: bytes, flags: int, *, dir_fd: int) -> int:
        if name == b"page.html":
            raise PermissionError(13, "Permission denied")
        return real_open(name, flags, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", refuse)

    assert get(root, "/page.html") == HTTPStatus.FORBIDDEN


def test_running_out_of_descriptors_is_a_busy_server(
    root: FileRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client may try again; nothing is wrong with the file."""

    def refuse(_name: bytes, _flags: int, *, dir_fd: int) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "open", refuse)

    assert get(root, "/page.html") == HTTPStatus.SERVICE_UNAVAILABLE
    assert get(root, "/sub/deep/file") == HTTPStatus.SERVICE_UNAVAILABLE


def test_the_type_goes_by_the_name_asked_for(site: Path, root: FileRoot) -> None:
    """`latest.tar.gz` is a gzip, whatever the release behind it is called."""
    (site / "latest.html").symlink_to("sub/deep/file")

    opened = root.open_untrusted(parse_path_untrusted(b"/latest.html"))

    assert isinstance(opened, OpenFile)
    os.close(opened.fd)
    assert opened.facts.name == b"latest.html"
    assert opened.facts.size_bytes == 4


PIECES = st.sampled_from(
    [*("..", ".", "", "sub", "deep", "file", "page.html", ".git", "config", "link"),
     *("out", "%2e%2e", "%2f", "..%2f", "outside", "secret", "up")]
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(pieces=st.lists(PIECES, max_size=7))
def test_no_path_reaches_the_secret(
    site: Path, root: FileRoot, pieces: list[str]
) -> None:
    """Whatever is combined: separators, dots, escapes, links up and out."""
    for name, link in (("out", "../outside"), ("link", "out/secret"), ("sub/up", "..")):
        if not (site / name).is_symlink():
            (site / name).symlink_to(link)

    assert get(root, "/" + "/".join(pieces)) != SECRET
