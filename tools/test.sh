#!/bin/bash
# All tests, in the order in which a failure tells most.  `make test` has set up before.
#
# As root nothing may be skipped: what root can do on a Linux machine is then required.
# Otherwise the tests that need root are skipped, and say so.
set -euo pipefail
cd "$(dirname "$0")/.."

if test "$(id -u)" = 0; then
	export NO_SKIPS=1 QUICXDP_NO_SKIPS=1
fi
jobs=$(nproc)
step() { printf '\n--- %s (after %d s)\n' "$*" "$SECONDS"; }

step "C, plain"
make --no-print-directory -s -C native -j"$jobs" all
make --no-print-directory -s -C native test

step "C, under AddressSanitizer and UndefinedBehaviorSanitizer"
make --no-print-directory -s -C native -j"$jobs" all SAN=1
make --no-print-directory -s -C native test SAN=1

if command -v clang >/dev/null 2>&1; then
	step "fuzz targets, over their corpus"
	make --no-print-directory -s -C native -j"$jobs" fuzz-corpus
fi

step "Python"
.venv/bin/pytest --durations=5 "$@"

step "Python over the sanitized C extension"
tools/test_sanitized.sh

step "done"
