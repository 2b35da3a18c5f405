package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/client"

	"pierhead.dev/pierhead/engine"
)

// Pull fetches an image by digest from the agent's loopback end-point over plain HTTP, gives it its tags, drops the
// name that it was fetched by unless it would be its only one, and returns its id. One pull of a reference runs at a
// time: a second one would lose the name that the first one drops.
func (e *Engine) Pull(ctx context.Context, source engine.ImageSource) (string, error) {
	doing := "pulling " + source.Reference
	_, digest, ok := strings.Cut(source.Reference, "@")
	if !ok {
		return "", fmt.Errorf("%s: the reference has no digest", doing)
	}
	unlock, err := e.pulls.lock(ctx, source.Reference)
	if err != nil {
		return "", fmt.Errorf("%s: %w", doing, err)
	}
	defer unlock()
	if err := e.fetch(ctx, source); err != nil {
		return "", e.pullFailed(doing, source.Password, err)
	}
	image, err := e.api.ImageInspect(ctx, source.Reference)
	if err != nil {
		return "", e.failed(doing+": looking at the result", err)
	}
	if !slices.ContainsFunc(image.RepoDigests, func(name string) bool { return strings.HasSuffix(name, "@"+digest) }) {
		return "", fmt.Errorf("%s: the engine has an image of another digest by that name: %s", doing, strings.Join(image.RepoDigests, ", "))
	}
	if err := e.name(ctx, image.ID, source); err != nil {
		return "", err
	}
	return image.ID, nil
}

// pullFailed is failed for pulls: a 404 is the registry's there, not the engine's, so it is no engine.ErrNotFound. Engines
// are not known to repeat a password; if one did, it would stop here.
func (e *Engine) pullFailed(doing, password string, err error) error {
	if connectionLost(err) || errors.Is(err, engine.ErrUnreachable) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return e.failed(doing, err)
	}
	words := engineWords(err)
	if password != "" {
		words = strings.ReplaceAll(words, password, "…")
	}
	return fmt.Errorf("%s: %s", doing, words)
}

func (e *Engine) fetch(ctx context.Context, source engine.ImageSource) error {
	a, err := e.ask(ctx)
	if err != nil {
		return err
	}
	auth, err := registryAuth(source)
	if err != nil {
		return err
	}
	if a.podman {
		return e.fetchPodman(ctx, source.Reference, auth)
	}
	// Docker takes plain HTTP from 127.0.0.0/8 without being told.
	stream, err := e.api.ImagePull(ctx, source.Reference, client.ImagePullOptions{RegistryAuth: auth})
	if err != nil {
		return err
	}
	defer closeQuietly(stream)
	return stream.Wait(ctx)
}

// registryAuth is the X-Registry-Auth header: base64url, with padding, of a JSON object.
func registryAuth(source engine.ImageSource) (string, error) {
	if source.Username == "" {
		return "", nil
	}
	host, _, _ := strings.Cut(source.Reference, "/")
	auth, err := authconfig.Encode(registry.AuthConfig{Username: source.Username, Password: source.Password, ServerAddress: host})
	if err != nil {
		return "", errors.New("the login cannot be written as JSON") // the cause could quote it
	}
	return auth, nil
}

// fetchPodman pulls by Podman's own API: its compatible one always speaks TLS. The status is 200 before anything has
// happened; what went wrong is a line of the stream, and a stream without a result is a broken one.
func (e *Engine) fetchPodman(ctx context.Context, reference, auth string) error {
	stream, err := e.libpod(ctx, "/images/pull", url.Values{"reference": {reference}, "tlsVerify": {"false"}}, auth)
	if err != nil {
		return err
	}
	defer closeQuietly(stream)
	lines := json.NewDecoder(stream)
	done := false
	for {
		var line struct {
			Error string `json:"error"`
			ID    string `json:"id"`
		}
		err := lines.Decode(&line)
		switch {
		case errors.Is(err, io.EOF) && done:
			return nil
		case errors.Is(err, io.EOF):
			return fmt.Errorf("the answer broke off: %w", io.ErrUnexpectedEOF)
		case err != nil && ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return err
		case line.Error != "":
			return errors.New(line.Error)
		}
		done = done || line.ID != ""
	}
}

// name gives the image its tags and drops the name that it was fetched by. Another execution may move a tag to another
// image meanwhile, and dropping an image's last name deletes it, so all naming is done by one at a time.
func (e *Engine) name(ctx context.Context, id string, source engine.ImageSource) error {
	unlock, err := e.names.lock(ctx, "")
	if err != nil {
		return fmt.Errorf("naming image %s: %w", id, err)
	}
	defer unlock()
	for _, tag := range source.Tags {
		if _, err := e.api.ImageTag(ctx, client.ImageTagOptions{Source: id, Target: tag}); err != nil {
			return e.failed("tagging image "+id+" as "+tag, err)
		}
	}
	image, err := e.api.ImageInspect(ctx, id)
	if err != nil {
		return e.failed("looking at image "+id, err)
	}
	if len(image.RepoTags) == 0 {
		return nil
	}
	_, err = e.api.ImageRemove(ctx, source.Reference, client.ImageRemoveOptions{})
	if err != nil && !errdefs.IsNotFound(err) {
		err = e.failed("dropping the name "+source.Reference, err)
		if ctx.Err() != nil || errors.Is(err, engine.ErrUnreachable) {
			return err
		}
		e.log.Warn("the image keeps a name too many", "error", err) // it can be run all the same
	}
	return nil
}

// ImageID returns the id of an image that is already there by name or id. Errors: engine.ErrNotFound.
func (e *Engine) ImageID(ctx context.Context, name string) (string, error) {
	image, err := e.api.ImageInspect(ctx, name)
	if err != nil {
		return "", e.failed("looking for image "+name, err)
	}
	return image.ID, nil
}

// Platform returns the platform that an image says it is for, "linux/amd64", or "". Errors: engine.ErrNotFound.
func (e *Engine) Platform(ctx context.Context, imageID string) (string, error) {
	image, err := e.api.ImageInspect(ctx, imageID)
	if err != nil {
		return "", e.failed("looking at image "+imageID, err)
	}
	if image.Os == "" || image.Architecture == "" {
		return "", nil
	}
	return image.Os + "/" + image.Architecture, nil
}
