"""The guest's first file system: busybox, the kernel modules that it needs, and init.

Everything else comes from the host's own root, which init mounts read-only over 9p.
"""

from __future__ import annotations

import hashlib
import lzma
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from lab.packages import LabUnavailableError, cache_dir

if TYPE_CHECKING:
    from lab.packages import Kernel

__all__ = ["initramfs"]

INIT = Path(__file__).with_name("init.sh")
# Loaded in this order, each after what it depends on.  What a kernel has built in is no
# file, and needs none.
MODULES = [
    *("virtio_pci", "9pnet_virtio", "9p", "overlay"),
    *("virtio_net", "igb", "veth", "bridge", "8021q", "sch_netem"),
]
REQUIRED = {"9pnet_virtio", "9p", "overlay", "virtio_net"}


def initramfs(kernel: Kernel) -> Path:
    """Return the initramfs for *kernel*, built where the cache holds none."""
    busybox = shutil.which("busybox")
    if busybox is None or shutil.which("cpio") is None:
        raise LabUnavailableError(
            "busybox or cpio is missing; apt-get install busybox-static cpio"
        )
    recipe = hashlib.sha256(INIT.read_bytes() + Path(__file__).read_bytes()).hexdigest()
    image = cache_dir() / f"initramfs-{kernel.version}-{recipe[:12]}"
    if not image.exists():
        for stale in cache_dir().glob("initramfs-*"):
            stale.unlink()
        # Beside the image, so that it appears there whole or not at all.
        with tempfile.TemporaryDirectory(dir=cache_dir()) as folder:
            root = Path(folder) / "root"
            _lay_out(root, kernel, Path(busybox))
            unfinished = Path(folder) / "image"
            _pack(root, unfinished)
            unfinished.replace(image)
    return image


def _lay_out(root: Path, kernel: Kernel, busybox: Path) -> None:
    for name in ("bin", "modules"):
        (root / name).mkdir(parents=True)
    shutil.copy(busybox, root / "bin/busybox")
    shutil.copy(INIT, root / "init")
    (root / "init").chmod(0o755)
    order: list[str] = []
    files = {
        path.name.split(".")[0].replace("-", "_"): path
        for path in (kernel.modules / "kernel").rglob("*.ko*")
    }
    missing = REQUIRED - files.keys()
    if missing:
        raise LabUnavailableError(
            f"Linux {kernel.version} has no modules {', '.join(sorted(missing))}"
        )
    for name in MODULES:
        _add_module(name, files, root / "modules", order)
    (root / "modules/order").write_text("\n".join(order) + "\n", encoding="ascii")


def _add_module(
    name: str, files: dict[str, Path], folder: Path, order: list[str]
) -> None:
    """Write a module and what it depends on, uncompressed, and note their order."""
    if name in order or name not in files:
        return
    content = files[name].read_bytes()
    if files[name].suffix == ".xz":
        content = lzma.decompress(content)
    # In the section .modinfo; softdep's "pre:" modules are wished for, too.
    needed = [
        *re.findall(rb"\0depends=([^\0]*)\0", b"\0" + content),
        *re.findall(rb"\0softdep=pre: ([^\0]*)\0", content),
    ]
    for other in re.split(rb"[ ,]+", b" ".join(needed)):
        _add_module(other.decode().replace("-", "_"), files, folder, order)
    (folder / f"{name}.ko").write_bytes(content)
    order.append(name)


def _pack(root: Path, image: Path) -> None:
    names = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*")))
    with image.open("wb") as out:
        subprocess.run(
            ["cpio", "--quiet", "--create", "--format=newc", "--owner=0:0"],
            input=names.encode(),
            stdout=out,
            cwd=root,
            check=True,
            timeout=60,
        )
