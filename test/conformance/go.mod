// The public OCI conformance suite against the hosted registry. A module of its own, as the suite is a program with
// dependencies of its own.
module pierhead.dev/pierhead/test/conformance

go 1.26.0

require (
	github.com/opencontainers/distribution-spec/conformance v0.0.0-20260730175803-fee21197eb94
	pierhead.dev/pierhead v0.0.0
)

require (
	github.com/go-jose/go-jose/v4 v4.1.8 // indirect
	github.com/goccy/go-yaml v1.19.2 // indirect
	github.com/opencontainers/distribution-spec/specs-go v0.0.0-20240926185104-8376368dd8aa // indirect
	github.com/opencontainers/go-digest v1.0.0 // indirect
	github.com/opencontainers/image-spec v1.1.1 // indirect
)

tool github.com/opencontainers/distribution-spec/conformance

replace pierhead.dev/pierhead => ../..
