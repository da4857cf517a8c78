# quicxdp: the few commands that everything is done with.  `make` alone lists them.
#
# Every command first sets up what it needs and is missing (tools/setup.sh), so a fresh
# Debian 12 or 13 machine needs no preparation beyond make itself.

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
PYTHON      ?= python3
PY          := .venv/bin/python
SETUP       := PYTHON=$(PYTHON) tools/setup.sh
IO          ?= xdp
PORT        ?= 4433
SECONDS     ?= 20
LAB         ?=
PEERS       ?= pypi
JOBS        := $(shell nproc 2>/dev/null || echo 2)
C_FILES      = $(shell find native bench lab -name '*.[ch]' -not -path '*/build*')

# Whatever says after two hashes what it is for is a command, and no file.
.PHONY: $(shell sed -n 's/^\([a-z0-9-]*\):.*\#\# .*/\1/p' Makefile)

help: ## list the commands
	@sed -n 's/^\([a-z0-9-]*\):.*## /  make \1\t/p' Makefile | expand -t 24

setup: ## install what is missing, make .venv, build the C extension
	@$(SETUP)

run: ## serve a sample folder over HTTP/3 on localhost (PORT=4433)
	@$(SETUP)
	@exec tools/run.sh $(PORT)

test: ## all tests: C, Python, network namespaces, interop, sanitizers
	@$(SETUP) net clients browser tshark
	@tools/test.sh

test-windows: ## the C side built for Windows, its tests run under Wine
	@$(SETUP) windows
	@tools/test_windows.sh

test-long: ## tests that start whole programs: quicxdp bench, applications of four frameworks
	@$(SETUP) net clients
	@$(PY) -m pytest -m long --durations=3 tests/asgi tests/cli

interop-large: ## 100 MB each way with clients and servers of others, on both lanes (root)
	@$(SETUP) net clients servers browser
	@$(PY) -m pytest -m large --durations=3 tests/interop

check: ## formatters, linters, types, layers; changes nothing
	@$(SETUP)
	.venv/bin/ruff format --check
	.venv/bin/ruff check
	.venv/bin/mypy
	.venv/bin/clang-format --dry-run -Werror $(C_FILES)
	tools/tidy.sh
	.venv/bin/pytest -q tests/test_layers.py

format: ## let ruff and clang-format rewrite what they own
	@$(SETUP)
	.venv/bin/ruff format
	.venv/bin/clang-format -i $(C_FILES)

demo: ## two network namespaces, AF_XDP between real clients and our server (root)
	@$(SETUP) net clients
	@$(PY) tools/demo.py --io $(IO)

demo-flood: ## 20,000 Initials per second from forged addresses beside one connection (root)
	@$(SETUP) net
	@$(PY) bench/flood.py

soak: ## streams over AF_XDP while links, routes, neighbours change; SECONDS=20 (root)
	@$(SETUP) net
	@$(PY) tools/soak.py --seconds $(SECONDS)

lab-quick: ## zero-copy on virtio_net in a QEMU guest: contract, HTTP/3; two minutes
	@$(SETUP) net clients lab
	@PYTHONPATH=tools $(PY) -m lab --quick

lab: ## every scenario of lab/ on real drivers in QEMU guests (LAB="name name:machine")
	@$(SETUP) net clients lab
	@PYTHONPATH=tools $(PY) -m lab $(LAB)

lab-count: ## instructions per packet of each way to send and receive, on both drivers
	@$(SETUP) net lab
	@PYTHONPATH=tools $(PY) -m lab.count

bench-datapath: ## packets per second and CPU of the lanes, against bare rings (root)
	@$(SETUP) net
	@$(PY) bench/bench_datapath.py

bench-transport: ## echo and aioquic on every transport, per CPU second (root)
	@$(SETUP) net clients
	@$(PY) bench/bench_transport.py

bench-engine: ## nanoseconds per packet of the engine in C, beyond its encryption
	@$(SETUP)
	@$(PY) bench/bench_engine.py

bench-fastpath: ## a server on the engine in C and on aioquic's, per GB and request (root)
	@$(SETUP) net
	@$(PY) bench/bench_fastpath.py

bench-packet: ## a packet of a server over AF_XDP, beyond bare ring and encryption (root)
	@$(SETUP) net
	@$(PY) bench/xdp_packet.py

bench-busy: ## a small request beside a busy Python thread (root)
	@$(SETUP) net
	@$(PY) bench/busy_thread.py

bench-spin: ## round trips of a server that looks before it sleeps (root)
	@$(SETUP) net
	@$(PY) bench/bench_spin.py

bench-routes: ## memory and nanoseconds per lookup of the mirrored routing table
	@$(SETUP)
	@$(PY) bench/bench_routes.py

bench-h3: ## microseconds of Python per HTTP/3 request, against aioquic's
	@$(SETUP)
	@$(PY) bench/bench_h3.py

bench-requests: ## a request of an ASGI server over HTTP/3, ours and Hypercorn
	@$(SETUP)
	@$(PY) bench/bench_requests.py

compare: ## our server and others side by side, into docs/performance (root; PEERS=sid for more)
	@$(SETUP) net clients compare $(if $(filter sid,$(PEERS)),debootstrap)
	@$(PY) bench/compare.py --peers "$(PEERS)" --readme README.md

bench-check: ## instructions of engine, request and handshake, against the last record
	@$(SETUP) callgrind
	@$(PY) bench/instructions.py

bench-record: ## the same, added to bench/history.jsonl
	@$(SETUP) callgrind
	@$(PY) bench/instructions.py --record

fuzz: ## run each fuzz target for SECONDS=20
	@$(SETUP) clang
	@$(MAKE) --no-print-directory -C native fuzz SECONDS=$(SECONDS)

clean: ## remove what builds and runs have made (not .venv)
	@$(MAKE) --no-print-directory -C native clean
	rm -rf build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	rm -f quicxdp/_native_ext*.so
	find quicxdp tests tools bench lab -name __pycache__ -prune -exec rm -rf {} +
