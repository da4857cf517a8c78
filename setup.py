"""Build the C extension, or go on without it: everything else is in pyproject.toml.

quicxdp works without its extension (asyncio's own transport, lane "asyncio"), so a
machine without a compiler still gets a working package.  QUICXDP_REQUIRE_NATIVE=1 makes
a failed build an error instead, for those who would rather know.
"""

from __future__ import annotations

import os
import sys

from setuptools import setup
from setuptools.command.build_ext import build_ext


class OptionalBuildExt(build_ext):
    """`build_ext`, whose failure costs speed but not the installation."""

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
                f"gcc python3-dev libssl-dev) and install quicxdp again.",
                file=sys.stderr,
            )
            self.extensions = []


if sys.platform == "linux":
    setup(
        cffi_modules=["quicxdp/_native_build.py:ffibuilder"],
        cmdclass={"build_ext": OptionalBuildExt},
    )
else:
    setup()
