package runtimes

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// The doors.
const (
	helper = "helper"
	mirror = "mirror"
)

// A way is a program that pulls by a door, and how somebody who has both brings them together.
type way struct {
	program string
	door    string
	setUp   func(t *testing.T, h *home)
	named   func(image string) string // what is typed, for an image
	shows   bool                      // tells its user what the helper says
}

func (w way) name() string { return w.program + " by the " + w.door }

// ways are all.
var ways = []way{
	{"podman", helper, exportAuth, itself, true},
	{"buildah", helper, exportAuth, itself, true},
	{"skopeo", helper, exportAuth, itself, true},
	{"podman", mirror, setUpPodman, itself, true},
	{"buildah", mirror, setUpPodman, itself, true},
	{"skopeo", mirror, setUpPodman, itself, true},
}

// itself is the image's own name.
func itself(image string) string { return image }

// exportAuth writes auth.json with the helper in it, as an administrator prints it for others.
func exportAuth(t *testing.T, h *home) {
	h.write(t, ".config/containers/auth.json", h.w.Must(t, "export", "containers-auth", "--org", "acme"))
}

// setUpPodman has the machine's mirror asked first, and the helper where that is not there.
func setUpPodman(t *testing.T, h *home) { h.must(t, "pier", "node", "setup", "podman") }

// pull pulls an image, and returns the digest of the configuration that came. said is all that the program said.
func (w way) pull(t *testing.T, h *home, image string) (id, said string, err error) {
	t.Helper()
	name := w.named(image)
	switch w.program {
	case "podman", "buildah":
		id, said, err = h.run(t, append([]string{w.program, "pull", "--quiet"}, w.plain("--tls-verify=false", name)...)...)
		return "sha256:" + id, said, err
	case "skopeo":
		to := filepath.Join(h.dir, "pulled")
		must(t, os.RemoveAll(to))
		if _, said, err = h.run(t, append([]string{"skopeo", "copy", "--quiet"}, w.plain("--src-tls-verify=false", "docker://"+name, "dir:"+to)...)...); err != nil {
			return "", said, err
		}
		text, err := os.ReadFile(filepath.Join(to, "manifest.json"))
		must(t, err)
		var manifest v1.Manifest
		must(t, json.Unmarshal(text, &manifest))
		return manifest.Config.Digest.String(), said, nil
	case "crane":
		to := filepath.Join(h.dir, "pulled.tar")
		if _, said, err = h.run(t, "crane", "pull", name, to); err != nil {
			return "", said, err
		}
		content, err := tarball.ImageFromPath(to, nil)
		must(t, err)
		digest, err := content.ConfigName()
		must(t, err)
		return digest.String(), said, nil
	case "docker":
		if _, said, err = h.run(t, "docker", "pull", "--quiet", name); err == nil {
			id = h.must(t, "docker", "image", "inspect", "--format", "{{.Id}}", name)
		}
		return id, said, err
	}
	return "", "", fmt.Errorf("nobody knows how %s pulls", w.program)
}

// plain puts the flag before words by which the containers project's programs do without TLS. The mirror's configuration
// says so by itself.
func (w way) plain(flag string, words ...string) []string {
	if w.door == mirror {
		return words
	}
	return append([]string{flag}, words...)
}

// atMirror is an image's name at the mirror, as Docker knows no other way for hosts beside Docker Hub.
func atMirror(image string) string {
	host, rest, _ := strings.Cut(image, "/")
	return mirrorHost + "/" + strings.Replace(host, ":", "_", 1) + "/" + rest
}
