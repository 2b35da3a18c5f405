package scripts

import (
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"
)

// oneError is what people get to see when something is refused: what is wrong, and what to do about it.
var oneError = regexp.MustCompile(`\AError: [^\n]+\nHint: [^\n]+\n\z`)

// refuse runs pier, which must end with an exit code, one line of error and one of hint, and print nothing else:
// refuse CODE ARGUMENTS…. What it said can be looked at afterwards, as after exec.
func refuse(ts *testscript.TestScript, neg bool, arguments []string) {
	if neg || len(arguments) < 2 {
		ts.Fatalf("usage: refuse CODE ARGUMENTS...")
	}
	want, err := strconv.Atoi(arguments[0])
	ts.Check(err)
	err = ts.Exec("timeout", append([]string{"20", "pier"}, arguments[1:]...)...)
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		ts.Fatalf("it was not refused: %v", err)
	}
	if code := exit.ExitCode(); code != want {
		ts.Fatalf("exit code %d, not %d", code, want)
	}
	if out := ts.ReadFile("stdout"); out != "" {
		ts.Fatalf("stdout is for results only")
	}
	if said := ts.ReadFile("stderr"); !oneError.MatchString(said) {
		ts.Fatalf("this is not one line of error and one of hint")
	}
}

// smallDisk mounts a disk of a size in bytes on a directory, which is made: smalldisk DIR SIZE.
func smallDisk(ts *testscript.TestScript, neg bool, arguments []string) {
	if neg || len(arguments) != 2 {
		ts.Fatalf("usage: smalldisk DIR SIZE")
	}
	directory := ts.MkAbs(arguments[0])
	ts.Check(os.MkdirAll(directory, 0o700))
	ts.Check(syscall.Mount("none", directory, "tmpfs", 0, "mode=0700,size="+arguments[1]))
	ts.Defer(func() { _ = syscall.Unmount(directory, syscall.MNT_DETACH) }) // what a failed script still has open, goes with it
}

// fill writes a file until the disk is full, and then gives some bytes back: fill FILE BYTES.
func fill(ts *testscript.TestScript, neg bool, arguments []string) {
	if neg || len(arguments) != 2 {
		ts.Fatalf("usage: fill FILE BYTES")
	}
	left, err := strconv.ParseInt(arguments[1], 10, 64)
	ts.Check(err)
	file, err := os.Create(ts.MkAbs(arguments[0]))
	ts.Check(err)
	defer file.Close()
	block := make([]byte, 4096)
	for err == nil {
		_, err = file.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		ts.Fatalf("filling the disk: %v", err)
	}
	if left > 0 {
		size, err := file.Seek(0, 1)
		ts.Check(err)
		ts.Check(file.Truncate(max(0, size-left)))
	}
}
