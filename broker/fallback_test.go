package broker

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/oci"
	"pierhead.dev/pierhead/secret"
)

const marker = "m4rk-of-a-password"

// A fallback is one thing that an anonymous pull may follow, or may not.
type fallback struct {
	name             string
	password, server string // the secret's; HERE is the remote's host, RIGHT its password
	raw              string // the secret's content as it is, instead; "-": there is none
	down             error  // of the secret store
	tag              string // v1 when empty
	public, fail     bool   // the image is public; when_refused: fail
	uses             string // team, anonymously, or "" for neither
	says             []string
	is               []error
	sent             int // requests with the password
	asked            bool
	bearer           bool   // only there: by Basic, what is public is not asked a login for, and none is sent
	kinds            string // of the events
}

var fallbacks = []fallback{
	{name: "a good login", password: "RIGHT", server: "HERE", uses: "team", asked: true, kinds: "credential.used"},
	{name: "a login that names no host, where the pattern's is literal", password: "RIGHT", uses: "team", asked: true, kinds: "credential.used"},
	{name: "A5 another server, public", password: marker, server: "other.example.com", public: true, uses: "anonymously", asked: true, kinds: "pull.anonymous",
		says: []string{"the login of registry team was not used: the secret is for other.example.com"}},
	{name: "A5 another server, private", password: marker, server: "other.example.com", asked: true, kinds: "pull.anonymous",
		says: []string{"was not used (the secret is for other.example.com", "anonymous pull that followed failed too (127.0.0.1", "401"},
		is:   []error{exchange.ErrHostMismatch, oci.ErrUnauthorized}},
	{name: "A5 another server, fail", password: marker, server: "other.example.com", public: true, fail: true, kinds: "credential.refused",
		says: []string{"the login of registry team cannot be had: the secret is for other.example.com"}, is: []error{exchange.ErrHostMismatch}},
	{name: "P2 a dead login, public", bearer: true, password: marker, server: "HERE", public: true, uses: "anonymously", sent: 1, asked: true, kinds: "credential.used pull.anonymous",
		says: []string{"the login of registry team was not accepted: ", "401"}},
	{name: "P2 a dead login, private", password: marker, server: "HERE", sent: 1, asked: true, kinds: "credential.used pull.anonymous",
		says: []string{"the login of registry team was not accepted (", "401", "), and the anonymous pull that followed failed too ("}, is: []error{oci.ErrUnauthorized}},
	{name: "P2 a dead login, fail", bearer: true, password: marker, server: "HERE", public: true, fail: true, sent: 1, asked: true, kinds: "credential.used",
		says: []string{"cannot be pulled: the login of registry team was not accepted: ", "401"}, is: []error{oci.ErrUnauthorized}},
	{name: "no such secret", raw: "-", public: true, kinds: "credential.refused", says: []string{"the secret of registry team cannot be read on this node: secret file:team"}, is: []error{secret.ErrNotFound}},
	{name: "no secret store", down: fmt.Errorf("%w: nobody there", secret.ErrUnreachable), public: true, kinds: "credential.refused", says: []string{"cannot be read on this node"}, is: []error{secret.ErrUnreachable}},
	{name: "no issuer", down: fmt.Errorf("%w: nobody there", exchange.ErrUnreachable), public: true, kinds: "credential.refused", is: []error{exchange.ErrUnreachable}},
	{name: "a malformed secret", raw: `{"username":"ci","pasword":"` + marker + `"}`, public: true, kinds: "credential.refused", is: []error{exchange.ErrContent}},
	{name: "a good login, no such image", password: "RIGHT", server: "HERE", tag: "v9", asked: true, kinds: "credential.used",
		says: []string{"app:v9 was not found: 127.0.0.1", "404"}, is: []error{oci.ErrManifestUnknown}},
	{name: "a dead login, no such image", bearer: true, password: marker, server: "HERE", public: true, tag: "v9", sent: 1, asked: true, kinds: "credential.used pull.anonymous",
		says: []string{"was not accepted (", "401", "failed too (127.0.0.1", "404"}, is: []error{oci.ErrManifestUnknown, oci.ErrUnauthorized}},
}

func TestFallingBack(t *testing.T) {
	for _, bearer := range []bool{false, true} {
		for _, c := range fallbacks {
			if c.bearer && !bearer {
				continue
			}
			t.Run(fmt.Sprintf("%s, bearer %v", c.name, bearer), func(t *testing.T) { c.run(t, bearer) })
		}
	}
}

func (c fallback) run(t *testing.T, bearer bool) {
	r := newRemote(t, bearer)
	r.public = c.public
	registry := r.registry()
	if c.fail {
		registry.WhenRefused = pierhead.RefusedFail
	}
	n := newNode(t, registry)
	n.source.down = c.down
	password := c.writeSecret(t, n, r)
	written := r.host + "/team/app:" + cmp.Or(c.tag, "v1")
	d, access, err := n.resolve(written)
	says := used(t, r, c.uses, d, access, err)
	if err != nil {
		readsWell(t, err, written)
	}
	for _, part := range c.says {
		if !strings.Contains(says, part) {
			t.Errorf("%q does not say %q", says, part)
		}
	}
	for _, is := range c.is {
		if !errors.Is(err, is) {
			t.Errorf("%v is no %v", err, is)
		}
	}
	requests, sent := r.count(password)
	if (requests > 0) != c.asked || c.password == marker && sent != c.sent {
		t.Errorf("%d requests, the password in %d of them", requests, sent)
	}
	if kinds := n.events.kinds(); kinds != c.kinds {
		t.Errorf("events %q, want %q", kinds, c.kinds)
	}
	n.keepsSecret(marker, says, pierhead.HintOf(err))
}

// writeSecret returns the password in it.
func (c fallback) writeSecret(t *testing.T, n *node, r *remote) string {
	t.Helper()
	fill := strings.NewReplacer("RIGHT", r.password, "HERE", r.host)
	password := fill.Replace(c.password)
	switch c.raw {
	case "":
		n.write("team", password, fill.Replace(c.server))
	case "-":
	default:
		if err := os.WriteFile(filepath.Join(n.secrets, "team"), []byte(c.raw), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return password
}

// used checks by which way an image was read, and returns what is said about it.
func used(t *testing.T, r *remote, uses string, d digest.Digest, access *Access, err error) string {
	t.Helper()
	if uses == "" {
		if err == nil {
			t.Fatalf("resolved to %s, by %q", d, access.Registry())
		}
		return err.Error()
	}
	if err != nil || d != r.manifest {
		t.Fatalf("resolved to %s, want %s: %v", d, r.manifest, err)
	}
	gaveUp := access.GaveUp()
	if uses == "team" && (access.Registry() != "team" || gaveUp != nil) {
		t.Errorf("the login of %q, gave up because %v", access.Registry(), gaveUp)
	}
	if uses == "anonymously" {
		if access.Registry() != "" || gaveUp == nil {
			t.Fatalf("the login of %q, gave up because %v", access.Registry(), gaveUp)
		}
		return gaveUp.Error()
	}
	return ""
}

// readsWell: one sentence for people that names the image once, with a hint.
func readsWell(t *testing.T, err error, written string) {
	t.Helper()
	var problem *pierhead.Problem
	if !errors.As(err, &problem) || problem.Kind != pierhead.ErrPull {
		t.Fatalf("%v is no problem of a pull", err)
	}
	name := written[:strings.LastIndexByte(written, ':')]
	if text := err.Error(); strings.Count(text, name) != 1 || strings.HasSuffix(text, ".") || strings.Contains(text, "\n") {
		t.Errorf("not a sentence that names the image once: %s", text)
	}
	if problem.Hint == "" {
		t.Errorf("no hint for: %s", err)
	}
	t.Logf("%s\n  hint: %s", err, problem.Hint)
}

// The refused login is asked for once more, and no more often, whether the secret has a new one or not.
func TestP3RotatedLoginIsRenewedInThePull(t *testing.T) {
	for _, bearer := range []bool{false, true} {
		r := newRemote(t, bearer)
		n := newNode(t, r.registry())
		n.write("team", r.password, "")
		_, access, err := n.resolve(r.host + "/team/app:v1")
		if err != nil {
			t.Fatal(err)
		}
		old := r.password
		r.set(func() { r.password = "rotated" })
		n.write("team", "rotated", "")
		before := n.source.count()
		b, err := access.Blob(t.Context(), "team/app", r.layer, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		b.Close()
		if access.Registry() != "team" || n.source.count() != before+1 {
			t.Errorf("the login of %q, after %d readings of the secret", access.Registry(), n.source.count()-before)
		}
		n.keepsSecret(old)
	}
}

func TestRefusedLoginIsAskedForOnceMore(t *testing.T) {
	r := newRemote(t, true)
	r.public = true
	n := newNode(t, r.registry())
	n.write("team", marker, "")
	for range 3 { // and of the next pulls, the first only renews again after a while
		if _, _, err := n.resolve(r.host + "/team/app:v1"); err != nil {
			t.Fatal(err)
		}
	}
	if gets := n.source.count(); gets != 2 {
		t.Errorf("the secret was read %d times", gets)
	}
}

// The login is given up in the middle of a pull, and the rest of it is anonymous.
func TestP2LoginDiesInThePull(t *testing.T) {
	r := newRemote(t, true)
	r.public = true
	n := newNode(t, r.registry())
	n.write("team", r.password, "")
	_, access, err := n.resolve(r.host + "/team/app:v1")
	if err != nil {
		t.Fatal(err)
	}
	r.set(func() { r.password = "another" })
	done := make(chan error)
	for range 8 {
		go func() {
			b, err := access.Blob(t.Context(), "team/app", r.layer, 0, -1)
			if err == nil {
				err = b.Close()
			}
			done <- err
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if kinds := n.events.kinds(); kinds != "credential.used pull.anonymous" || access.Registry() != "" {
		t.Errorf("events %q, registry %q", kinds, access.Registry())
	}
}
