package agent

import (
	"errors"
	"runtime"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"pierhead.dev/pierhead"
)

// An index with an image for newer processors before the plain one used to be told with the former's digest.
func TestForThisMachine(t *testing.T) {
	of := func(digest, os, architecture, variant string) ocispec.Descriptor {
		return ocispec.Descriptor{MediaType: digest, Platform: &ocispec.Platform{OS: os, Architecture: architecture, Variant: variant}}
	}
	other, here := of("other", "linux", "s390x", ""), of("here", "linux", runtime.GOARCH, "")
	newer, attestation := of("newer", "linux", runtime.GOARCH, "v9"), of("attestation", "unknown", "unknown", "")
	plain := ocispec.Descriptor{MediaType: "plain"}
	for _, test := range []struct {
		list []ocispec.Descriptor
		want string
	}{
		{[]ocispec.Descriptor{other, here}, "here"},
		{[]ocispec.Descriptor{newer, here}, "here"},
		{[]ocispec.Descriptor{attestation, newer}, "newer"},
		{[]ocispec.Descriptor{plain}, "plain"},
		{[]ocispec.Descriptor{plain, plain}, ""},
		{[]ocispec.Descriptor{other, attestation}, ""},
		{nil, ""},
	} {
		got, err := forThisMachine(test.list)
		if got.MediaType != test.want || (err == nil) != (test.want != "") {
			t.Errorf("of %d: %q, %v; want %q", len(test.list), got.MediaType, err, test.want)
		}
		if err != nil && (!errors.Is(err, pierhead.ErrPull) || strings.Contains(err.Error(), "unknown") || strings.HasSuffix(err.Error(), ": ")) {
			t.Errorf("of %d: %v", len(test.list), err)
		}
	}
}
