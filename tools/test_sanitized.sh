#!/bin/bash
# The tests that drive the C extension, with that extension under ASan and UBSan.
#
# The sanitized build goes to build/san, never beside the sources, and PYTHONPATH puts it
# first.  CPython itself frees little at exit, so the leak check stays with the C tests.
set -euo pipefail
cd "$(dirname "$0")/.."

out=build/san
mkdir -p "$out"
QUICXDP_SANITIZE=1 QUICXDP_REQUIRE_NATIVE=1 .venv/bin/python setup.py --quiet build \
	--build-base build/san-work --build-lib "$out" >"$out/build.log" 2>&1 ||
	{ cat "$out/build.log" >&2; exit 1; }
# The build script is under test too, and looks for the C sources beside the package.
ln -sfn "$PWD/native" "$out/native"

export PYTHONPATH=$PWD/$out
export ASAN_OPTIONS=detect_leaks=0:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1
export QUICXDP_EXPECT_PACKAGE=$PWD/$out/quicxdp
libraries="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)"
# Not `python -m pytest`, which would put the sources before PYTHONPATH.
LD_PRELOAD=$libraries .venv/bin/python .venv/bin/pytest -p no:cacheprovider \
	tests/unit tests/contract tests/netns/test_second_lane.py "$@"
