package resolve

import (
	"testing"

	"pierhead.dev/pierhead"
)

func TestCoversHost(t *testing.T) {
	off := registry("off", "off.example/*", "*.off.example/*")
	off.Enabled = false
	listed := listing("listed", "vision")
	listed.Match = []string{"listed.example:5000/team/*"}
	table, err := Compile([]pierhead.Registry{registry("one", "gcr.io/team/*"), registry("glob", "*.dkr.ecr.*.amazonaws.com/*"), listed, off})
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]bool{
		"gcr.io": true, "us.gcr.io": false, "gcr.io:5000": false, "listed.example:5000": true, "listed.example": false,
		"1.dkr.ecr.us-east-1.amazonaws.com": true, "1.dkr.ecr.us-east-1.amazonaws.com:444": false, "dkr.ecr.us-east-1.amazonaws.com": false,
		"off.example": false, "a.off.example": false, "[::1]:5000": false, "": false,
	} {
		if got := table.CoversHost(host); got != want {
			t.Errorf("%q: %t", host, got)
		}
	}
}
