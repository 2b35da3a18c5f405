package docker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/engine"
)

const (
	startTime   = 30 * time.Second       // that a service may take until it answers
	stopTime    = 5 * time.Second        // that it may take to end; Podman itself gives its clients one second
	askInterval = 20 * time.Millisecond  // between two questions whether it answers, or has ended
	firstPause  = 100 * time.Millisecond // before a service that ended is started again; doubled up to lastPause
	lastPause   = 10 * time.Second
)

// A ServiceConfig says where a Podman service lives.
type ServiceConfig struct {
	// Dir is the service's own: its log, "run" (a link to what is gone after a reboot: the socket and Podman's own
	// state) and, with OwnStore, "storage". It is made, for this user only.
	Dir string
	// OwnStore keeps images and containers below Dir instead of where this user's Podman keeps them.
	OwnStore bool
	// Env reads the environment; nil is os.Getenv.
	Env func(string) string
	// Log is told when the service had to be started again; nil is silence.
	Log *slog.Logger
}

// A Service is a `podman system service` that runs as our child, and is started again when it ends by itself. Its
// containers are not its children: they outlive it, and us.
type Service struct {
	command func() *exec.Cmd
	socket  string
	logFile string
	log     *slog.Logger
	up      chan struct{} // closed when it has answered
	closing chan struct{}
	close   sync.Once
	ended   chan struct{} // closed when the last child is gone
}

// StartService starts the service and returns when it answers; ctx bounds the start only. A service that was left over
// in the same Dir is stopped first. Errors for people: pierhead.Problem.
func StartService(ctx context.Context, config ServiceConfig) (*Service, error) {
	s, err := newService(config)
	if err != nil {
		return nil, err
	}
	if err := stopLeftOver(ctx, s.socket); err != nil {
		return nil, err
	}
	started := make(chan error, 1)
	go s.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("podman system service: %w", err)
	}
	if err := s.answers(ctx); err != nil {
		_ = s.Close() // the error before counts
		return nil, err
	}
	close(s.up)
	return s, nil
}

// newService finds what the service needs and makes its place.
func newService(config ServiceConfig) (*Service, error) {
	c := Config{Env: config.Env, Log: config.Log}
	podman, err := exec.LookPath("podman")
	if err != nil {
		return nil, havePodman()
	}
	flags, err := runtimeFlags(cgroupDir)
	if err != nil {
		return nil, err
	}
	run, err := prepare(config.Dir, c.env)
	if err != nil {
		return nil, fmt.Errorf("place for a Podman service: %w", err)
	}
	s := &Service{
		socket:  filepath.Join(run, "podman.sock"),
		logFile: filepath.Join(config.Dir, "service.log"),
		log:     c.log(),
		up:      make(chan struct{}),
		closing: make(chan struct{}),
		ended:   make(chan struct{}),
	}
	if config.OwnStore {
		flags = append(flags, "--root", filepath.Join(config.Dir, "storage"), "--runroot", filepath.Join(run, "run"),
			"--tmpdir", filepath.Join(run, "tmp"), "--events-backend", "file")
	}
	arguments := append(flags, "system", "service", "--time=0", s.Address())
	environment := serviceEnvironment(c.env)
	s.command = func() *exec.Cmd {
		command := exec.Command(podman, arguments...)
		command.Env = environment
		command.Dir = "/"
		detach(command)
		return command
	}
	return s, nil
}

// Address is where the service answers, "unix://…".
func (s *Service) Address() string { return "unix://" + s.socket }

// Close stops the service. Its containers run on. It may be called more than once.
func (s *Service) Close() error {
	s.close.Do(func() { close(s.closing) })
	<-s.ended
	if err := os.Remove(s.socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// run starts the service, tells started how that went, and starts it again until it is closed, unless it ends before it
// has ever answered. It keeps its thread: the kernel ends a child when the thread that made it ends, which is to happen
// when this process dies and not before.
func (s *Service) run(started chan<- error) {
	runtime.LockOSThread()
	defer close(s.ended)
	pause := firstPause
	for first := true; ; first = false {
		begun := time.Now()
		gone, child, err := s.start()
		if first {
			started <- err
			if err != nil {
				return
			}
		}
		if err == nil {
			select {
			case err = <-gone:
			case <-s.closing:
				terminate(child, gone)
				return
			}
		}
		select {
		case <-s.up:
		default:
			return
		}
		if time.Since(begun) > lastPause {
			pause = firstPause
		}
		s.log.Warn("the Podman service ended and is started again", "error", err, "said", s.lastWords())
		select {
		case <-s.closing:
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, lastPause)
	}
}

// start starts a child whose output goes to the log file, not through us: what it starts in its turn may hold it open.
func (s *Service) start() (gone <-chan error, child *os.Process, err error) {
	if err := os.Remove(s.socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, nil, err
	}
	log, err := os.OpenFile(s.logFile, os.O_CREATE|os.O_TRUNC|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	defer closeQuietly(log)
	command := s.command()
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		return nil, nil, err
	}
	wait := make(chan error, 1)
	go func() { wait <- command.Wait() }()
	return wait, command.Process, nil
}

// terminate ends a child by its id: asked first, killed later.
func terminate(child *os.Process, gone <-chan error) {
	_ = child.Signal(syscall.SIGTERM) // it may be gone already
	select {
	case <-gone:
	case <-time.After(stopTime):
		_ = child.Kill()
		<-gone
	}
}

// answers returns when the service does.
func (s *Service) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		err := probe(ctx, s.Address())
		if err == nil {
			return nil
		}
		select {
		case <-s.ended:
		case <-ctx.Done():
		case <-time.After(askInterval):
			continue
		}
		return &pierhead.Problem{
			Kind:  pierhead.ErrUnreachable,
			Text:  "the Podman service does not answer at " + s.socket + ": " + s.lastWords(),
			Hint:  "see " + s.logFile + ", and whether `podman info` works",
			Cause: errors.Join(engine.ErrUnreachable, context.Cause(ctx)),
		}
	}
}

// lastWords is the end of what the service wrote, on one line.
func (s *Service) lastWords() string {
	const length = 600
	text, err := os.ReadFile(s.logFile)
	if err != nil || len(text) == 0 {
		return "it said nothing"
	}
	if len(text) > length {
		text = text[len(text)-length:]
	}
	return strings.Join(strings.Fields(string(text)), " ")
}

// passedOn are the variables that the service sees. Nothing else of our environment may reach it: there are secrets in
// it, and Podman passes proxy settings on to containers.
var passedOn = []string{
	"PATH", "HOME", "USER", "LOGNAME", "LANG", "TMPDIR", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME",
	"DBUS_SESSION_BUS_ADDRESS", "CONTAINERS_CONF", "CONTAINERS_CONF_OVERRIDE", "CONTAINERS_STORAGE_CONF",
	"CONTAINERS_REGISTRIES_CONF", "STORAGE_DRIVER", "STORAGE_OPTS",
}

func serviceEnvironment(env func(string) string) []string {
	var environment []string
	for _, name := range passedOn {
		if value := env(name); value != "" {
			environment = append(environment, name+"="+value)
		}
	}
	return environment
}

// prepare makes dir and its run directory, links the one to the other and returns the latter.
func prepare(dir string, env func(string) string) (run string, err error) {
	if !filepath.IsAbs(dir) {
		return "", fmt.Errorf("%q is not an absolute path", dir)
	}
	run = runDir(dir, env)
	for _, d := range []string{dir, run, filepath.Join(run, "run"), filepath.Join(run, "tmp")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return "", err
		}
	}
	if err := mustBeOurs(run); err != nil {
		return "", err
	}
	link := filepath.Join(dir, "run")
	if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	return run, os.Symlink(run, link)
}

// runDir is where the socket and Podman's own running state are: a place that a reboot empties, or Podman would
// believe that its containers still run, and a short one, since a unix socket's path has at most 107 bytes and
// Podman refuses a --runroot of more than 50.
func runDir(dir string, env func(string) string) string {
	sum := sha256.Sum256([]byte(dir))
	name := "engine-" + hex.EncodeToString(sum[:4])
	switch {
	case os.Getuid() == 0:
		return filepath.Join("/run/pierhead", name)
	case env("XDG_RUNTIME_DIR") != "":
		return filepath.Join(env("XDG_RUNTIME_DIR"), "pierhead", name)
	}
	return filepath.Join("/tmp", fmt.Sprintf("pierhead-%d", os.Getuid()), name)
}
