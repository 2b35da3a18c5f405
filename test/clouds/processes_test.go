package clouds

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// A processList writes down the arguments and the environment of every process that there is for more than a moment: some,
// as those of engines, are over when anybody looks.
type processList struct {
	seen map[string]bool // what was written down
	out  *os.File
}

// every is how often it looks.
const every = 10 * time.Millisecond

// processFile is where the list is, in the directory of a house.
const processFile = "processes"

// listProcesses writes them down until the end of the test.
func listProcesses(t *testing.T, path string) {
	t.Helper()
	out, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	must(t, err)
	l := &processList{seen: map[string]bool{}, out: out}
	end, done := make(chan struct{}), make(chan error, 1)
	go func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-end:
				done <- out.Close()
				return
			case <-tick.C:
				l.look()
			}
		}
	}()
	t.Cleanup(func() {
		close(end)
		must(t, <-done)
	})
}

// look writes down what is new. A process may end while it is looked at.
func (l *processList) look() {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		arguments, _ := os.ReadFile(filepath.Join("/proc", entry.Name(), "cmdline"))
		known := entry.Name() + " " + string(arguments)
		if len(arguments) == 0 || l.seen[known] {
			continue
		}
		l.seen[known] = true
		environment, _ := os.ReadFile(filepath.Join("/proc", entry.Name(), "environ"))
		text := bytes.Join([][]byte{[]byte(entry.Name()), arguments, environment, nil}, []byte("\n"))
		_, _ = l.out.Write(bytes.ReplaceAll(text, []byte{0}, []byte("\n"))) // a full disk fails the test elsewhere
	}
}
