package enginetest

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"pierhead.dev/pierhead/engine"
)

// A Memory is an engine without containers: it really pulls, over HTTP with the login that it is given, and what it runs
// are Go functions. It can do what real engines do at the wrong moment, on demand. Set the fields before its first use.
type Memory struct {
	// Programs are what images may run, by absolute path. A path that is not in the image is no program of it.
	Programs map[string]Program
	// Now is the clock of its states; nil: time.Now.
	Now func() time.Time
	// OnCall, where it is set, is asked before every call, by the call's name ("Pull"), and after it ("Pull done"). An
	// error is the call's answer; after it, what the call did stays done.
	OnCall func(ctx context.Context, call string) error

	mu         sync.Mutex
	away       chan struct{} // closed while the engine is unreachable
	images     map[string]*memoryImage
	names      map[string]string // image name to id
	layers     map[v1.Hash][]string
	containers map[string]*memoryContainer // by name
	made       int
}

// A memoryImage is what a container needs to know of an image.
type memoryImage struct {
	config   v1.Config
	files    []string // absolute
	platform string
}

var (
	_ engine.Engine         = (*Memory)(nil)
	_ engine.PlatformTeller = (*Memory)(nil)
)

// NewMemory makes an engine without images and containers.
func NewMemory(programs map[string]Program) *Memory {
	return &Memory{
		Programs: programs, away: make(chan struct{}), images: make(map[string]*memoryImage), names: make(map[string]string),
		layers: make(map[v1.Hash][]string), containers: make(map[string]*memoryContainer),
	}
}

// GoAway makes every call answer ErrUnreachable, those that are under way too. Containers run on.
func (m *Memory) GoAway() {
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.away)
}

// ComeBack ends that.
func (m *Memory) ComeBack() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.away = make(chan struct{})
}

// Lose kills a container and forgets it.
func (m *Memory) Lose(name string) {
	m.mu.Lock()
	c := m.containers[name]
	delete(m.containers, name)
	m.mu.Unlock()
	if c != nil {
		c.kill()
	}
}

// Crash is the machine going down and coming back: nothing runs, and nothing has exited.
func (m *Memory) Crash() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.containers {
		c.crash()
	}
}

// Running lists the names of containers that run, Containers of all.
func (m *Memory) Running() []string {
	return m.list(func(c *memoryContainer) bool { return c.current().Running })
}

// Containers lists the names of all containers, sorted.
func (m *Memory) Containers() []string {
	return m.list(func(*memoryContainer) bool { return true })
}

func (m *Memory) list(wanted func(*memoryContainer) bool) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for name, c := range m.containers {
		if wanted(c) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Names lists all names of an image.
func (m *Memory) Names(id string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for name, of := range m.names {
		if of == id {
			names = append(names, name)
		}
	}
	return names
}

// call is around every call of the interface.
func call[T any](ctx context.Context, m *Memory, name string, do func(ctx context.Context) (T, error)) (T, error) {
	var none T
	m.mu.Lock()
	away := m.away
	m.mu.Unlock()
	reachable, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-away:
			cancel(engine.ErrUnreachable)
		case <-stop:
		}
	}()
	select {
	case <-away:
		return none, fmt.Errorf("%s: %w", name, engine.ErrUnreachable)
	case <-ctx.Done():
		return none, ctx.Err()
	default:
	}
	if err := m.ask(ctx, name); err != nil {
		return none, err
	}
	result, err := do(reachable)
	if cause := context.Cause(reachable); errors.Is(cause, engine.ErrUnreachable) && err != nil {
		err = fmt.Errorf("%s: %w", name, cause)
	}
	if late := m.ask(ctx, name+" done"); late != nil {
		return none, late
	}
	return result, err
}

func (m *Memory) ask(ctx context.Context, name string) error {
	if m.OnCall == nil {
		return nil
	}
	return m.OnCall(ctx, name)
}

func (m *Memory) now() time.Time {
	if m.Now == nil {
		return time.Now()
	}
	return m.Now()
}

// Version implements engine.Engine.
func (m *Memory) Version(ctx context.Context) (string, error) {
	return call(ctx, m, "Version", func(context.Context) (string, error) { return "podman 0 in memory", nil })
}

// Pull implements engine.Engine. A layer that is here is not fetched again.
func (m *Memory) Pull(ctx context.Context, source engine.ImageSource) (string, error) {
	return call(ctx, m, "Pull", func(ctx context.Context) (string, error) {
		reference, err := name.NewDigest(source.Reference)
		if err != nil {
			return "", err
		}
		fetched, err := remote.Image(reference, remote.WithContext(ctx), remote.WithRetryBackoff(remote.Backoff{Steps: 1}),
			remote.WithAuth(&authn.Basic{Username: source.Username, Password: source.Password}))
		if err != nil {
			return "", fmt.Errorf("pulling %s: %w", source.Reference, err)
		}
		id, err := m.keep(fetched)
		if err != nil {
			return "", fmt.Errorf("pulling %s: %w", source.Reference, err)
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, tag := range source.Tags {
			m.names[tag] = id
		}
		if len(source.Tags) == 0 {
			m.names[source.Reference] = id
		}
		return id, nil
	})
}

func (m *Memory) keep(fetched v1.Image) (id string, err error) {
	digest, err := fetched.ConfigName()
	if err != nil {
		return "", err
	}
	config, err := fetched.ConfigFile()
	if err != nil {
		return "", err
	}
	layers, err := fetched.Layers()
	if err != nil {
		return "", err
	}
	image := &memoryImage{config: config.Config, platform: config.OS + "/" + config.Architecture}
	for _, l := range layers {
		files, err := m.layer(l)
		if err != nil {
			return "", err
		}
		image.files = append(image.files, files...)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.images[digest.String()] = image
	return digest.String(), nil
}

// layer returns the names of a layer's files.
func (m *Memory) layer(l v1.Layer) (files []string, err error) {
	digest, err := l.Digest()
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	files, known := m.layers[digest]
	m.mu.Unlock()
	if known {
		return files, nil
	}
	content, err := l.Uncompressed()
	if err != nil {
		return nil, err
	}
	defer content.Close()
	archive := tar.NewReader(content)
	for {
		header, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		files = append(files, path.Clean("/"+header.Name))
	}
	if _, err := io.Copy(io.Discard, content); err != nil { // to its end, where it is verified
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.layers[digest] = files
	return files, nil
}

// ImageID implements engine.Engine.
func (m *Memory) ImageID(ctx context.Context, image string) (string, error) {
	return call(ctx, m, "ImageID", func(context.Context) (string, error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		if id, known := m.names[image]; known {
			return id, nil
		}
		if m.images[image] != nil {
			return image, nil
		}
		return "", fmt.Errorf("image %s: %w", image, engine.ErrNotFound)
	})
}

// Platform implements engine.PlatformTeller.
func (m *Memory) Platform(ctx context.Context, imageID string) (string, error) {
	return call(ctx, m, "Platform", func(context.Context) (string, error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		if image := m.images[imageID]; image != nil {
			return image.platform, nil
		}
		return "", fmt.Errorf("image %s: %w", imageID, engine.ErrNotFound)
	})
}

// program finds an image's program as an engine does: a path, or a name in PATH.
func (i *memoryImage) program(argv0 string, environment []string) (string, bool) {
	if strings.Contains(argv0, "/") {
		return argv0, slices.Contains(i.files, argv0)
	}
	for _, variable := range environment {
		if list, ok := strings.CutPrefix(variable, "PATH="); ok {
			for _, directory := range strings.Split(list, ":") {
				if file := path.Join(directory, argv0); slices.Contains(i.files, file) {
					return file, true
				}
			}
		}
	}
	return "", false
}
