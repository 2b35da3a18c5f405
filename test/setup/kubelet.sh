#!/bin/bash
# Builds a kubelet, and an API server to give it service-account tokens, from Kubernetes' own module, once, and prints the
# directory where they are. It takes about 20 minutes, and is for `make test-kubelet` only. KUBE_BIN_DIR names a directory
# that has them already. Installs what is needed beside them.
#
# k8s.io/kubernetes cannot be installed by name, because it replaces its staging modules by folders beside it. A throw-away
# module that replaces them by the published ones of the same version, and repeats the module's own pins, builds.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
want containerd runc docker-registry etcd-server iproute2 util-linux >&2

version=1.34.4
bin=${KUBE_BIN_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/pierhead/kubernetes-$version}

# module writes a go.mod that builds Kubernetes' commands.
module() {
	local mod staged=v0.${version#1.}
	mod=$(go mod download -json "k8s.io/kubernetes@v$version" | sed -n 's/^\t"GoMod": "\(.*\)",$/\1/p')
	echo 'module kubelet.invalid/build'
	grep -E '^(go|godebug) ' "$mod"
	echo "require k8s.io/kubernetes v$version"
	awk '/^require \(/ { inside = 1 } inside; /^\)/ { inside = 0 }' "$mod" | sed -E "s#(k8s\.io/[a-z-]+) v0\.0\.0( |\$)#\1 $staged\2#"
	echo 'replace ('
	# sample-cli-plugin and sample-controller are not published, and nothing needs them
	awk -v staged="$staged" '/^replace \(/ { inside = 1; next } /^\)/ { inside = 0 } inside && /staging/ && !/sample-c/ { print "\t" $1 " => " $1 " " staged }' "$mod"
	echo ')'
}

build() {
	export GOWORK=off GOFLAGS='-mod=mod -buildvcs=false' CGO_ENABLED=0
	local flags='-s -w' package
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	cd "$work"
	module >made # go would read a go.mod that is not done
	mv made go.mod
	for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
		flags="$flags -X $package.gitVersion=v$version -X $package.gitMajor=1 -X $package.gitMinor=$(echo "$version" | cut -d. -f2)"
	done
	mkdir -p "$bin"
	for program in kubelet kube-apiserver; do
		[ ! -x "$bin/$program" ] || continue
		say "building $program $version"
		go build -trimpath -ldflags "$flags" -o "$bin/$program.part" "k8s.io/kubernetes/cmd/$program"
		mv "$bin/$program.part" "$bin/$program"
	done
}

if [ ! -x "$bin/kubelet" ] || [ ! -x "$bin/kube-apiserver" ]; then
	(build) >&2
fi
echo "$bin"
