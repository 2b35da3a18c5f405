#!/bin/sh
# Builds HashiCorp Vault from its module, once, and prints where the program is. It takes about ten minutes and 400 MB, and
# is for `make test-vault` only; 1.21.0 builds as a module, later patches do not.
set -eu
version=1.21.0
cache=${XDG_CACHE_HOME:-$HOME/.cache}/pierhead
vault=$cache/vault-$version
if [ ! -x "$vault" ]; then
	mkdir -p "$cache"
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	cd "$work"
	{
		go mod init vault.invalid/build
		go get "github.com/hashicorp/vault@v$version"
		CGO_ENABLED=0 go build -mod=mod -trimpath -ldflags '-s -w' -o "$vault.part" github.com/hashicorp/vault
	} >&2
	mv "$vault.part" "$vault"
fi
echo "$vault"
