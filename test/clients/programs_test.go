package clients

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"pierhead.dev/pierhead/test/internal/machine"
)

// A client is one program with folders of its own, and a login file of its own for each person.
type client interface {
	login(who person) error
	push(who person, image archive, reference string) error
	// pull fetches into an empty store and tells the digest of the configuration that came.
	pull(who person, reference string) (v1.Hash, error)
}

// clients are all that the tests know, and what each needs beside itself.
var clients = []struct {
	name   string
	needs  []string
	mounts int // layers that it mounts from a repository that it knows, when the same image goes to another one
	open   func(t *testing.T, h *house) client
}{
	{"podman", []string{"podman", "unshare"}, 3, func(t *testing.T, h *house) client { return openContainers(t, h, "podman") }},
	{"buildah", []string{"buildah", "unshare"}, 3, func(t *testing.T, h *house) client { return openContainers(t, h, "buildah") }},
	{"skopeo", []string{"skopeo", "unshare"}, 3, func(t *testing.T, h *house) client { return openSkopeo(t, h) }},
	{"crane", nil, 0, func(t *testing.T, h *house) client { return openCrane(t, h) }},
	{"docker", []string{"docker", "dockerd", "unshare"}, 3, func(t *testing.T, h *house) client { return openDocker(t, h) }},
}

// A shell calls one program with a fixed environment.
type shell struct {
	t   *testing.T
	h   *house
	dir string // scratch
	env []string
}

func newShell(t *testing.T, h *house, env ...string) shell {
	dir := machine.Scratch(t, machine.RemoveStore(t, "../setup/remove-store.sh"))
	for _, folder := range []string{"certs", "containers"} {
		must(t, os.Mkdir(filepath.Join(dir, folder), 0o700))
	}
	if h.ca != "" {
		must(t, os.WriteFile(filepath.Join(dir, "certs", "ca.crt"), []byte(h.ca), 0o600))
	}
	return shell{t, h, dir, append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "XDG_RUNTIME_DIR=" + dir}, env...)}
}

// call returns what the program wrote to stdout; its error has all that it said.
func (s shell) call(in string, words ...string) (string, error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, words[0], words[1:]...)
	command.Dir, command.Env, command.Stdin = s.dir, s.env, strings.NewReader(in)
	var out, said bytes.Buffer
	command.Stdout, command.Stderr = &out, &said
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s%s", strings.Join(words, " "), err, said.String(), out.String())
	}
	return strings.TrimSpace(out.String()), nil
}

// alone is a call whose mounts end with it, and whose caches of blobs and of stores are in the scratch folder: these
// programs keep them in /var/lib/containers, whatever the other flags say.
func (s shell) alone(in string, words ...string) (string, error) {
	const inside = `for place in /var/lib/containers /run/containers; do [ ! -d $place ] || mount --bind containers $place; done; exec "$@"`
	return s.call(in, append([]string{"unshare", "--mount", "--propagation", "private", "sh", "-ec", inside, "sh"}, words...)...)
}

// file is a person's login, empty for those who have not logged in.
func (s shell) file(who person) string {
	path := filepath.Join(s.dir, fmt.Sprintf("%s-%.16s", who.name, strings.TrimPrefix(who.token, "pier_pat_")), "config.json")
	if _, err := os.Stat(path); err != nil {
		must(s.t, os.MkdirAll(filepath.Dir(path), 0o700))
		must(s.t, os.WriteFile(path, []byte("{}"), 0o600))
	}
	return path
}

// trust are the flags with which a program of the containers project takes the house's TLS, or none.
func (s shell) trust(prefix string) string {
	if s.h.ca != "" {
		return "--" + prefix + "cert-dir=" + s.dir + "/certs"
	}
	return "--" + prefix + "tls-verify=false"
}

// Podman and Buildah have the same words for all of this but for reading an archive.
type containers struct {
	shell
	program string
}

func openContainers(t *testing.T, h *house, program string) client {
	return containers{newShell(t, h), program}
}

func (c containers) in(store string, words ...string) (string, error) {
	head := []string{c.program, "--root", filepath.Join(c.dir, store), "--runroot", filepath.Join(c.dir, store+"-run")}
	if c.program == "podman" {
		head = append(head, "--tmpdir", filepath.Join(c.dir, store+"-tmp"), "--events-backend", "file")
	}
	return c.alone("", append(head, words...)...)
}

func (c containers) login(who person) error {
	_, err := c.alone(who.token, c.program, "login", "--authfile", c.file(who), c.trust(""), "-u", who.name, "--password-stdin", c.h.host)
	return err
}

func (c containers) push(who person, image archive, reference string) error {
	if _, err := c.in("made", "pull", "--quiet", "docker-archive:"+image.path); err != nil {
		return err
	}
	_, err := c.in("made", "push", "--quiet", "--authfile", c.file(who), c.trust(""), image.tag, "docker://"+reference)
	return err
}

func (c containers) pull(who person, reference string) (v1.Hash, error) {
	if _, err := c.in("pulled", "rmi", "--all", "--force"); err != nil {
		return v1.Hash{}, err
	}
	id, err := c.in("pulled", "pull", "--quiet", "--authfile", c.file(who), c.trust(""), reference)
	if err != nil {
		return v1.Hash{}, err
	}
	return v1.NewHash("sha256:" + id)
}

type skopeo struct{ shell }

func openSkopeo(t *testing.T, h *house) skopeo { return skopeo{newShell(t, h)} }

func (c skopeo) login(who person) error {
	_, err := c.alone(who.token, "skopeo", "login", "--authfile", c.file(who), c.trust(""), "-u", who.name, "--password-stdin", c.h.host)
	return err
}

func (c skopeo) push(who person, image archive, reference string) error {
	_, err := c.alone("", "skopeo", "copy", "--quiet", "--dest-authfile", c.file(who), c.trust("dest-"), "docker-archive:"+image.path, "docker://"+reference)
	return err
}

func (c skopeo) pull(who person, reference string) (v1.Hash, error) {
	dir := filepath.Join(c.dir, "pulled")
	must(c.t, os.RemoveAll(dir))
	if _, err := c.alone("", "skopeo", "copy", "--quiet", "--src-authfile", c.file(who), c.trust("src-"), "docker://"+reference, "dir:"+dir); err != nil {
		return v1.Hash{}, err
	}
	text, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	must(c.t, err)
	var manifest v1.Manifest
	must(c.t, json.Unmarshal(text, &manifest))
	return manifest.Config.Digest, nil
}

type crane struct{ shell }

func openCrane(t *testing.T, h *house) crane { return crane{newShell(t, h)} }

func (c crane) as(who person, in string, words ...string) (string, error) {
	again := c.shell
	again.env = append(again.env[:len(again.env):len(again.env)], "DOCKER_CONFIG="+filepath.Dir(c.file(who)))
	if c.h.ca != "" {
		again.env = append(again.env, "SSL_CERT_DIR="+c.dir+"/certs")
	}
	return again.call(in, append([]string{built("crane")}, words...)...)
}

func (c crane) login(who person) error {
	if _, err := c.as(who, who.token, "auth", "login", c.h.host, "-u", who.name, "--password-stdin"); err != nil {
		return err
	}
	// crane only writes the login down. Asking is another command, which is denied to everybody whom the registry knows.
	_, err := c.as(who, "", "catalog", c.h.host)
	if err == nil || strings.Contains(err.Error(), "DENIED") {
		return nil
	}
	return err
}

func (c crane) push(who person, image archive, reference string) error {
	_, err := c.as(who, "", "push", image.path, reference)
	return err
}

func (c crane) pull(who person, reference string) (v1.Hash, error) {
	path := filepath.Join(c.dir, "pulled.tar")
	if _, err := c.as(who, "", "pull", reference, path); err != nil {
		return v1.Hash{}, err
	}
	img, err := tarball.ImageFromPath(path, nil)
	must(c.t, err)
	return img.ConfigName()
}

type docker struct{ shell }

func openDocker(t *testing.T, h *house) docker {
	s := newShell(t, h)
	s.env = append(s.env, "DOCKER_HOST="+machine.Dockerd(t, s.dir, false))
	return docker{s}
}

func (c docker) as(who person, in string, words ...string) (string, error) {
	return c.call(in, append([]string{"docker", "--config", filepath.Dir(c.file(who))}, words...)...)
}

func (c docker) login(who person) error {
	_, err := c.as(who, who.token, "login", "-u", who.name, "--password-stdin", c.h.host)
	return err
}

func (c docker) push(who person, image archive, reference string) error {
	if _, err := c.as(who, "", "load", "--quiet", "--input", image.path); err != nil {
		return err
	}
	if _, err := c.as(who, "", "tag", image.tag, reference); err != nil {
		return err
	}
	_, err := c.as(who, "", "push", "--quiet", reference)
	return err
}

func (c docker) pull(who person, reference string) (v1.Hash, error) {
	// Nothing that is left of the image may save the way.
	if _, err := c.as(who, "", "image", "prune", "--all", "--force"); err != nil {
		return v1.Hash{}, err
	}
	if _, err := c.as(who, "", "pull", "--quiet", reference); err != nil {
		return v1.Hash{}, err
	}
	id, err := c.as(who, "", "image", "inspect", "--format", "{{.Id}}", reference)
	if err != nil {
		return v1.Hash{}, err
	}
	return v1.NewHash(id)
}
