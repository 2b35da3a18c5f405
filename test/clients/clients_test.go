package clients

import (
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"pierhead.dev/pierhead/test/internal/machine"
)

// refused is how clients tell of a registry's 401 or 403: in words, as a number may be part of an address.
var refused = regexp.MustCompile(`(?i)denied|unauthorized|authentication required|forbidden|invalid username/password`)

func TestClients(t *testing.T) {
	h, seen := watched(t)
	dir := machine.Scratch(t, machine.Remove(t))
	big := bigArchive(t, dir)
	small := makeArchive(t, filepath.Join(dir, "small.tar"), "example.test/made/small:1", "amd64", machine.Random(10))
	for _, program := range clients {
		t.Run(program.name, func(t *testing.T) {
			machine.Need(t, program.needs...)
			c := program.open(t, h)
			for _, who := range []person{h.alice, h.reader, h.eve} {
				must(t, c.login(who))
			}
			if err := c.login(person{"alice", "pier_pat_wrong"}); err == nil || !refused.MatchString(err.Error()) {
				t.Errorf("login with a wrong token: %v", err)
			}
			reference := h.host + "/acme/" + program.name
			testThereAndBack(t, h, c, big, reference)
			testRefusals(t, h, c, small, reference)
			seen.take()
			must(t, c.push(h.alice, big, h.host+"/acme/"+program.name+"-again:v1"))
			requests := seen.take()
			if mounted := count(requests, "POST ", "mount=", " 201"); mounted != program.mounts {
				t.Errorf("a push into a second repository mounted %d blobs, not %d:\n%s", mounted, program.mounts, strings.Join(requests, "\n"))
			}
		})
	}
}

// testThereAndBack pushes as a member, and pulls by tag and by digest as a member and with a read-only token.
func testThereAndBack(t *testing.T, h *house, c client, image archive, reference string) {
	t.Helper()
	must(t, c.push(h.alice, image, reference+":v1"))
	pushed, err := h.look(t, h.alice, reference+":v1")
	must(t, err)
	img, err := pushed.Image()
	must(t, err)
	file, err := img.ConfigFile()
	must(t, err)
	if !slices.Equal(file.RootFS.DiffIDs, image.diff) {
		t.Errorf("the layers %v arrived as %v", image.diff, file.RootFS.DiffIDs)
	}
	id, err := img.ConfigName()
	must(t, err)
	for _, pull := range []struct {
		who       person
		reference string
	}{{h.alice, reference + ":v1"}, {h.reader, reference + "@" + pushed.Digest.String()}} {
		got, err := c.pull(pull.who, pull.reference)
		if err != nil || got != id {
			t.Errorf("%s came back as %s, not %s: %v", pull.reference, got, id, err)
		}
	}
}

// testRefusals tries what strangers, nobody and a read-only token may not, and that it left nothing.
func testRefusals(t *testing.T, h *house, c client, image archive, reference string) {
	t.Helper()
	for _, who := range []person{h.eve, nobody, h.reader} {
		err := c.push(who, image, reference+":evil")
		if err == nil || !refused.MatchString(err.Error()) {
			t.Errorf("push by %s: %v", who.name, err)
		}
		if who == h.reader {
			continue
		}
		if _, err := c.pull(who, reference+":v1"); err == nil || !refused.MatchString(err.Error()) {
			t.Errorf("pull by %s: %v", who.name, err)
		}
	}
	if _, err := h.look(t, h.alice, reference+":evil"); !isStatus(err, http.StatusNotFound) {
		t.Errorf("a refused push left something: %v", err)
	}
}

func isStatus(err error, status int) bool {
	var answer *transport.Error
	return errors.As(err, &answer) && answer.StatusCode == status
}

// Copying between repositories that one may read moves no bytes.
func TestMount(t *testing.T) {
	h, seen := watched(t)
	c := openCrane(t, h)
	must(t, c.login(h.alice))
	must(t, c.login(h.eve))
	image := bigArchive(t, c.dir)
	must(t, c.push(h.alice, image, h.host+"/acme/app:v1"))
	seen.take()
	_, err := c.as(h.alice, "", "copy", h.host+"/acme/app:v1", h.host+"/acme/team/copied:v1")
	must(t, err)
	requests := seen.take()
	if mounted, uploaded := count(requests, "POST ", "mount=", " 201"), count(requests, "PATCH "); mounted < 3 || uploaded > 0 {
		t.Errorf("%d blobs were mounted and %d uploaded:\n%s", mounted, uploaded, strings.Join(requests, "\n"))
	}
	for _, repository := range []string{"app", "team/copied"} {
		if _, err := c.pull(h.alice, fmt.Sprintf("%s/acme/%s:v1", h.host, repository)); err != nil {
			t.Error(err)
		}
	}
	// Eve may not read what she would mount from.
	if _, err := c.as(h.eve, "", "copy", h.host+"/acme/app:v1", h.host+"/eve/stolen:v1"); err == nil || !refused.MatchString(err.Error()) {
		t.Errorf("eve copied: %v", err)
	}
}

// An index of several architectures goes in whole, by two programs, and each architecture is pulled out of it.
func TestIndex(t *testing.T) {
	machine.Need(t, "skopeo", "unshare")
	h := startHouse(t, machine.FreeAddress(t), "", "--engine", "none")
	s, c := openSkopeo(t, h), openCrane(t, h)
	must(t, s.login(h.alice))
	must(t, c.login(h.alice))
	digest := makeIndex(t, filepath.Join(s.dir, "index"))
	reference := h.host + "/acme/multi"
	_, err := c.as(h.alice, "", "push", "--index", filepath.Join(s.dir, "index"), reference+":crane")
	must(t, err)
	_, err = s.alone("", "skopeo", "copy", "--quiet", "--all", "--authfile", s.file(h.alice), s.trust("src-"), s.trust("dest-"), "docker://"+reference+":crane", "docker://"+reference+":skopeo")
	must(t, err)
	_, err = c.as(h.alice, "", "index", "append", "-m", reference+":crane", "-t", reference+":appended")
	must(t, err)
	var children []v1.Hash
	for _, tag := range []string{"crane", "skopeo", "appended"} {
		found, err := h.look(t, h.alice, reference+":"+tag)
		must(t, err)
		if tag == "crane" && found.Digest != digest { // Skopeo 1.9 writes every index anew, without what it does not know
			t.Errorf("the index %s arrived as %s", digest, found.Digest)
		}
		index, err := found.ImageIndex()
		must(t, err)
		manifest, err := index.IndexManifest()
		must(t, err)
		if len(manifest.Manifests) != 2 {
			t.Errorf("%s has %d manifests", tag, len(manifest.Manifests))
		}
		for _, child := range manifest.Manifests {
			if children = append(children, child.Digest); !slices.Contains(children[:min(2, len(children))], child.Digest) {
				t.Errorf("%s: %s was not in the index that was made", tag, child.Digest)
			}
			_, err := c.as(h.alice, "", "pull", "--platform", child.Platform.String(), reference+":"+tag, "child.tar")
			must(t, err)
			_, err = s.pull(h.alice, reference+"@"+child.Digest.String())
			must(t, err)
		}
	}
}

// Deleting is an organization's administrator's.
func TestDelete(t *testing.T) {
	machine.Need(t, "skopeo", "unshare")
	h := startHouse(t, machine.FreeAddress(t), "", "--engine", "none")
	c := openSkopeo(t, h)
	for _, who := range []person{h.boss, h.alice, h.reader, h.eve} {
		must(t, c.login(who))
	}
	image := makeArchive(t, filepath.Join(c.dir, "small.tar"), "example.test/made/small:1", "amd64", machine.Random(10))
	reference := h.host + "/acme/app:v1"
	must(t, c.push(h.alice, image, reference))
	remove := func(who person) error {
		_, err := c.alone("", "skopeo", "delete", "--authfile", c.file(who), c.trust(""), "docker://"+reference)
		return err
	}
	for _, who := range []person{h.alice, h.reader, h.eve, nobody} {
		if err := remove(who); err == nil || !refused.MatchString(err.Error()) {
			t.Errorf("delete by %s: %v", who.name, err)
		}
	}
	_, err := c.pull(h.alice, reference)
	must(t, err)
	must(t, remove(h.boss))
	if _, err := h.look(t, h.alice, reference); !isStatus(err, http.StatusNotFound) {
		t.Errorf("it is still there: %v", err)
	}
	if _, err := c.pull(h.alice, reference); err == nil {
		t.Error("it can still be pulled")
	}
}

// The hosted registry alone takes the tokens of the control plane's token service, of which it has the public key only.
func TestRegistryAlone(t *testing.T) {
	machine.Need(t, "skopeo", "unshare")
	h := startHouse(t, machine.FreeAddress(t), "", "--engine", "none")
	address := machine.FreeAddress(t)
	h.Serve(t, address, "alone", "server", "--only", "registry", "--token-key", h.Dir+"/data/server/token-key.pub", "--url", h.url, "--listen", address)
	apart := *h
	apart.host, apart.url = address, "http://"+address // the issuer stays
	c := openSkopeo(t, &apart)
	for _, who := range []person{h.alice, h.reader, h.eve} {
		must(t, c.login(who))
	}
	image := bigArchive(t, c.dir)
	testThereAndBack(t, &apart, c, image, address+"/acme/app")
	testRefusals(t, &apart, c, image, address+"/acme/app")
	if _, err := h.look(t, h.alice, h.host+"/acme/app:v1"); !isStatus(err, http.StatusNotFound) {
		t.Errorf("the control plane's own registry has it as well: %v", err)
	}
}
