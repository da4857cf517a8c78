#!/bin/bash
# The C side for Windows: cross-compiled, run under Wine; `make test-windows` has set up.
#
# What Wine can show and what only a Windows machine can stands in docs/windows.md.
set -euo pipefail
cd "$(dirname "$0")/.."

log=build/test_windows.log
mkdir -p build
make --no-print-directory -s -C native -f windows.mk -j"$(nproc)" test </dev/null 2>&1 |
	tee "$log" || {
	echo "windows: FAILED after $SECONDS s" >&2
	exit 1
}
awk '/^[0-9]+ passed, [0-9]+ failed$/ { passed += $1; failed += $3 }
     /^SKIP/ { skipped++ }
     END {
	if (failed || skipped || !passed) {
		printf "windows: FAILED, %d passed, %d failed, %d skipped\n", passed, failed, skipped
		exit 1
	}
	printf "windows: OK %d passed\n", passed
     }' "$log"
