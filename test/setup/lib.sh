# Sourced by the scripts beside it. want PACKAGE… installs what is missing with apt-get, says so, and is quiet and
# asks nobody where nothing is missing.

say() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; }

# crun ends with "cgroups in hybrid mode not supported" where version 2 of control groups has controllers beside version 1.
crun_refuses() {
	[ ! -e /sys/fs/cgroup/cgroup.controllers ] && [ -n "$(cat /sys/fs/cgroup/unified/cgroup.controllers 2>/dev/null)" ]
}

installed() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

want() {
	missing=
	for package in "$@"; do
		installed "$package" || missing="$missing $package"
	done
	[ -n "$missing" ] || return 0
	if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
		say "these are needed and there is no apt-get to install them with:$missing"
		return 1
	fi
	if [ "$(id -u)" != 0 ]; then
		say "these are needed and only root can install them: sudo apt-get install --no-install-recommends$missing"
		return 1
	fi
	say "installing$missing (apt-get)"
	export DEBIAN_FRONTEND=noninteractive
	log=$(mktemp)
	# The lists may be of yesterday: they are read anew only where they do not suffice.
	# shellcheck disable=SC2086 # a list of words
	if quietly apt-get install -y --no-install-recommends $missing ||
		{ quietly apt-get update && quietly apt-get install -y --no-install-recommends $missing; }; then
		rm -f "$log"
		return 0
	fi
	tail -n 20 "$log" >&2
	rm -f "$log"
	say "apt-get could not install$missing; its last words are above"
	return 1
}

quietly() { "$@" >>"$log" 2>&1 </dev/null; }
