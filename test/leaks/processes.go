package leaks

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// SearchProcesses searches the arguments and the environment of every process but this one. Those of other users cannot
// be read without being root: a note names them. The environment is the one that the process was started with.
func (n *Needle) SearchProcesses(report *Report) { n.searchProcesses("/proc", report) }

func (n *Needle) searchProcesses(proc string, report *Report) {
	entries, err := os.ReadDir(proc)
	if err != nil {
		report.fail("list the processes: %w", err)
		return
	}
	var closed []string
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err != nil || pid == os.Getpid() {
			continue
		}
		switch err := n.searchProcess(filepath.Join(proc, entry.Name()), report); {
		case err == nil:
			report.change(func(r *Report) { r.Processes++ })
		case errors.Is(err, fs.ErrPermission):
			closed = append(closed, entry.Name())
		case !gone(err):
			report.fail("process %s: %w", entry.Name(), err)
		}
	}
	if len(closed) > 0 {
		slices.Sort(closed)
		report.note("%d processes cannot be read by this user and were not searched: %s", len(closed), strings.Join(closed, " "))
	}
}

// gone tells the errors of a process that ended while it was read.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) }

// searchProcess searches what it can of both before it returns an error.
func (n *Needle) searchProcess(directory string, report *Report) error {
	command, _ := os.ReadFile(filepath.Join(directory, "comm")) // only for its name
	who := "process " + filepath.Base(directory) + " (" + strings.TrimSpace(string(command)) + ")"
	var errs []error
	for _, part := range []struct{ file, name string }{{"cmdline", "arguments"}, {"environ", "environment"}} {
		text, err := os.ReadFile(filepath.Join(directory, part.file))
		errs = append(errs, err)
		report.add(n.ScanBytes(text, who+", "+part.name))
		report.change(func(r *Report) { r.Bytes += int64(len(text)) })
	}
	return errors.Join(errs...)
}
