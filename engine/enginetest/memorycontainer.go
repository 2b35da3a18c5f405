package enginetest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"pierhead.dev/pierhead/engine"
)

// A Program is what a container of a Memory runs; it returns the exit code. It returns soon after ctx ended, which is
// what a kill is to it.
type Program func(ctx context.Context, p Process) int

// A Process is a container as its program sees it.
type Process struct {
	Args           []string // with the program's own name
	Environment    []string // "K=V"
	Mounts         []engine.Mount
	Stdout, Stderr io.Writer       // one log
	Asked          <-chan struct{} // closed when the container is asked to end
}

// Getenv looks a variable up; the last one of a name counts.
func (p Process) Getenv(name string) (value string, set bool) {
	for _, variable := range p.Environment {
		if v, ok := strings.CutPrefix(variable, name+"="); ok {
			value, set = v, true
		}
	}
	return value, set
}

// Path is a path of the container on this machine; an error says that it is not to be written, or is nowhere.
func (p Process) Path(inside string, write bool) (string, error) {
	for _, mount := range p.Mounts {
		rest, ok := strings.CutPrefix(inside, mount.Destination)
		switch {
		case !ok:
		case write && mount.ReadOnly:
			return "", &os.PathError{Op: "open", Path: inside, Err: syscall.EROFS}
		default:
			return filepath.Join(mount.Source, rest), nil
		}
	}
	return "", &os.PathError{Op: "open", Path: inside, Err: syscall.ENOENT}
}

// A memoryContainer is one container.
type memoryContainer struct {
	spec    engine.Spec
	process Process
	program string // path in the image, or "" where it is not there
	run     context.Context
	end     context.CancelFunc

	mu      sync.Mutex
	state   engine.State
	crashed bool
	log     bytes.Buffer
	changed chan struct{} // closed and replaced when log or state change
	asked   chan struct{}
	isAsked bool
}

func (c *memoryContainer) change(do func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	do()
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *memoryContainer) current() engine.State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// Write is what the program says.
func (c *memoryContainer) Write(p []byte) (int, error) {
	c.change(func() {
		if !c.crashed {
			c.log.Write(p)
		}
	})
	return len(p), nil
}

func (c *memoryContainer) kill() { c.end() }

func (c *memoryContainer) crash() {
	c.change(func() {
		c.crashed = true
		c.state.Running = false
	})
	c.end()
}

// wait returns the state once the container does not run.
func (c *memoryContainer) wait(ctx context.Context) (engine.State, error) {
	for {
		c.mu.Lock()
		state, changed := c.state, c.changed
		c.mu.Unlock()
		if !state.Running {
			return state, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return state, ctx.Err()
		}
	}
}

// find returns a container by name or id.
func (m *Memory) find(container string) (*memoryContainer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c := m.containers[container]; c != nil {
		return c, nil
	}
	for _, c := range m.containers {
		if c.current().ID == container {
			return c, nil
		}
	}
	return nil, fmt.Errorf("container %s: %w", container, engine.ErrNotFound)
}

// Create implements engine.Engine.
func (m *Memory) Create(ctx context.Context, spec engine.Spec) (string, error) {
	return call(ctx, m, "Create", func(context.Context) (string, error) {
		if err := check(spec); err != nil {
			return "", err
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		image := m.images[spec.Image]
		switch {
		case image == nil:
			return "", fmt.Errorf("image %s: %w", spec.Image, engine.ErrNotFound)
		case m.containers[spec.Name] != nil:
			return "", fmt.Errorf("the name %s is taken", spec.Name)
		}
		m.made++
		c := &memoryContainer{spec: spec, changed: make(chan struct{}), asked: make(chan struct{})}
		c.state.ID = fmt.Sprintf("container-%d", m.made)
		c.run, c.end = context.WithCancel(context.Background()) // it outlives every call
		entrypoint, command := spec.Entrypoint, spec.Command
		if entrypoint == nil {
			entrypoint = image.config.Entrypoint
			if len(command) == 0 {
				command = image.config.Cmd
			}
		}
		c.process = Process{Args: append(append([]string(nil), entrypoint...), command...), Mounts: spec.Mounts,
			Environment: append(append([]string(nil), image.config.Env...), spec.Environment...), Stdout: c, Stderr: c, Asked: c.asked}
		if len(c.process.Args) > 0 {
			c.program, _ = image.program(c.process.Args[0], c.process.Environment)
		}
		m.containers[spec.Name] = c
		return c.state.ID, nil
	})
}

// check refuses what every engine here refuses.
func check(spec engine.Spec) error {
	for _, variable := range spec.Environment {
		if name, _, ok := strings.Cut(variable, "="); !ok || name == "" {
			return fmt.Errorf("environment entry %q is not NAME=VALUE", variable)
		}
	}
	for _, mount := range spec.Mounts {
		if !filepath.IsAbs(mount.Destination) || strings.ContainsAny(mount.Destination+mount.Source, ",\"'") {
			return fmt.Errorf("mount destination %q", mount.Destination)
		}
		if _, err := os.Stat(mount.Source); err != nil {
			return fmt.Errorf("mount source: %w", err)
		}
	}
	return nil
}

// Start implements engine.Engine.
func (m *Memory) Start(ctx context.Context, id string) error {
	_, err := call(ctx, m, "Start", func(context.Context) (none struct{}, err error) {
		c, err := m.find(id)
		if err != nil {
			return none, err
		}
		if err := check(c.spec); err != nil {
			return none, err
		}
		program := m.Programs[c.program]
		if program == nil || c.program == "" {
			return none, fmt.Errorf("starting %q: %w", c.process.Args, engine.ErrNoCommand)
		}
		c.change(func() { c.state.Running, c.state.StartedAt = true, m.now() })
		go func() { m.exited(c, program(c.run, c.process)) }()
		return none, nil
	})
	return err
}

func (m *Memory) exited(c *memoryContainer, code int) {
	killed := c.run.Err() != nil
	c.change(func() {
		if c.crashed {
			return
		}
		if killed {
			code = 137
		}
		c.state.Running, c.state.Exited, c.state.ExitCode, c.state.FinishedAt = false, true, code, m.now()
	})
}

// Find implements engine.Engine.
func (m *Memory) Find(ctx context.Context, container string) (engine.State, error) {
	return call(ctx, m, "Find", func(context.Context) (engine.State, error) {
		c, err := m.find(container)
		if err != nil {
			return engine.State{}, err
		}
		return c.current(), nil
	})
}

// Logs implements engine.Engine.
func (m *Memory) Logs(ctx context.Context, id string, follow bool, to io.Writer) error {
	_, err := call(ctx, m, "Logs", func(ctx context.Context) (none struct{}, err error) {
		c, err := m.find(id)
		if err != nil {
			return none, err
		}
		for at := 0; ; {
			c.mu.Lock()
			part, running, changed := bytes.Clone(c.log.Bytes()[at:]), c.state.Running, c.changed
			c.mu.Unlock()
			if _, err := to.Write(part); err != nil {
				return none, fmt.Errorf("log of %s: %w", id, err)
			}
			if at += len(part); !running || !follow {
				return none, nil
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return none, ctx.Err()
			}
		}
	})
	return err
}

// Wait implements engine.Engine.
func (m *Memory) Wait(ctx context.Context, id string) (engine.State, error) {
	return call(ctx, m, "Wait", func(ctx context.Context) (engine.State, error) {
		c, err := m.find(id)
		if err != nil {
			return engine.State{}, err
		}
		return c.wait(ctx)
	})
}

// Stop implements engine.Engine.
func (m *Memory) Stop(ctx context.Context, id string, grace time.Duration) error {
	_, err := call(ctx, m, "Stop", func(ctx context.Context) (engine.State, error) {
		c, err := m.find(id)
		if err != nil || !c.current().Running {
			return engine.State{}, err
		}
		c.change(func() {
			if !c.isAsked {
				c.isAsked = true
				close(c.asked)
			}
		})
		patient, cancel := context.WithTimeout(ctx, grace)
		defer cancel()
		if state, err := c.wait(patient); err == nil || ctx.Err() != nil {
			return state, err
		}
		c.kill()
		return c.wait(ctx)
	})
	return err
}

// Remove implements engine.Engine.
func (m *Memory) Remove(ctx context.Context, id string) error {
	_, err := call(ctx, m, "Remove", func(context.Context) (none struct{}, err error) {
		c, err := m.find(id)
		if err != nil {
			return none, err
		}
		if c.current().Running {
			return none, fmt.Errorf("container %s runs", id)
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.containers, c.spec.Name)
		return none, nil
	})
	return err
}
