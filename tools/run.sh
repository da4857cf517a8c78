#!/bin/sh
# `make run`: a development certificate and the sample folder, served on localhost.
#
#   tools/run.sh PORT
set -eu
cd "$(dirname "$0")/.."

# A certificate lives for ten days; a new one is made before clients begin to refuse it.
if test -z "$(find certs/dev/cert.pem -mtime -8 2>/dev/null)"; then
	.venv/bin/quicxdp cert --dir certs/dev --force >/dev/null
fi
echo "For the commands below, in another terminal: cd $PWD && . .venv/bin/activate"
exec .venv/bin/quicxdp serve examples/www --port "$1" --access-log
