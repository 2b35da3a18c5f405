package docker

import (
	"os"
	"path/filepath"
	"testing"
)

func TestLimits(t *testing.T) {
	proc := t.TempDir()
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(proc, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		mapping, capabilities string
		want                  bool
	}{
		{"         0          0 4294967295\n", "000001ffffffffff", true},
		{"         0          0 4294967295\n", "000001fffeffffff", false},
		{"         0     100000      65536\n", "000001ffffffffff", false},
	} {
		write("uid_map", c.mapping)
		write("status", "Name:\tx\nCapPrm:\t000001ffffffffff\nCapEff:\t"+c.capabilities+"\nCapBnd:\t000001ffffffffff\n")
		if got := mayRaiseLimits(proc); got != c.want {
			t.Errorf("%+v gives %t", c, got)
		}
	}
	if mayRaiseLimits(filepath.Join(proc, "missing")) {
		t.Error("what is not known is taken for a right")
	}
}
