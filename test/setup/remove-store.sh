#!/bin/sh
# remove-store.sh DIR: deletes the folder of a Podman service of ours that has a store of its own, with all of its
# containers and images, and leaves no mount behind. The service must have been stopped.
set -eu
dir=${1:?which folder}
[ -d "$dir" ] || exit 0
dir=$(cd "$dir" && pwd -P)
run=$(readlink "$dir/run" || true)

if [ -d "$dir/storage" ] && [ -d "${run:-/nowhere}/tmp" ] && command -v podman >/dev/null; then
	podman --root "$dir/storage" --runroot "$run/run" --tmpdir "$run/tmp" --events-backend file rm --all --force --time 0 >/dev/null 2>&1 ||
		echo "remove-store.sh: containers in $dir could not all be removed" >&2
fi
# What is mounted on top comes last in the list, and goes first.
for place in "$dir" ${run:+"$run"}; do
	awk -v below="$place/" 'index($5, below) == 1 { print $5 }' /proc/self/mountinfo | tac | while read -r mount; do
		umount "$mount" || umount -l "$mount"
	done
done
# Control groups that Podman leaves behind without systemd; those in use stay.
for group in /sys/fs/cgroup/*/libpod_parent; do
	if [ -d "$group" ]; then rmdir "$group/conmon" "$group" 2>/dev/null || true; fi
done
case $run in */engine-????????) rm -rf "$run" ;; esac
rm -rf "$dir"
