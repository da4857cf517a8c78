"""Build the C extension, or go on without it: everything else is in pyproject.toml.

quicxdp works without its extension (asyncio's own transport, lane "asyncio"), so a
machine without a compiler still gets a working package.  QUICXDP_REQUIRE_NATIVE=1 makes
a failed build an error instead, for those who would rather know.
"""

from __future__ import annotations

import os
import sys

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext


class OptionalBuildExt(build_ext):
    """`build_ext`, whose failure costs speed but not the installation."""

    def finalize_options(self) -> None:
        """Choose gcc on Windows, where MSVC is the default and cannot compile gnu11."""
        if sys.platform == "win32" and self.compiler is None:
            self.compiler = "mingw32"
        super().finalize_options()

    def run(self) -> None:
        """Compile, or say in one line what is missing and how to get it."""
        try:
            super().run()
        # Each generation of setuptools has another tree of exceptions for this.
        except Exception as error:
            if os.environ.get("QUICXDP_REQUIRE_NATIVE") == "1":
                raise
            print(
                f"quicxdp: installed in pure-Python mode, without AF_XDP or batched "
                f"sockets: the C extension did not build ({error}). For the fast lanes "
                f"install a C compiler and the Python headers (Debian: apt-get install "
                f"gcc python3-dev libssl-dev; Windows: docs/windows.md) and install "
                f"quicxdp again.",
                file=sys.stderr,
            )
            # Of both, since the wheel asks the distribution whether it is pure.
            self.extensions = self.distribution.ext_modules = []


class WheelAsBuilt(bdist_wheel):
    """`bdist_wheel`, whose tag tells what was built, not what was to be built."""

    def run(self) -> None:
        """Build first; a wheel without the extension then runs anywhere."""
        if not self.skip_build:
            self.run_command("build")
        self.root_is_pure = not self.distribution.has_ext_modules()
        super().run()


if sys.platform in ("linux", "win32"):
    setup(
        cffi_modules=["quicxdp/_native_build.py:ffibuilder"],
        cmdclass={"build_ext": OptionalBuildExt, "bdist_wheel": WheelAsBuilt},
    )
else:
    setup()
