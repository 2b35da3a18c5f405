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

	"pierhead.dev/pierhead/test/internal/machine"
)

// The doors, and what of them is used.
const (
	helper = "helper"
	mirror = "mirror"     // as the program's configuration says
	byName = "named"      // the mirror, as part of the image's name
	forHub = "hub-mirror" // the mirror, for Docker Hub's images only
)

// A way is a program that pulls by a door.
type way struct {
	program string
	door    string
	shows   string // whose reasons it shows to its user
}

// ways are all.
var ways = []way{
	{"docker", helper, helper},
	{"podman", helper, helper},
	{"buildah", helper, helper},
	{"skopeo", helper, helper},
	{"crane", helper, helper},
	{"containerd", mirror, ""},
	{"podman", mirror, helper}, // which it asks where the mirror has nothing for it
	{"buildah", mirror, helper},
	{"skopeo", mirror, helper},
	{"docker", byName, ""},
	{"crane", byName, mirror},
	{"docker", forHub, ""},
}

// logins are those that the ways by a door are for.
func (w *world) logins(door string) []*machine.Login {
	switch door {
	case helper:
		return []*machine.Login{w.alice}
	case forHub:
		return []*machine.Login{w.erin}
	}
	return []*machine.Login{w.carol, w.dave}
}

// setUp is what somebody types who has a program and an agent and brings them together.
func (w way) setUp(t *testing.T, h *home) {
	t.Helper()
	switch {
	case w.door == byName: // nothing
	case w.door == forHub:
		h.must(t, "pier", "node", "setup", "docker", "--daemon-config", filepath.Join(h.w.dockerd(), "d.json"))
		h.w.reloadDockerd(t)
	case w.door == helper && (w.program == "docker" || w.program == "crane"):
		h.must(t, "pier", "node", "setup", "docker", "--daemon-config", "")
	case w.door == helper: // as an administrator prints it for others
		h.write(t, ".config/containers/auth.json", h.w.Must(t, "export", "containers-auth", "--org", "acme"))
	case w.program == "containerd":
		h.must(t, "pier", "node", "setup", "containerd", "--config", h.w.containerdConfig(), "--certs-dir", filepath.Join(h.dir, "certs.d"))
		h.w.containerd.Kill()
		h.w.startContainerd(t)
	default:
		h.must(t, "pier", "node", "setup", "podman")
	}
}

// named is what is typed for an image by this way.
func (w way) named(image string) string {
	host, rest, _ := strings.Cut(image, "/")
	switch w.door {
	case byName:
		return mirrorHost + "/" + strings.Replace(host, ":", "_", 1) + "/" + rest
	case forHub:
		return rest
	}
	return image
}

// pull pulls an image as it is named, and returns the digest of the configuration that came. said is all that the program
// said. bare tells that nothing is set up, so that nobody has heard that the registry is without TLS.
func (w way) pull(t *testing.T, h *home, name string, bare bool) (id, said string, err error) {
	t.Helper()
	var plain []string
	if bare || w.door == helper {
		plain = []string{"--tls-verify=false"}
	}
	switch w.program {
	case "podman", "buildah":
		id, said, err = h.run(t, append(append([]string{w.program, "pull", "--quiet"}, plain...), name)...)
		return "sha256:" + id, said, err
	case "skopeo":
		return h.skopeo(t, plain, name)
	case "crane":
		return h.crane(t, name)
	case "containerd":
		return h.run(t, "cri", h.w.runtime(), "pull", name)
	case "docker":
		if _, said, err = h.run(t, "docker", "pull", "--quiet", name); err == nil {
			id = h.must(t, "docker", "image", "inspect", "--format", "{{.Id}}", name)
		}
		return id, said, err
	}
	return "", "", fmt.Errorf("nobody knows how %s pulls", w.program)
}

func (h *home) skopeo(t *testing.T, plain []string, name string) (id, said string, err error) {
	t.Helper()
	to := filepath.Join(h.dir, "pulled")
	must(t, os.RemoveAll(to))
	if plain != nil {
		plain = []string{"--src-tls-verify=false"}
	}
	if _, said, err = h.run(t, append(append([]string{"skopeo", "copy", "--quiet"}, plain...), "docker://"+name, "dir:"+to)...); err != nil {
		return "", said, err
	}
	text, err := os.ReadFile(filepath.Join(to, "manifest.json"))
	must(t, err)
	var manifest v1.Manifest
	must(t, json.Unmarshal(text, &manifest))
	return manifest.Config.Digest.String(), said, nil
}

func (h *home) crane(t *testing.T, name string) (id, said string, err error) {
	t.Helper()
	to := filepath.Join(h.dir, "pulled.tar")
	if _, said, err = h.run(t, "crane", "pull", name, to); err != nil {
		return "", said, err
	}
	content, err := tarball.ImageFromPath(to, nil)
	must(t, err)
	digest, err := content.ConfigName()
	must(t, err)
	return digest.String(), said, nil
}
