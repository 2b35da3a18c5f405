package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/engine"
	"pierhead.dev/pierhead/oci"
)

// A platformChoice is the manifest that this machine will run.
type platformChoice struct {
	digest string
	bytes  int64 // config and layers
}

// indexTypes are the media types that list manifests by platform.
var indexTypes = []string{ocispec.MediaTypeImageIndex, "application/vnd.docker.distribution.manifest.list.v2+json"}

// choosePlatform reads the manifest that a digest names and, where it is an index, the one of this machine's platform.
// An image for other platforms only is an error here, before a byte of it is fetched.
func choosePlatform(ctx context.Context, reader oci.Reader, repository, digest string) (platformChoice, error) {
	manifest, err := reader.Manifest(ctx, repository, digest)
	if err != nil {
		return platformChoice{}, err
	}
	if isIndex(manifest.MediaType) {
		var index ocispec.Index
		if err := json.Unmarshal(manifest.Content, &index); err != nil {
			return platformChoice{}, fmt.Errorf("index %s: %w", digest, err)
		}
		descriptor, err := forThisMachine(index.Manifests)
		if err != nil {
			return platformChoice{}, err
		}
		if manifest, err = reader.Manifest(ctx, repository, descriptor.Digest.String()); err != nil {
			return platformChoice{}, err
		}
	}
	var parsed ocispec.Manifest
	if err := json.Unmarshal(manifest.Content, &parsed); err != nil {
		return platformChoice{}, fmt.Errorf("manifest %s: %w", manifest.Digest, err)
	}
	choice := platformChoice{digest: manifest.Digest.String(), bytes: parsed.Config.Size}
	for _, layer := range parsed.Layers {
		choice.bytes += layer.Size
	}
	return choice, nil
}

// plainVariants are those of amd64 and arm64 that every such processor runs.
var plainVariants = []string{"", "v1", "v8"}

func isIndex(mediaType string) bool {
	for _, indexType := range indexTypes {
		if mediaType == indexType {
			return true
		}
	}
	return false
}

// forThisMachine chooses as engines do: of several, one that asks for no newer processor than every one of its kind is.
func forThisMachine(manifests []ocispec.Descriptor) (ocispec.Descriptor, error) {
	var others []string
	var newer *ocispec.Descriptor
	for _, m := range manifests {
		switch {
		case m.Platform == nil: // an index without platforms lists one image, or none that could be told apart
			if len(manifests) == 1 {
				return m, nil
			}
		case m.Platform.OS == "linux" && m.Platform.Architecture == runtime.GOARCH && slices.Contains(plainVariants, m.Platform.Variant):
			return m, nil
		case m.Platform.OS == "linux" && m.Platform.Architecture == runtime.GOARCH:
			if newer == nil {
				newer = &m
			}
		case m.Platform.OS != "unknown": // attestations say "unknown/unknown"
			others = append(others, m.Platform.OS+"/"+m.Platform.Architecture)
		}
	}
	if newer != nil {
		return *newer, nil
	}
	text := fmt.Sprintf("the image is not made for this node's platform linux/%s", runtime.GOARCH)
	if len(others) > 0 {
		text += ", only for: " + strings.Join(others, ", ")
	}
	return ocispec.Descriptor{}, pierhead.NewProblem(pierhead.ErrPull, text,
		"build and push it for linux/"+runtime.GOARCH+" too")
}

// tellPlatform notes once that the image says it is for another kind of machine: with an emulator in the kernel its
// programs run, without one all that they say is "exec format error". An index was chosen from and needs no such note.
func (r *run) tellPlatform(ctx context.Context, imageID string) error {
	teller, ok := r.agent.Engine.(engine.PlatformTeller)
	if !ok {
		return nil
	}
	var said string
	err := r.agent.reach(ctx, "looking at an image", func() (err error) {
		said, err = teller.Platform(ctx, imageID)
		return err
	})
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	here := "linux/" + runtime.GOARCH
	note := fmt.Sprintf("Note: the image says that it is made for %s, and this node is %s: without an emulator its programs do not start", said, here)
	if err != nil || said == "" || said == here || alsoRuns[here] == said || strings.Contains(r.rec.Head, note) {
		return nil // the engine says at the start what else is wrong
	}
	return r.update(func(*pierhead.Progress) {}, note)
}

// alsoRuns are the older platforms whose programs run on their successors.
var alsoRuns = map[string]string{"linux/amd64": "linux/386", "linux/arm64": "linux/arm"}
