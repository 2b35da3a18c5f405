package main

import (
	"bytes"
	"fmt"
	"os"
	"time"
)

// A program is one that is started again and again.
type program struct {
	name      string // as the figures and notes have it
	path      string
	arguments []string
	env       []string
	input     string // a file that it reads
	wants     string // what it says has this in it
}

// A lap is one start of a program, from fork to end.
type lap struct {
	wall, cpu time.Duration
}

// run starts it once. Standard input and output are files for all programs: a pipe's reader would be measured too.
func (p program) run(output string) (lap, error) {
	in, err := os.Open(p.input)
	if err != nil {
		return lap{}, err
	}
	defer in.Close()
	out, err := os.OpenFile(output, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return lap{}, err
	}
	defer out.Close()
	attributes := &os.ProcAttr{Env: p.env, Files: []*os.File{in, out, out}}
	began := time.Now()
	process, err := os.StartProcess(p.path, append([]string{p.path}, p.arguments...), attributes)
	if err != nil {
		return lap{}, err
	}
	state, err := process.Wait()
	took := lap{wall: time.Since(began)}
	if err != nil {
		return lap{}, err
	}
	took.cpu = state.UserTime() + state.SystemTime()
	said, err := os.ReadFile(output)
	if err != nil {
		return lap{}, err
	}
	if state.ExitCode() != 0 || !bytes.Contains(said, []byte(p.wants)) {
		return took, fmt.Errorf("%s: %v, and it said %.300q", p.name, state, said)
	}
	return took, nil
}

func (m *machine) program(name string, wants string, arguments ...string) program {
	return program{name: name, path: m.path(name), arguments: arguments, env: m.env(), input: m.path("host"), wants: wants}
}
