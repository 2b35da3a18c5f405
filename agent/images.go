package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/internal/durable"
)

// proofLife is how long a proved access to an image on this node counts.
const proofLife = time.Hour

// maxKnownImages bounds what is remembered; the oldest proofs go first.
const maxKnownImages = 4096

// A knownImage is an image that one project pulled to this node, and when its access was proved.
type knownImage struct {
	Progress pierhead.Progress // digest, platform digest, registry, anonymous
	ImageID  string            // the engine's
	ProvedAt time.Time
}

// images remembers what was pulled by whom: an image that lies on the node is no permission to use it.
type images struct {
	path string
	log  *slog.Logger
	mu   sync.Mutex
	by   map[string]knownImage // by scope and reference
	now  func() time.Time
}

func openImages(path string, log *slog.Logger, now func() time.Time) *images {
	known := &images{path: path, log: log, now: now, by: make(map[string]knownImage)}
	if text, err := os.ReadFile(path); err == nil {
		if err := json.Unmarshal(text, &known.by); err != nil {
			log.Warn("the list of pulled images is unreadable and begun anew", "error", err)
			known.by = make(map[string]knownImage)
		}
	}
	return known
}

func (i *images) remember(scope string, reference image.Reference, p pierhead.Progress, imageID string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.by[scope+" "+reference.String()] = knownImage{
		Progress: pierhead.Progress{Digest: p.Digest, PlatformDigest: p.PlatformDigest, Registry: p.Registry, Anonymous: p.Anonymous},
		ImageID:  imageID, ProvedAt: i.now(),
	}
	i.trim()
	text, err := json.Marshal(i.by)
	if err == nil {
		err = durable.WriteFile(durable.OS{}, i.path, text)
	}
	if err != nil {
		i.log.Warn("the list of pulled images is not kept", "error", err)
	}
}

// trim drops proofs that do not count any more, and then the oldest ones that are too many.
func (i *images) trim() {
	maps.DeleteFunc(i.by, func(_ string, known knownImage) bool { return i.now().Sub(known.ProvedAt) >= proofLife })
	if len(i.by) <= maxKnownImages {
		return
	}
	oldest := slices.SortedFunc(maps.Keys(i.by), func(x, y string) int { return i.by[x].ProvedAt.Compare(i.by[y].ProvedAt) })
	for _, key := range oldest[:len(i.by)-maxKnownImages] {
		delete(i.by, key)
	}
}

func (i *images) proved(scope string, reference image.Reference) (knownImage, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	known, ok := i.by[scope+" "+reference.String()]
	return known, ok && i.now().Sub(known.ProvedAt) < proofLife
}

// scope is who proved an access: the project.
func (r *run) scope() string { return r.rec.Execution.ProjectID }

// local finds the image on the node where the pull policy prefers that, for a project that has proved its access.
func (r *run) local(ctx context.Context, reference image.Reference) (imageID string, ok bool, err error) {
	policy := r.rec.Execution.Spec.PullPolicy
	if policy != pierhead.PullIfNotPresent && policy != pierhead.PullNever {
		return "", false, nil
	}
	known, proved := r.agent.images.proved(r.scope(), reference)
	if before := r.rec.Progress.Digest; before != "" && before != known.Progress.Digest {
		proved = false // an earlier start said another digest, and that one counts
	}
	if proved {
		err := r.agent.reach(ctx, "looking for an image", func() error {
			_, err := r.agent.Engine.ImageID(ctx, known.ImageID)
			return err
		})
		if err == nil {
			return known.ImageID, true, r.useLocal(known)
		}
	}
	if policy == pierhead.PullNever {
		return "", false, pierhead.NewProblem(pierhead.ErrPull,
			fmt.Sprintf("%s is not on this node, or this project did not prove its access within the last hour, and the pull policy is %q", reference, policy),
			"run it once with the pull policy always or if-not-present")
	}
	return "", false, nil
}

func (r *run) useLocal(known knownImage) error {
	var lines []string
	if r.rec.Progress.Digest == "" {
		lines = []string{"Image digest: " + known.Progress.Digest}
	}
	return r.update(func(p *pierhead.Progress) {
		p.Digest, p.PlatformDigest, p.Registry, p.Anonymous =
			known.Progress.Digest, known.Progress.PlatformDigest, known.Progress.Registry, known.Progress.Anonymous
	}, lines...)
}
