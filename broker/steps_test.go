package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/credential"
	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/secret"
	"pierhead.dev/pierhead/secret/secrettest"
)

// A cloud is an exchange that makes logins of the node's identity, and of keys.
type cloud struct {
	mu       sync.Mutex
	identity string // whose the node is; "" for nobody's
	user     string // of its logins; "" is AWS
	fails    error
	requests []exchange.Request
}

func (c *cloud) Exchange(_ context.Context, r exchange.Request) (credential.Credential, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests = append(c.requests, r)
	switch {
	case c.fails != nil:
		return credential.Credential{}, c.fails
	case r.Identity && c.identity == "":
		return credential.Credential{}, &exchange.Error{Kind: exchange.ErrNoIdentity, Text: "this node is nobody there"}
	}
	who := c.identity
	if !r.Identity {
		who = string(r.Secret.Reveal())
	}
	if r.AssumeRole != "" {
		who = r.AssumeRole + "/" + r.ExternalID
	}
	return credential.New(cmp.Or(c.user, "AWS"), fmt.Sprintf("token-%d", len(c.requests)), time.Now().Add(12*time.Hour), []string{r.Host}).WithPrincipal(who), nil
}

const ecrHost = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"

func (n *node) with(c *cloud) *node {
	n.Exchangers[pierhead.RegistryECR] = c
	return n
}

func (n *node) explain(q Question) api.Explanation {
	n.t.Helper()
	e, err := n.Explain(n.t.Context(), alice, q, q.OrganizationID)
	if err != nil {
		n.t.Fatal(err)
	}
	return e
}

const nodeRole = "arn:aws:sts::123456789012:assumed-role/cld_1-cluster_node_role/i-0abc"

// A14: with nothing configured, the node's role pulls from its cloud's registries, and explain names the principal.
func TestA14NodeIdentity(t *testing.T) {
	for _, c := range []struct {
		name, image string
		change      func(*node, *cloud, *Question)
		registry    string // whose login it is
		why         string // what step 3 says
	}{
		{name: "an image at ECR", image: ecrHost + "/team/app:v1", registry: "node identity", why: "at a registry of type ecr"},
		{name: "ECR Public", image: "public.ecr.aws/acme/app:v1", registry: "node identity", why: "at a registry of type ecr"},
		{name: "another host", image: "quay.io/acme/app:v1", why: "not at a registry of a cloud"},
		{name: "P18 a look-alike", image: ecrHost + ".evil.com/team/app:v1", why: "not at a registry of a cloud"},
		{name: "a cloud that this node does not know", image: "myregistry.azurecr.io/app:v1", why: "not at a registry of a cloud"},
		{name: "a node without identity", image: ecrHost + "/team/app:v1", change: func(_ *node, c *cloud, _ *Question) { c.identity = "" }, why: "this node has no identity in that cloud"},
		{name: "V2 a personal project", image: ecrHost + "/team/app:v1", change: func(_ *node, _ *cloud, q *Question) { q.Personal, q.OrganizationID = true, "" }, why: "personal projects"},
		{name: "switched off", image: ecrHost + "/team/app:v1", change: func(n *node, _ *cloud, _ *Question) { n.IdentityFor = []image.Pattern{} }, why: "does not lend its identity"},
		{name: "limited to others", image: ecrHost + "/team/app:v1", change: func(n *node, _ *cloud, _ *Question) { n.IdentityFor = patterns(t, ecrHost+"/other/*") }, why: "does not lend its identity"},
		{name: "limited to this", image: ecrHost + "/team/app:v1", change: func(n *node, _ *cloud, _ *Question) { n.IdentityFor = patterns(t, "*.dkr.ecr.*.amazonaws.com/team/*") }, registry: "node identity", why: "at a registry of type ecr"},
	} {
		t.Run(c.name, func(t *testing.T) {
			aws := &cloud{identity: nodeRole}
			n := newNode(t).with(aws)
			q := ask(t, c.image)
			if c.change != nil {
				c.change(n, aws, &q)
			}
			access, err := n.Open(t.Context(), alice, q)
			if err != nil || access.Registry() != c.registry || access.GaveUp() != nil {
				t.Fatalf("the login of %q: %v, %v", access.Registry(), access.GaveUp(), err)
			}
			e := n.explain(q)
			taken := c.registry != ""
			if e.Steps[2].Taken != taken || e.Steps[3].Taken == taken || !strings.Contains(e.Steps[2].Why, c.why) {
				t.Errorf("steps %+v", e.Steps)
			}
			if taken && (e.Outcome != api.OutcomeIdentity || e.Credential.Principal != nodeRole || !strings.Contains(e.Sentence, nodeRole)) {
				t.Errorf("explained as %s: %s (%+v)", e.Outcome, e.Sentence, e.Credential)
			}
		})
	}
}

func patterns(t *testing.T, texts ...string) (out []image.Pattern) {
	for _, text := range texts {
		p, err := image.ParsePattern(text)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

// Nobody asked for the node's identity: whatever keeps it from making a login, the pull goes on without.
func TestNodeIdentityNeverBreaksAPull(t *testing.T) {
	for _, kind := range []error{exchange.ErrRefused, exchange.ErrUnreachable, exchange.ErrContent, exchange.ErrHostMismatch} {
		n := newNode(t).with(&cloud{identity: nodeRole, fails: &exchange.Error{Kind: kind, Text: "ecr says no", Hint: "attach a policy"}})
		access, err := n.Open(t.Context(), alice, ask(t, ecrHost+"/team/app:v1"))
		if err != nil || access.Registry() != "" || access.GaveUp() == nil || !strings.Contains(access.GaveUp().Error(), "ecr says no") || pierhead.HintOf(access.GaveUp()) != "attach a policy" {
			t.Errorf("%v: %v", kind, err)
		}
		if n.events.kinds() != "pull.anonymous" {
			t.Errorf("events %q", n.events.kinds())
		}
	}
	// A registry that somebody configured with the identity is another matter.
	entry := generic("ecr", func(r *pierhead.Registry) {
		r.Type, r.Credential = pierhead.RegistryECR, pierhead.RegistryCredential{Identity: pierhead.IdentityNode}
	}, ecrHost+"/*")
	for _, kind := range []error{exchange.ErrUnreachable, exchange.ErrNoIdentity, exchange.ErrContent} {
		n := newNode(t, entry).with(&cloud{identity: nodeRole, fails: &exchange.Error{Kind: kind, Text: "ecr says no"}})
		_, err := n.Open(t.Context(), alice, ask(t, ecrHost+"/team/app:v1"))
		if !errors.Is(err, kind) {
			t.Errorf("%v: %v", kind, err)
		}
		readsWell(t, err, ecrHost+"/team/app:v1")
	}
}

// What a registry says of its identity reaches the exchange; an organization without an external id of its own is told
// apart by its id.
func TestWhatTheExchangeIsTold(t *testing.T) {
	aws := &cloud{identity: nodeRole}
	role := func(id string) func(*pierhead.Registry) {
		return func(r *pierhead.Registry) {
			r.Type = pierhead.RegistryECR
			r.Credential = pierhead.RegistryCredential{Identity: pierhead.IdentityNode, AssumeRole: "arn:aws:iam::999999999999:role/puller", ExternalID: id}
		}
	}
	n := newNode(t, generic("a", role(""), ecrHost+"/a/*"), generic("b", role("chosen"), ecrHost+"/b/*")).with(aws)
	for path, want := range map[string]string{"a/app": "arn:aws:iam::999999999999:role/puller/org_acme", "b/app": "arn:aws:iam::999999999999:role/puller/chosen"} {
		if e := n.explain(ask(t, ecrHost+"/"+path)); e.Credential == nil || e.Credential.Principal != want || e.Credential.Source != "the node's identity" {
			t.Errorf("%s: %+v", path, e.Credential)
		}
	}
	if r := aws.requests[0]; r.Out == nil || !r.Identity || !r.Secret.Empty() || r.Host != ecrHost {
		t.Errorf("asked with %+v", r)
	}
}

// An exchange that remembers logins is told which of them the registry did not accept.
func TestTheExchangeIsToldWhatWasRefused(t *testing.T) {
	r, aws := newRemote(t, false), &cloud{user: "ci"}
	n := newNode(t, r.registry())
	n.Exchangers[pierhead.RegistryGeneric] = aws
	n.write("team", "whatever", "")
	r.set(func() { r.password = "token-2" })
	if _, _, err := n.resolve(r.host + "/team/app:v1"); err != nil {
		t.Fatal(err)
	}
	first := credential.New("ci", "token-1", time.Time{}, []string{r.host}).ID()
	if len(aws.requests) != 2 || aws.requests[0].Refused != "" || aws.requests[1].Refused != first {
		t.Errorf("asked with %+v", aws.requests)
	}
}

// A5 A11: the execution's registry_login_secret comes before every registry, and its login goes to the hosts that it names.
func TestA11RegistryLoginSecret(t *testing.T) {
	r := newRemote(t, false)
	n := newNode(t, r.registry())
	n.write("team", "the registry's own", "")
	n.write("mine", r.password, r.host)
	q := ask(t, r.host+"/team/app:v1")
	q.LoginSecret = "file:mine"
	access, err := n.Open(t.Context(), alice, q)
	if err != nil || access.Registry() != "registry_login_secret" {
		t.Fatalf("the login of %q: %v", access.Registry(), err)
	}
	if d, err := access.Resolve(t.Context(), "team/app", "v1"); err != nil || d.Digest != r.manifest {
		t.Errorf("%v, %v", d.Digest, err)
	}
	if _, sent := r.count("the registry's own"); sent != 0 {
		t.Error("the registry's login was sent too")
	}
	if e := n.explain(q); e.Outcome != api.OutcomeSecret || !e.Steps[0].Taken || e.Credential.Source != "secret file:mine" {
		t.Errorf("explained as %+v", e)
	}
	n.keepsSecret(r.password)
}

func TestA5RegistryLoginSecretForAnotherHost(t *testing.T) {
	r := newRemote(t, false)
	n := newNode(t, r.registry())
	n.write("team", r.password, "")
	n.write("other", "for somebody else", "other.example.com")
	n.write("nobody", "for nobody", "")
	q := ask(t, r.host+"/team/app:v1")
	// Another server: not a byte of it goes there, and the one anonymous pull follows; never the registry's own login.
	q.LoginSecret = "file:other"
	access, err := n.Open(t.Context(), alice, q)
	if err != nil || access.Registry() != "" || access.GaveUp() == nil || !strings.Contains(access.GaveUp().Error(), "other.example.com") {
		t.Fatalf("%v", err)
	}
	_, err = access.Resolve(t.Context(), "team/app", "v1")
	readsWell(t, err, q.Reference.String())
	// A secret that names no host is refused, although the registry's match has just one.
	q.LoginSecret = "file:nobody"
	_, err = n.Open(t.Context(), alice, q)
	if !errors.Is(err, exchange.ErrContent) {
		t.Errorf("%v", err)
	}
	readsWell(t, err, q.Reference.String())
	// One that is not there is an error too.
	q.LoginSecret = "file:nothing"
	if _, err = n.Open(t.Context(), alice, q); !errors.Is(err, secret.ErrNotFound) {
		t.Errorf("%v", err)
	}
	for _, password := range []string{r.password, "for somebody else", "for nobody"} {
		if _, sent := r.count(password); sent != 0 {
			t.Errorf("%q was sent", password)
		}
	}
}

// A personal project has its own secret and no registry's settings.
func TestPersonalProjectWithASecret(t *testing.T) {
	n := newNode(t, generic("hub", nil, "docker.io/*"))
	n.write("mine", "password", "docker.io")
	q := ask(t, "docker.io/me/app:v1")
	q.Personal, q.OrganizationID, q.LoginSecret = true, "", "file:mine"
	access, err := n.Open(t.Context(), alice, q)
	if err != nil || access.Registry() != "registry_login_secret" {
		t.Fatalf("the login of %q: %v", access.Registry(), err)
	}
}

// A rotatedSource also has what was before.
type rotatedSource struct {
	secrettest.Memory
	before map[string]string
}

func (s *rotatedSource) Previous(_ context.Context, ref secret.Ref) (secret.Value, error) {
	if text, ok := s.before[ref.Name()]; ok {
		return secret.NewValue([]byte(text)), nil
	}
	return secret.Value{}, &secret.Error{Kind: secret.ErrNotFound, Ref: ref, Text: "nothing before"}
}

// P13: during a rotation the secret is ahead of the account, or behind it; either way the pull finds the login that works.
func TestP13RotationInTheMiddle(t *testing.T) {
	r := newRemote(t, false)
	entry := r.registry()
	entry.Credential.Secret = "memory:team"
	login := func(password string) string {
		return fmt.Sprintf(`{"username":"ci","password":%q,"server":%q}`, password, r.host)
	}
	for _, c := range []struct {
		name, current, previous string
		works                   bool
	}{
		{"the secret is ahead", login("not yet"), login(r.password), true},
		{"the account is ahead", login(r.password), login("no more"), true},
		{"neither", login("not yet"), login("no more"), false},
		{"nothing before", login("not yet"), "", false},
		{"nonsense before", login("not yet"), "{", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newNode(t, entry)
			source := &rotatedSource{before: map[string]string{}}
			source.Put("team", []byte(c.current))
			if c.previous != "" {
				source.before["team"] = c.previous
			}
			n.Secrets = source
			d, access, err := n.resolve(r.host + "/team/app:v1")
			if c.works != (err == nil && d == r.manifest && access.Registry() == "team") {
				t.Errorf("%v by %q: %v", d, access.Registry(), err)
			}
			n.keepsSecret(r.password)
		})
	}
}

// P6: one secret with a login for each part of a host: whoever asks, in whatever order and at once, gets the one of the
// repository.
func TestP6LoginsForPartsOfAHost(t *testing.T) {
	n := newNode(t, generic("quay", nil, "quay.io/*"))
	text := `{"auths":{"quay.io/one":{"username":"one+robot","password":"first-password"},"quay.io/two":{"username":"two+robot","password":"second-password"}}}`
	if err := os.WriteFile(filepath.Join(n.secrets, "quay"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for i := range 60 {
		group.Go(func() {
			part := []string{"one", "two", "three"}[i%3]
			q := ask(t, "quay.io/"+part+"/app:v1")
			c, err := n.credential(t.Context(), decision{step: stepRegistry, lender: n.Registries.(tables)["org_acme"][0]}, q.Reference, nil)
			if part == "three" {
				if !errors.Is(err, exchange.ErrHostMismatch) {
					t.Errorf("%s: %v, %v", part, c, err)
				}
			} else if err != nil || c.Username() != part+"+robot" {
				t.Errorf("%s: %v, %v", part, c, err)
			}
		})
	}
	group.Wait()
}
