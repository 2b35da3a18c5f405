#!/bin/sh
# Installs what `make demo` needs beside Go: an engine where there is none, and a registry that is not ours.
set -eu
here=$(dirname "$0")
"$here/engine.sh"
. "$here/lib.sh"
want docker-registry
