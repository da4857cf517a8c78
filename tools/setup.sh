#!/bin/sh
# Make this checkout ready: Debian packages, the virtual environment, the C extension.
#
#   tools/setup.sh [net] [clients] [servers] [browser] [tshark] [callgrind] [compare]
#                  [debootstrap] [clang] [windows] [lab]
#
# Without arguments: what it takes to build and run.  Each word adds the Debian packages
# of one kind of work (net: namespaces; clients: gtlsclient, curl and openssl; servers:
# gtlsserver; browser: Chromium; tshark: reading captures; callgrind: counting
# instructions; compare: samples of where time goes; debootstrap: a root of Debian sid;
# clang: fuzzing; windows: the cross compiler and Wine; lab: QEMU).
# Everything here may be run again and again: what is there is left alone, and a run that
# finds nothing to do takes about a tenth of a second.
set -eu

cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
VENV=.venv
# Where the tools of root are, which a user may look for as well.
PATH=$PATH:/usr/sbin:/sbin

say() { printf 'setup: %s\n' "$*"; }
die() { say "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# --- Debian packages: asked by what they are for, so that any origin will do ----------
need() { # need PACKAGE COMMAND... : the command succeeds where the package is installed
	package=$1
	shift
	"$@" >/dev/null 2>&1 || missing="$missing $package"
}
python_header() {
	test -e "$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h"
}

has_fuzzer_runtime() {
	ls "$(clang -print-resource-dir)"/lib/*/libclang_rt.fuzzer*.a
}
collect() { # collect KIND... : what of their packages is missing
	missing=
	need python3 have "$PYTHON"
	need gcc have gcc
	need libc6-dev test -e /usr/include/stdlib.h
	need make have make
	need pkg-config have pkg-config
	need libssl-dev pkg-config --exists libcrypto
	if test ! -x "$VENV/bin/python"; then
		need python3-venv "$PYTHON" -c 'import ensurepip, venv'
	fi
	need python3-dev python_header
	for kind in "$@"; do
		case $kind in
		net)
			need iproute2 have ip
			need ethtool have ethtool
			;;
		clients)
			need ngtcp2-client have gtlsclient
			need curl have curl
			need openssl have openssl
			;;
		callgrind) need valgrind have valgrind ;;
		compare) need linux-perf have perf ;;
		debootstrap) need debootstrap have debootstrap ;;
		servers) need ngtcp2-server have gtlsserver ;;
		browser) need chromium have chromium ;;
		tshark) need tshark have tshark ;;
		clang)
			need clang have clang
			# clang only recommends it; its name has clang's major version.
			if have clang; then
				need "libclang-rt-$(clang -dumpversion | cut -d. -f1)-dev" \
					has_fuzzer_runtime
			fi
			;;
		windows)
			need gcc-mingw-w64-x86-64 have x86_64-w64-mingw32-gcc
			need wine have wine
			;;
		lab)
			need qemu-system-x86 have qemu-system-x86_64
			need busybox-static have busybox
			need cpio have cpio
			;;
		*) die "unknown kind of work: $kind (net, clients, servers, browser, tshark, callgrind, compare, debootstrap, clang, windows, lab)" ;;
		esac
	done
}
install_missing() {
	have apt-get || die "these Debian packages, or what they stand for here, are missing:$missing"
	test "$(id -u)" = 0 || die "missing packages; please run: sudo apt-get install$missing"
	say "installing$missing"
	export DEBIAN_FRONTEND=noninteractive
	apt-get -qq update
	# shellcheck disable=SC2086  # one word per package
	apt-get -qq install --no-install-recommends $missing </dev/null >/dev/null
}

collect "$@"
if test -n "$missing"; then
	install_missing
	collect "$@" # which tells clang's version now
	test -z "$missing" || install_missing
fi

# --- The virtual environment ----------------------------------------------------------
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
	die "$PYTHON is older than 3.11; name a newer one: make setup PYTHON=/path/to/python3"
if test ! -x "$VENV/bin/python"; then
	say "making $VENV"
	"$PYTHON" -m venv "$VENV"
fi
export PIP_DISABLE_PIP_VERSION_CHECK=1 QUICXDP_REQUIRE_NATIVE=1

sum_of() { # a checksum over the names and contents of files
	find "$@" -type f \( -name '*.[ch]' -o -name '*.py' -o -name '*.toml' \) |
		LC_ALL=C sort | xargs cksum | cksum
}
fresh() { # fresh STAMP FILE... : were these the files of the last time?
	stamp=$1
	shift
	test -e "$stamp" && test "$(cat "$stamp")" = "$(sum_of "$@")"
}

DEPS="pyproject.toml setup.py"
SOURCES="native/include native/src quicxdp/_native_build.py setup.py"
# shellcheck disable=SC2086  # lists of names without blanks
if ! fresh "$VENV/.deps" $DEPS; then
	say "installing Python packages into $VENV"
	"$VENV/bin/pip" install -qq --editable '.[dev]'
	sum_of $DEPS >"$VENV/.deps"
	# The editable install has just built the extension as well.
	sum_of $SOURCES >"$VENV/.native"
fi

# --- The C extension ------------------------------------------------------------------
# shellcheck disable=SC2086
if ! fresh "$VENV/.native" $SOURCES || ! ls quicxdp/_native_ext*.so >/dev/null 2>&1; then
	say "building quicxdp/_native_ext"
	mkdir -p build
	"$VENV/bin/python" setup.py --quiet build_ext --inplace >build/native.log 2>&1 || {
		cat build/native.log >&2
		die "the C extension does not build; the compiler's words are above"
	}
	sum_of $SOURCES >"$VENV/.native"
fi
"$VENV/bin/python" -c 'import quicxdp._native_ext' ||
	die "the C extension was built but cannot be loaded; try: make clean setup"
