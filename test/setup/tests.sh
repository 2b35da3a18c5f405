#!/bin/sh
# Installs all that `make test` needs beside Go: real engines, real clients, a registry and proxies that are not ours.
set -eu
. "$(dirname "$0")/lib.sh"

want ca-certificates git gcc libc6-dev \
	podman docker.io containerd runc crun conmon netavark aardvark-dns iptables \
	skopeo buildah docker-registry apache2-utils busybox-static util-linux iproute2 \
	tinyproxy-bin squid
