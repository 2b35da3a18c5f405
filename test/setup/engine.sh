#!/bin/sh
# Makes sure that containers can run on this machine: installs Podman where there is neither Docker nor Podman, and runc
# beside it where Podman's usual runtime cannot work.
set -eu
. "$(dirname "$0")/lib.sh"

if [ -S /var/run/docker.sock ] || [ -S "${XDG_RUNTIME_DIR:-/nowhere}/docker.sock" ] || [ -n "${DOCKER_HOST:-}${CONTAINER_HOST:-}" ]; then
	exit 0
fi
if ! command -v podman >/dev/null; then
	say "there is neither Docker nor Podman on this machine"
	# What podman only recommends and a container on a bridge needs.
	want podman crun conmon netavark aardvark-dns iptables
fi
if crun_refuses && ! command -v runc >/dev/null; then
	say "crun does not work with this machine's control groups"
	want runc
fi
