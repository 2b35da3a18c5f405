package docker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pierhead.dev/pierhead"
)

func TestCrunRefuses(t *testing.T) {
	dir := t.TempDir()
	write := func(content string, path ...string) {
		name := filepath.Join(append([]string{dir}, path...)...)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if crunRefuses(dir) {
		t.Error("version 1 alone")
	}
	write("\n", "unified", "cgroup.controllers")
	if crunRefuses(dir) {
		t.Error("hybrid without controllers in version 2")
	}
	write("hugetlb\n", "unified", "cgroup.controllers")
	if !crunRefuses(dir) {
		t.Error("hybrid with controllers in version 2")
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := runtimeFlags(dir); pierhead.HintOf(err) == "" {
		t.Errorf("without runc: %v", err)
	}
	write("cpu memory\n", "cgroup.controllers")
	if flags, err := runtimeFlags(dir); len(flags) > 0 || err != nil {
		t.Errorf("version 2 alone: %v, %v", flags, err)
	}
}

// Neither secrets nor proxy settings may reach the service, for it may pass them on.
func TestServiceEnvironment(t *testing.T) {
	got := serviceEnvironment(func(name string) string { return "of " + name })
	text := strings.Join(got, "\n")
	for _, name := range []string{"PIER_", "PROXY", "TOKEN", "SECRET", "NOTIFY_SOCKET", "INVOCATION_ID", "LISTEN_"} {
		if strings.Contains(strings.ToUpper(text), name) {
			t.Errorf("%s is passed on", name)
		}
	}
	if !strings.Contains(text, "PATH=of PATH") {
		t.Error("PATH is not passed on")
	}
	if got := serviceEnvironment(environment(nil)); len(got) != 0 {
		t.Errorf("from nothing comes %q", got)
	}
}

// Podman refuses a --runroot of more than 50 characters, and a socket's path has at most 107 bytes.
func TestRunDirIsShort(t *testing.T) {
	long := "/" + strings.Repeat("long/", 60)
	for _, env := range []func(string) string{environment(nil), environment(map[string]string{"XDG_RUNTIME_DIR": "/run/user/4294967294"})} {
		if got := filepath.Join(runDir(long, env), "run"); len(got) > 50 {
			t.Errorf("%s has %d characters", got, len(got))
		}
	}
	if runDir("/a", environment(nil)) == runDir("/b", environment(nil)) {
		t.Error("two services share a place")
	}
}

func TestServiceThatDoesNotStart(t *testing.T) {
	if os.Getuid() == 0 && crunRefuses(cgroupDir) {
		t.Log("runc is looked for as well")
	}
	bin := t.TempDir()
	for _, program := range []string{"podman", "runc"} {
		script := fmt.Sprintf("#!/bin/sh\necho %s cannot: $PIER_SECRET_X reason >&2\nexit 125\n", program)
		if err := os.WriteFile(filepath.Join(bin, program), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin)
	dir := t.TempDir()
	run := runDir(dir, os.Getenv)
	t.Cleanup(func() { _ = os.RemoveAll(run) })
	_, err := StartService(t.Context(), ServiceConfig{Dir: dir})
	if !errors.Is(err, pierhead.ErrUnreachable) || !strings.Contains(err.Error(), "podman cannot: reason") || pierhead.HintOf(err) == "" {
		t.Errorf("got %v", err)
	}
	if _, err := StartService(t.Context(), ServiceConfig{Dir: "relative"}); err == nil {
		t.Error("a relative place was taken")
	}
	bad := filepath.Join(t.TempDir(), "podman")
	if err := os.WriteFile(bad, []byte("not a program"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", filepath.Dir(bad)+":"+bin)
	if _, err := StartService(t.Context(), ServiceConfig{Dir: dir}); err == nil {
		t.Error("what is no program was started")
	}
}
