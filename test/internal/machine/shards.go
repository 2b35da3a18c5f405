package machine

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
)

// enterAll runs the tests in their namespaces, at the same time, and tells what of them in order. Tests that somebody
// chose, and few, are in one.
func (n Namespace) enterAll(dir string) (code int, err error) {
	shards := max(n.Shards, 1)
	names, err := tests()
	if err != nil {
		return 0, err
	}
	if shards == 1 || flag.Lookup("test.run").Value.String() != "" || len(names) < 2*shards {
		return n.enter(dir, os.Stdout)
	}
	var group sync.WaitGroup
	codes, errs, told := make([]int, shards), make([]error, shards), make([]bytes.Buffer, shards)
	for i := range shards {
		var own []string
		for at := i; at < len(names); at += shards {
			own = append(own, names[at])
		}
		out := io.Writer(&told[i])
		if i == 0 {
			out = os.Stdout
		}
		group.Go(func() { codes[i], errs[i] = n.enter(dir, out, "-test.run=^("+strings.Join(own, "|")+")$") })
	}
	group.Wait()
	for i := range shards {
		_, written := io.Copy(os.Stdout, &told[i])
		errs[i] = errors.Join(errs[i], written)
		code = max(code, codes[i])
	}
	return code, errors.Join(errs...)
}

// tests are the names of all.
func tests() ([]string, error) {
	output, err := exec.Command(os.Args[0], "-test.list=.").Output()
	if err != nil {
		return nil, fmt.Errorf("listing the tests: %w", err)
	}
	var names []string
	for line := range strings.Lines(string(output)) {
		if name := strings.TrimSpace(line); strings.HasPrefix(name, "Test") {
			names = append(names, name)
		}
	}
	return names, nil
}

// enter runs this very test in a namespace; what it leaves running ends with it.
func (n Namespace) enter(dir string, out io.Writer, more ...string) (code int, err error) {
	here, err := os.Getwd()
	if err != nil {
		return 0, err
	}
	script := namespaced + n.Inside + "\ncd \"$1\"; shift\nexec \"$@\""
	arguments := append([]string{"--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private",
		"sh", "-ec", script, "sh", dir, strings.Join(n.Addresses, " "), strconv.Itoa(max(n.Shards, 1)), here}, os.Args...)
	command := exec.Command("unshare", append(arguments, more...)...)
	command.Env = append(os.Environ(), n.Variable+"="+dir)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, out, out
	var exit *exec.ExitError
	if err := command.Run(); err != nil && !errors.As(err, &exit) {
		return 0, err
	}
	return command.ProcessState.ExitCode(), nil
}
