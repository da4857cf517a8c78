# The Windows build of the C side, cross-compiled on Linux and run under Wine:
#
#   make -C native -f windows.mk test      all programs; needs mingw-w64 and Wine
#   make -C native -f windows.mk lib       the library alone
#
# Platforms differ by file: what names linux or afxdp is left out here, what names win is
# left out of the Makefile beside this file.  src/win holds WinSock under the names of POSIX
# headers, and is on no other build's include path.
#
# tests/win_*.c is one program each; tests/contract_win_*.c is a back end for contract.c.
# PORTABLE are programs of the Linux build that know no system and run here unchanged.

CC       := x86_64-w64-mingw32-gcc
AR       := x86_64-w64-mingw32-ar
B        := build-win
WARN     := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes \
            -Wvla -Werror
# Windows 10 and newer.
CFLAGS   := -std=gnu11 -O1 $(WARN) -D_WIN32_WINNT=0x0A00 -DWIN32_LEAN_AND_MEAN \
            -D__USE_MINGW_ANSI_STDIO=1 -Iinclude -Isrc -Isrc/win -Isrc/datapath -Isrc/quic \
            -Itests -isystem $(B)/openssl
# Static, so that one .exe is all that has to be carried to a Windows machine.
LIBS     := -static -lws2_32 -liphlpapi -lbcrypt -lntdll -lpthread
# A program that hangs is ended and fails.
LIMIT_S  ?= 60
JOBS     := $(shell nproc)

LINUX    := $(wildcard src/datapath/*_linux*.c src/datapath/*_netlink*.c \
            src/datapath/*.bpf.c) $(wildcard $(addprefix src/datapath/,afxdp*.c ifinfo*.c \
            privilege*.c xdp_prog*.c))
# The engine is compiled whole; its programs that need libcrypto are not linked, since
# Debian has none for mingw-w64.  OpenSSL's headers are those of this machine.
SRC      := $(filter-out $(LINUX),$(wildcard src/*.c src/datapath/*.c src/quic/*.c))
OBJ      := $(SRC:src/%.c=$(B)/%.o)
HEADERS  := $(wildcard include/*.h src/*.h src/datapath/*.h src/quic/*.h src/win/*.h src/win/*/*.h tests/*.h)
CONTRACTS := $(patsubst tests/%.c,$(B)/%.exe,$(wildcard tests/contract_win_*.c))
PORTABLE := contract_memory $(addprefix test_,ack bufs cc census device_ports device_rx \
            device_tx flow frame memory neigh pacer pool ranges recovery recv_stream rtt \
            send_stream spans stream_transfer streams streams_ends streams_pair streams_send \
            tables umem wire)
TESTS    := $(patsubst tests/%.c,$(B)/%.exe,$(wildcard tests/win_*.c)) \
            $(PORTABLE:%=$(B)/%.exe) $(CONTRACTS)

all:
include windows_xdp.mk

.PHONY: all lib test sources clean
all: $(TESTS)
lib: $(B)/libquicxdp.a

$(B)/libquicxdp.a: $(OBJ)
	@rm -f $@
	$(AR) rcs $@ $^

$(B)/%.o: src/%.c $(HEADERS) | $(B)/openssl
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -c -o $@ $<

$(B)/contract_%.exe: tests/contract_%.c tests/contract.c $(B)/libquicxdp.a $(HEADERS)
	$(CC) $(CFLAGS) -o $@ $< tests/contract.c tests/platform_win.c $(B)/libquicxdp.a $(LIBS)

# These ask platform.h, which also counts the timer's calls.
PLATFORM := $(addprefix $(B)/,$(addsuffix .exe,win_udp_open win_udp_rx win_udp_tx win_wait \
            win_winxdp_absent))

$(B)/%.exe: tests/%.c tests/platform_win.c $(B)/libquicxdp.a $(HEADERS)
	$(CC) $(CFLAGS) -o $@ $< $(if $(filter $@,$(PLATFORM)),tests/platform_win.c) \
	  $(B)/libquicxdp.a $(LIBS)

$(B)/openssl:
	@mkdir -p $@/openssl
	@ln -sf /usr/include/openssl/*.h /usr/include/*-linux-gnu/openssl/*.h $@/openssl/

# Wine of our own, below the build folder, without windows and without asking for anything.
# Its links to / and to the user's folders are taken out, or whoever walks this tree would
# walk the machine (setuptools does); programs run from its drive C instead.
WINE     := $(abspath $(B)/wine)
export WINEPREFIX := $(WINE)
export WINEARCH   := win64
export WINEDEBUG  := -all
export WINEDLLOVERRIDES := mscoree=;mshtml=;winemenubuilder.exe=
unexport DISPLAY

$(WINE)/drive_c/qx:
	@mkdir -p $(B)
	@timeout 120 wine wineboot --init >$(B)/wineboot.log 2>&1 || \
	  { cat $(B)/wineboot.log; exit 1; }
	@timeout 60 wineserver --wait
	@find $(WINE) -type l -not -name c: -delete
	@mkdir $@

# Nothing may be skipped: an exit status of 77 is a failure like any other.
test: $(TESTS) | $(WINE)/drive_c/qx
	@cp -u $(TESTS) $(WINE)/drive_c/qx/
	@cd $(WINE)/drive_c/qx && printf '%s\n' $(notdir $(TESTS)) | xargs -P $(JOBS) -I{} sh -c \
	  'timeout $(LIMIT_S) wine {} >{}.log 2>&1 </dev/null; echo $$? >{}.rc'
	@cd $(WINE)/drive_c/qx && status=0; for t in $(notdir $(TESTS)); do echo "== $$t"; \
	  tr -d '\r' <$$t.log; rc=$$(cat $$t.rc); \
	  [ "$$rc" = 0 ] || { echo "exit status $$rc"; status=1; }; \
	done; exit $$status

# What is compiled, for a test that the Python build takes the same.
sources:
	@printf '%s\n' $(sort $(SRC))

clean:
	rm -rf $(B)
