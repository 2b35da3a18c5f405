// Package clients lets other people's programs work with the hosted registry of a real `pier up`: Podman, Docker,
// Skopeo, Buildah and crane, each with scratch folders of its own, and with tokens of `pier token create`.
package clients

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// programs is the folder with what TestMain built: pier, crane (of the version in go.mod), train.
var programs string

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if programs, err = os.MkdirTemp("/tmp", "pc"); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(programs)) }()
	build := exec.Command("go", "build", "-trimpath", "-o", programs+"/",
		"pierhead.dev/pierhead/cmd/pier", "github.com/google/go-containerregistry/cmd/crane", "pierhead.dev/pierhead/test/demo/train")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("building the programs: %w\n%s", err, output)
	}
	return m.Run(), nil
}

func built(name string) string { return filepath.Join(programs, name) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
