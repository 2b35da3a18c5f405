package docker

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"pierhead.dev/pierhead/engine"
)

// unlimitedLog is a size that no log reaches. It is said because an engine's own default may be to throw the
// beginning of a log away, and both refuse "-1" here.
const unlimitedLog = "1000000g"

// Create makes a container and does not start it. Whatever the engine's defaults are, it is not privileged, shares no
// namespace with the host, is not restarted, runs no health check, and keeps its whole log.
func (e *Engine) Create(ctx context.Context, spec engine.Spec) (string, error) {
	doing := "creating container " + spec.Name
	a, err := e.ask(ctx)
	if err != nil {
		return "", err
	}
	if err := check(spec, a.podman); err != nil {
		return "", fmt.Errorf("%s: %w", doing, err)
	}
	entrypoint, command := argv(spec)
	created, err := e.api.ContainerCreate(ctx, client.ContainerCreateOptions{
		Name: spec.Name,
		Config: &container.Config{
			Image:      spec.Image,
			Entrypoint: entrypoint,
			Cmd:        command,
			Env:        spec.Environment,
			Labels:     spec.Labels,
			// Podman refuses to start a container with a health check where systemd is not running.
			Healthcheck: &container.HealthConfig{Test: []string{"NONE"}},
		},
		HostConfig: e.hostConfig(spec, a.podman),
	})
	if err != nil {
		return "", e.failed(doing, err)
	}
	return created.ID, nil
}

func (e *Engine) hostConfig(spec engine.Spec, podman bool) *container.HostConfig {
	host := &container.HostConfig{
		NetworkMode:   container.NetworkMode(e.network),
		IpcMode:       container.IPCModePrivate,
		RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyDisabled},
		// An engine's default may be a driver that cannot be read back, or one that drops lines when it is slow.
		LogConfig: container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": unlimitedLog, "mode": "blocking"}},
	}
	if podman {
		host.LogConfig = container.LogConfig{Type: "k8s-file", Config: map[string]string{"max-size": unlimitedLog}}
		// Docker's default is private and has no word for it; Podman's default is what containers.conf says.
		host.PidMode, host.UTSMode = "private", "private"
		host.Ulimits = podmanLimits()
	}
	for _, m := range spec.Mounts {
		host.Mounts = append(host.Mounts, mount.Mount{
			Type: mount.TypeBind, Source: m.Source, Target: m.Destination, ReadOnly: m.ReadOnly,
			BindOptions: &mount.BindOptions{Propagation: mount.PropagationRPrivate},
		})
	}
	return host
}

// argv says what to set as entrypoint and command. Podman's compatible API cannot tell an empty entrypoint from an
// absent one, so an image's entrypoint is cleared by putting the first word of the command in its place.
func argv(spec engine.Spec) (entrypoint, command []string) {
	if spec.Entrypoint != nil && len(spec.Entrypoint) == 0 {
		return spec.Command[:1], spec.Command[1:]
	}
	return spec.Entrypoint, spec.Command
}

// check refuses what an engine would read as something else than it says.
func check(spec engine.Spec, podman bool) error {
	if spec.Entrypoint != nil && len(spec.Entrypoint) == 0 && len(spec.Command) == 0 {
		return errors.New("an empty entrypoint needs a command")
	}
	for _, variable := range spec.Environment {
		// Podman reads "NAME", and even "PREFIX*", as a wish for the variables of its own process.
		if name, _, ok := strings.Cut(variable, "="); !ok || name == "" {
			return fmt.Errorf("environment entry %q is not NAME=value", name)
		}
	}
	for _, m := range spec.Mounts {
		for _, path := range []string{m.Source, m.Destination} {
			// Podman reads a mount as comma-separated text with quotes: "/a,source=/etc" would mount /etc.
			if !filepath.IsAbs(path) || strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == 0x7f || r == ',' || r == '"' }) {
				return fmt.Errorf("mount path %q: it must be absolute, without commas, quotes and control characters", path)
			}
		}
		if podman { // it would make the directory, as root; Docker refuses by itself
			if _, err := os.Stat(m.Source); err != nil {
				return fmt.Errorf("mount of %s: %w", m.Source, err)
			}
		}
	}
	return nil
}

// Start starts a created container. Errors: engine.ErrNoCommand when the image has no such program, and
// engine.ErrNotExecutable when it may not be executed.
func (e *Engine) Start(ctx context.Context, id string) error {
	doing := "starting container " + id
	_, err := e.api.ContainerStart(ctx, id, client.ContainerStartOptions{})
	switch {
	case err != nil && noCommand.MatchString(err.Error()):
		return fmt.Errorf("%s: %w: %s", doing, engine.ErrNoCommand, engineWords(err))
	case err != nil && notExecutable.MatchString(err.Error()):
		return fmt.Errorf("%s: %w: %s", doing, engine.ErrNotExecutable, engineWords(err))
	}
	return e.failed(doing, err)
}

// Find returns the container with a name or id. Errors: engine.ErrNotFound.
func (e *Engine) Find(ctx context.Context, name string) (engine.State, error) {
	found, err := e.api.ContainerInspect(ctx, name, client.ContainerInspectOptions{})
	if err != nil {
		return engine.State{}, e.failed("looking for container "+name, err)
	}
	return state(found.Container), nil
}

// state reads Docker's and Podman's words. A container that is being stopped, restarted or is paused still runs; one
// whose start was refused is "created" and neither runs nor has exited, whatever exit code the engine shows.
func state(c container.InspectResponse) engine.State {
	s := engine.State{ID: c.ID}
	if c.State == nil {
		return s
	}
	switch c.State.Status {
	case container.StateRunning, container.StatePaused, container.StateRestarting, "stopping":
		s.Running = true
	case container.StateExited, container.StateDead, container.StateRemoving, "stopped":
		s.Exited = true
		s.ExitCode = c.State.ExitCode
	}
	s.OOMKilled = c.State.OOMKilled
	s.Error = c.State.Error
	s.StartedAt = moment(c.State.StartedAt)
	s.FinishedAt = moment(c.State.FinishedAt)
	if s.Exited && s.FinishedAt.Before(s.StartedAt) {
		s.FinishedAt = s.StartedAt // Podman looks at the clock for the start when a short container has ended already
	}
	return s
}

// moment reads an engine's time; "never" is written as the year 1.
func moment(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || t.Year() <= 1 {
		return time.Time{}
	}
	return t
}

// Wait returns when the container does not run: at once when it was not started or has ended.
func (e *Engine) Wait(ctx context.Context, id string) (engine.State, error) {
	if err := e.wait(ctx, id); err != nil {
		return engine.State{}, e.failed("waiting for container "+id, err)
	}
	return e.Find(ctx, id)
}

func (e *Engine) wait(ctx context.Context, id string) error {
	a, err := e.ask(ctx)
	if err != nil {
		return err
	}
	if a.podman {
		// Podman 4's compatible wait asks every nanosecond and keeps a core busy.
		answer, err := e.libpod(ctx, "/containers/"+url.PathEscape(id)+"/wait", url.Values{"interval": {"250ms"}}, "")
		if err != nil {
			return err
		}
		return answer.Close()
	}
	// Both channels are read until one of them has spoken: the library ends with the context by itself.
	waiting := e.api.ContainerWait(ctx, id, client.ContainerWaitOptions{Condition: container.WaitConditionNotRunning})
	select {
	case err := <-waiting.Error:
		return err
	case result := <-waiting.Result:
		if result.Error != nil {
			return errors.New(result.Error.Message)
		}
		return nil
	}
}

// Stop asks the container to end and kills it after grace, in whole seconds, rounded up. One that does not run is fine.
func (e *Engine) Stop(ctx context.Context, id string, grace time.Duration) error {
	s, err := e.Find(ctx, id)
	if err != nil || !s.Running {
		return err
	}
	seconds := int((max(grace, 0) + time.Second - 1) / time.Second)
	_, err = e.api.ContainerStop(ctx, id, client.ContainerStopOptions{Timeout: &seconds})
	return e.failed("stopping container "+id, err)
}

// Remove deletes a container that does not run, and its anonymous volumes. Errors: engine.ErrNotFound.
func (e *Engine) Remove(ctx context.Context, id string) error {
	_, err := e.api.ContainerRemove(ctx, id, client.ContainerRemoveOptions{RemoveVolumes: true})
	return e.failed("removing container "+id, err)
}
