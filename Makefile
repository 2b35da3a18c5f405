# Two commands are for everybody: `make demo` shows the main job, `make test` checks everything.
# Both do their own set-up.

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
GO          ?= go
BIN         := bin
VERSION     := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)

.PHONY: all build demo test test-unit test-dialects test-engines test-long test-vault test-kubelet conformance bench bench-doors lint setup clean

all: build

## build: the programs, into bin/
build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o $(BIN)/ ./cmd/...

## demo: a private image runs, with no credential in sight
demo:
	@test/demo/run.sh

## test: vet, staticcheck, unit tests with -race, the real programs, real engines
test:
	@test/run.sh

## lint: formatting, vet, staticcheck, go.mod
lint:
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo 'gofmt would change these'; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) mod tidy -diff

## test-unit: the unit tests of all rooms, with the race detector
test-unit:
	$(GO) test -race $$($(GO) list ./... | grep -v '/test/')
	cd bench && $(GO) test ./...

## test-dialects: what pier writes for other tools, read by their own code (a module of its own; without cgo two generations of one library link)
test-dialects:
	cd test/dialects && CGO_ENABLED=0 $(GO) vet ./... && CGO_ENABLED=0 $(GO) test -count=1 ./...

## test-engines: what needs Docker or Podman, and the programs themselves
test-engines: setup build
	$(GO) test -count=1 -timeout 10m -p 1 ./test/...

## test-long: the full counts of what test has a small version of
test-long: setup build
	$(GO) test -count=1 -timeout 60m ./oci/hosted -run 'Kill|Many' -kills 100 -many 1000000
	$(GO) test -count=1 -timeout 60m ./resolve -run TestMillion -million

## test-vault: secret/vault against HashiCorp Vault itself, which is built first (ten minutes, once)
test-vault:
	VAULT_BINARY=$$(test/setup/vault.sh) $(GO) test -count=1 -timeout 5m -tags vault ./test/vault

## test-kubelet: a real kubelet pulls through the plugin (Kubernetes is built first: twenty minutes, once)
test-kubelet:
	bin=$$(test/setup/kubelet.sh) && KUBE_BIN_DIR=$$bin $(GO) test -count=1 -timeout 10m -tags kubelet ./test/kubelet

## conformance: the public OCI conformance suite against the hosted registry
conformance:
	cd test/conformance && $(GO) run .

## bench: figures of the matcher
bench:
	$(GO) test ./resolve -run '^$$' -bench . -benchmem -count 10

## bench-doors: what the node's doors cost, beside an empty program and Amazon's helper; exit code 1 when a figure is short
bench-doors:
	@mkdir -p $(BIN)
	cd bench && $(GO) build -o ../$(BIN)/bench-doors ./doors && exec ../$(BIN)/bench-doors

setup:
	@test/setup/tests.sh

clean:
	rm -rf $(BIN)
