#!/bin/bash
# All tests.  `make test` has set up before.
#
# Three rows of steps run beside each other, since much of their time is waiting: for the
# kernel to let go of XDP sockets, for the timers of aioquic's own tests.  What a step says
# is printed in one piece when it ends, with its seconds.  A failure ends its row; the other
# rows go on, so that one run tells everything that is wrong.
#
# As root nothing may be skipped: what root can do on a Linux machine is then required.
# Otherwise the tests that need root are skipped, and say so.
set -uo pipefail
cd "$(dirname "$0")/.."
exec </dev/null

if test "$(id -u)" = 0; then
	export NO_SKIPS=1 QUICXDP_NO_SKIPS=1
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
touch "$work/failed"

step() { # step NAME COMMAND...: run it, print what it said
	local name=$1 began=$SECONDS log result=passed
	shift
	test ! -e "$work/interrupted" || return
	log=$(mktemp -p "$work")
	"$@" >"$log" 2>&1 || result="FAILED (status $?)"
	{
		flock 9
		printf '\n--- %s\n' "$name"
		cat "$log"
		printf -- '--- %s: %s, %d s\n' "$name" "$result" $((SECONDS - began))
	} 9>"$work/printing"
	test "$result" = passed || { echo "$name" >>"$work/failed"; return 1; }
}

native() { make --no-print-directory -s -C native -j"$(nproc)" "$@"; }
# Not the cache of failed tests, which is for one pytest at a time.
python() { .venv/bin/pytest -p no:cacheprovider --durations=5 "$@"; }

c_row() {
	step "C: build" native all &&
		step "C: tests" native test &&
		step "C with ASan and UBSan: build" native all SAN=1 &&
		step "C with ASan and UBSan: tests" native test SAN=1 || return
	if command -v clang >/dev/null 2>&1; then
		step "fuzz targets, over their corpus" native fuzz-corpus
	else
		echo "--- fuzz targets, over their corpus: LEFT OUT, clang is missing (make fuzz installs it)"
	fi
}
python_row() {
	step "Python" python --ignore-glob='tests/aioquic_suite*'
}
suites_row() {
	step "aioquic's own tests" python tests/aioquic_suite tests/aioquic_suite_engine
	step "Python over the C extension with ASan and UBSan" tools/test_sanitized.sh
}

# Each row is a process group of its own, so that Ctrl-C reaches what runs in it; pytest
# then takes its namespaces down.
set -m
rows=()
for row in c_row python_row suites_row; do
	"$row" &
	rows+=(-$!)
done
set +m
trap 'touch "$work/interrupted"; kill -INT -- "${rows[@]}" 2>/dev/null; wait; exit 130' INT TERM
wait

if test -s "$work/failed"; then
	printf '\n--- after %d s, FAILED:\n' "$SECONDS"
	sed 's/^/---   /' "$work/failed"
	exit 1
fi
printf '\n--- all passed, after %d s\n' "$SECONDS"
