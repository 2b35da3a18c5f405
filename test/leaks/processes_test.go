package leaks

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestMain lets a copy of this program stand for any process: it says that it is there and waits for its input's end.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "wait" {
		_, _ = io.WriteString(os.Stdout, "here\n")
		_, _ = io.Copy(io.Discard, os.Stdin)
		return
	}
	os.Exit(m.Run())
}

// start starts this program as a child, and returns its number when it runs.
func start(t *testing.T, argument, variable string) int {
	t.Helper()
	command := exec.Command(os.Args[0], "wait", argument)
	command.Env = []string{"PASSWORD=" + variable}
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		if err := command.Wait(); err != nil {
			t.Error(err)
		}
	})
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return command.Process.Pid
}

func TestSearchesProcesses(t *testing.T) {
	secret := `only in "this" test/7` + strconv.Itoa(os.Getpid())
	n := needleOf(t, secret)
	argument := start(t, "--login="+std("robot:"+secret), "no")
	environment := start(t, "no", secret)
	var report Report
	n.SearchProcesses(&report)
	checkPrinted(t, n, &report)
	if len(report.Findings) != 2 || len(report.Failures) > 0 || report.Processes < 2 {
		t.Fatalf("%+v", &report)
	}
	for pid, place := range map[int]string{argument: "arguments", environment: "environment"} {
		found := false
		for _, f := range report.Findings {
			found = found || strings.HasPrefix(f.Place, "process "+strconv.Itoa(pid)+" ") && strings.HasSuffix(f.Place, ", "+place)
		}
		if !found {
			t.Errorf("not found in the %s of %d: %v", place, pid, report.Findings)
		}
	}
}

// This process itself holds the secret, and is left out.
func TestLeavesOutItself(t *testing.T) {
	t.Setenv("PASSWORD", secrets["plain"])
	proc := t.TempDir()
	write(t, filepath.Join(proc, strconv.Itoa(os.Getpid()), "environ"), secrets["plain"])
	write(t, filepath.Join(proc, "self", "environ"), secrets["plain"])
	write(t, filepath.Join(proc, "1", "cmdline"), "init") // it has ended: there is no environ
	var report Report
	needleOf(t, secrets["plain"]).searchProcesses(proc, &report)
	if report.Exit() != ExitClean || report.Processes != 0 {
		t.Errorf("%+v", &report)
	}
	if err := os.MkdirAll(filepath.Join(proc, "1", "environ"), 0o700); err != nil { // no environment can be read from it
		t.Fatal(err)
	}
	if needleOf(t, secrets["plain"]).searchProcesses(proc, &report); report.Exit() != ExitNotSearched {
		t.Errorf("%+v", &report)
	}
}
