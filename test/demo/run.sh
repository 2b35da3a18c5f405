#!/usr/bin/env bash
# The main job, shown: a private image in a registry that Pierhead did not write, a step that runs on it, and no
# credential in sight. Everything happens in a directory of its own and on loopback ports of its own; nothing stays.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
began=$(date +%s%N)
seconds_since() { awk -v a="$1" -v b="$(date +%s%N)" 'BEGIN { printf "%.1f s", (b-a)/1e9 }'; }

echo "== Set-up"
test/setup/demo.sh
echo "   what the machine needs is there ($(seconds_since "$began"))"
built=$(date +%s%N)
make -s build
mkdir -p bin/demo
CGO_ENABLED=0 go build -trimpath -o bin/demo/ ./test/demo/prepare ./test/leaks/leaks
CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o bin/demo/train ./test/demo/train
echo "   pier is built ($(seconds_since "$built"))"
started=$(date +%s%N)

work=$(mktemp -d /tmp/pierhead-demo.XXXXXX)
registry_pid= pier_pid= image= own_store=
finish() {
  status=$?
  trap - EXIT
  set +e
  for pid in $pier_pid $registry_pid; do
    kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
  done
  if [ -n "$own_store" ]; then
    "$root/test/setup/remove-store.sh" "$work/data/agent/engine"
  elif [ -n "$image" ]; then
    docker image rm "$image" >/dev/null 2>&1
  fi
  if [ "$status" -ne 0 ]; then
    echo "== The demo failed; what pier up said:"
    tail -n 20 "$work/pier.log" 2>/dev/null || true
  fi
  rm -rf "$work"
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

# Three loopback ports that nobody uses now.
read -r registry_port server_port mirror_port < <(bin/demo/prepare ports 3)
export PATH="$root/bin:$PATH" XDG_CONFIG_HOME="$work/config" PIER_DATA="$work/data"
export PIER_SECRETS_DIR="$work/secrets" PIER_LISTEN="127.0.0.1:$server_port" PIER_MIRROR="127.0.0.1:$mirror_port" PIER_SOCKET="$work/run/agent.sock"
# The step needs no network, and a bridge would leave the engine's chains in this machine's firewall.
export PIER_NETWORK=none
# With Podman the images go to a store of the demo's own, which is removed at the end; with Docker the one image is.
if command -v podman >/dev/null; then
  own_store=1
  export PIER_ENGINE=podman PIER_OWN_STORE=1
fi
show() { printf '\n$ %s\n' "$*"; }

echo
echo "== A registry that is not ours, with a password on it, and a private image in it"
mkdir -p "$work/registry"
bin/demo/prepare password "$work/registry"
cat > "$work/registry/config.yml" <<CONFIG
version: 0.1
storage: {filesystem: {rootdirectory: $work/registry/data}}
http: {addr: "127.0.0.1:$registry_port"}
auth: {htpasswd: {realm: demo, path: $work/registry/htpasswd}}
CONFIG
OTEL_TRACES_EXPORTER=none docker-registry serve "$work/registry/config.yml" > "$work/registry/log" 2>&1 &
registry_pid=$!
image="127.0.0.1:$registry_port/team/train:v1"
bin/demo/prepare image "$work/registry" "$image" bin/demo/train
echo "   $(docker-registry --version 2>&1 | head -1)"
echo "   $image is there; without the password nobody reads it"

echo
echo "== Pierhead: once, by the organization's admin"
show "pier up &"
pier up > "$work/pier.log" 2>&1 &
pier_pid=$!
bin/demo/prepare ready "http://127.0.0.1:$server_port/readyz" "$pier_pid"
show "pier org create acme"
pier org create acme
show "pier project create acme/vision"
pier project create acme/vision
mkdir -m 700 "$PIER_SECRETS_DIR"
bin/demo/prepare secret "$work/registry" "127.0.0.1:$registry_port" "$PIER_SECRETS_DIR/team"
echo
echo "   The operator laid out the secret in \$PIER_SECRETS_DIR/team: user name, password, and the server it is for."
show "pier registry add team --org acme --match '127.0.0.1:$registry_port/team/*' --secret file:team --plain-http --sample team/train:v1"
pier registry add team --org acme --match "127.0.0.1:$registry_port/team/*" --secret file:team --plain-http --sample team/train:v1

echo
echo "== From then on, by everybody: the image's own name, and nothing else"
mkdir -p "$work/project"
cd "$work/project"
cat > valohai.yaml <<STEP
- step:
    name: train-model
    image: $image
    command: train {parameters}
    parameters:
      - name: epochs
        type: integer
        default: 5
      - name: learning-rate
        type: float
        default: 0.1
    environment-variables:
      - name: DATASET
        default: harbour
STEP
show "cat valohai.yaml"
cat valohai.yaml
show "pier explain $image --project acme/vision"
pier explain "$image" --project acme/vision
show "pier run train-model --project acme/vision --param epochs=4 --watch"
pier run train-model --project acme/vision --param epochs=4 --watch
show "pier execution list --project acme/vision"
pier execution list --project acme/vision
show "pier audit list --org acme --limit 5"
pier audit list --org acme --limit 5
cd "$root"

echo
echo "== Where is the password now?"
if bin/demo/leaks --secret-file "$work/registry/password" "$PIER_SECRETS_DIR" >/dev/null; then
  echo "the search does not find the password even where the operator put it"
  exit 1
fi
bin/demo/leaks --secret-file "$work/registry/password" --processes \
  --url "http://127.0.0.1:$server_port/api/v1/organizations/acme/registries" --token-context "$XDG_CONFIG_HOME/pierhead/contexts.yaml" \
  "$work/data" "$work/config" "$work/pier.log" "$work/registry/log" "$work/project"

echo
echo "The main job took $(seconds_since "$started"), from the built programs to here."
