#!/bin/sh
# clang-tidy over the C library, one process per core.
set -eu
cd "$(dirname "$0")/.."

tidy=.venv/bin/clang-tidy
flags="-std=gnu11 -Inative/include -Inative/src -Inative/src/datapath -Inative/src/quic"
find native/src -name '*.c' -not -name '*.bpf.c' -not -name '*_win*.c' -print0 |
	xargs -0 -n 3 -P "$(nproc)" sh -c "$tidy --quiet \"\$@\" -- $flags" tidy
