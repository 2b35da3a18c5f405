package broker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/oci"
)

func generic(name string, change func(*pierhead.Registry), match ...string) pierhead.Registry {
	r := pierhead.Registry{ID: "reg_" + name, OrganizationID: "org_acme", Name: name, Type: pierhead.RegistryGeneric, Enabled: true, Match: match,
		Credential: pierhead.RegistryCredential{Secret: "file:" + name}, Projects: pierhead.ProjectScope{All: true}}
	if change != nil {
		change(&r)
	}
	return r
}

func projects(names ...string) func(*pierhead.Registry) {
	return func(r *pierhead.Registry) { r.Projects = pierhead.ProjectScope{Names: names} }
}

// Which registry's login an image gets, without asking any registry. The names are those of the registries below.
func TestPrecedence(t *testing.T) {
	n := newNode(t,
		generic("hub", nil, "docker.io/acme/*"),
		generic("gcr", nil, "gcr.io/my-project/*"),
		generic("tagged", nil, "gcr.io/my-project/my-registry:v1"),
		generic("whole", nil, "registry.example.com/*"),
		generic("part", nil, "registry.example.com/team/*"),
		generic("speech", projects("speech"), "registry.example.com/team/*", "private.example.com/*"),
		generic("off", func(r *pierhead.Registry) { r.Enabled = false }, "registry.example.com/team/app", "off.example.com/*"),
		generic("open", func(r *pierhead.Registry) { r.Credential.Secret = "" }, "open.example.com/*"),
	)
	for _, name := range []string{"hub", "gcr", "tagged", "whole", "part", "speech"} {
		n.write(name, "password", "")
	}
	for _, c := range []struct{ name, image, project, want string }{
		{"V5 Docker Hub's names fold", "index.docker.io/acme/app", "vision", "hub"},
		{"V5 another owner", "docker.io/other/app", "vision", ""},
		{"V5 a path", "gcr.io/my-project/other:v1", "vision", "gcr"},
		{"V5 a pattern on the tag", "gcr.io/my-project/my-registry:v1", "vision", "tagged"},
		{"V5 another tag", "gcr.io/my-project/my-registry:v2", "vision", "gcr"},
		{"the most specific", "registry.example.com/team/app", "vision", "part"},
		{"no prefix of a segment", "registry.example.com/teammate/app", "vision", "whole"},
		{"no suffix of a host (P18)", "evilregistry.example.com/team/app", "vision", ""},
		{"another port (P18)", "registry.example.com:8443/team/app", "vision", ""},
		{"of equal patterns the one that lists the project", "registry.example.com/team/app", "speech", "speech"},
		{"a project that is not listed", "private.example.com/app", "vision", ""},
		{"a project that is not known", "private.example.com/app", "", ""},
		{"disabled", "off.example.com/app", "vision", ""},
		{"no credential", "open.example.com/app", "vision", ""},
		{"no registry", "quay.io/acme/app", "vision", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := ask(t, c.image)
			q.Project = c.project
			access, err := n.Open(t.Context(), alice, q)
			if err != nil || access.Registry() != c.want || access.GaveUp() != nil {
				t.Fatalf("the login of %q, want %q: %v", access.Registry(), c.want, err)
			}
		})
	}
}

// A personal project has no registries, whatever organization the door names beside.
func TestV2PersonalProject(t *testing.T) {
	r := newRemote(t, false)
	n := newNode(t, r.registry())
	n.write("team", r.password, "")
	q := ask(t, r.host+"/team/app:v1")
	q.Personal = true
	access, err := n.Open(t.Context(), alice, q)
	if err != nil || access.Registry() != "" || n.source.count() != 0 || n.events.kinds() != "" {
		t.Fatalf("the login of %q, %d secrets read, events %q: %v", access.Registry(), n.source.count(), n.events.kinds(), err)
	}
	// Nor do a registry's settings open the way there: a loopback address that only it lists.
	_, err = access.Resolve(t.Context(), "team/app", "v1")
	readsWell(t, err, q.Reference.String())
	if asked, _ := r.count(""); asked != 0 {
		t.Errorf("%d requests went to an address that is listed for a registry", asked)
	}
}

func TestAmbiguousIsAnError(t *testing.T) {
	n := newNode(t, generic("one", nil, "registry.example.com/*"), generic("two", nil, "registry.example.com/*"))
	_, err := n.Open(t.Context(), alice, ask(t, "registry.example.com/app:v1"))
	if !errors.Is(err, pierhead.ErrConflict) || !strings.Contains(err.Error(), "registry one (") || !strings.Contains(err.Error(), "registry two (") {
		t.Errorf("%v", err)
	}
	readsWell(t, err, "registry.example.com/app:v1")
}

func TestHostedRegistryGetsTheNodesLogin(t *testing.T) {
	entry := generic(pierhead.HostedRegistryName, func(r *pierhead.Registry) { r.Type, r.Credential.Secret = pierhead.RegistryHosted, "" }, hostedHost+"/acme/*")
	n := newNode(t, entry)
	access, err := n.Open(t.Context(), alice, ask(t, hostedHost+"/acme/app:v1"))
	if err != nil || access.Registry() != pierhead.HostedRegistryName {
		t.Fatalf("the login of %q: %v", access.Registry(), err)
	}
	// A snapshot that puts it elsewhere does not get the node's token there.
	entry.Match = []string{"elsewhere.example.com/acme/*"}
	n = newNode(t, entry)
	access, err = n.Open(t.Context(), alice, ask(t, "elsewhere.example.com/acme/app:v1"))
	if err != nil || access.Registry() != "" || access.GaveUp() == nil {
		t.Fatalf("the login of %q: %v", access.Registry(), err)
	}
	n.keepsSecret("the-nodes-token", access.GaveUp().Error())
}

func TestTypeWithoutExchangeFails(t *testing.T) {
	n := newNode(t, generic("later", func(r *pierhead.Registry) { r.Type = "ecr" }, "registry.example.com/*"))
	_, err := n.Open(t.Context(), alice, ask(t, "registry.example.com/app:v1"))
	readsWell(t, err, "registry.example.com/app:v1")
}

// A sealed login opens for the hosts it was sealed with, and for no others that the snapshot names later.
func TestSealedLogin(t *testing.T) {
	r := newRemote(t, true)
	entry := r.registry()
	key := newNode(t).keys
	entry.Credential = pierhead.RegistryCredential{Sealed: key.seal(t, entry, []string{r.host}, r.password)}
	n := newNode(t, entry)
	n.Sealed = key
	if _, access, err := n.resolve(r.host + "/team/app:v1"); err != nil || access.Registry() != "team" {
		t.Fatal(err)
	}
	entry.Match = append(entry.Match, "evil.example.com/*")
	n = newNode(t, entry)
	n.Sealed = key
	_, _, err := n.resolve(r.host + "/team/app:v1")
	readsWell(t, err, r.host+"/team/app:v1")
}

// An access is of one repository: the login is not for others, although it would open them.
func TestAccessReadsItsOwnRepository(t *testing.T) {
	r := newRemote(t, false)
	n := newNode(t, r.registry())
	n.write("team", r.password, "")
	_, access, err := n.resolve(r.host + "/team/app:v1")
	if err != nil {
		t.Fatal(err)
	}
	before, _ := r.count("")
	if _, err := access.Manifest(t.Context(), "team/other", "v1"); !errors.Is(err, oci.ErrDenied) {
		t.Errorf("%v", err)
	}
	if after, _ := r.count(""); after != before {
		t.Error("the registry was asked")
	}
}

// Who gave up waiting is told so, and it is nobody's failure.
func TestEndedContext(t *testing.T) {
	r := newRemote(t, true)
	n := newNode(t, r.registry())
	n.write("team", marker, "")
	q := ask(t, r.host+"/team/app:v1")
	access, err := n.Open(t.Context(), alice, q)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := access.Resolve(ctx, "team/app", "v1"); err != ctx.Err() {
		t.Errorf("%v", err)
	}
	if access.GaveUp() != nil || n.events.kinds() != "credential.used" {
		t.Errorf("gave up because %v, events %q", access.GaveUp(), n.events.kinds())
	}
	n.source.down = errors.New("down")
	q = ask(t, r.host+"/team/other:v1")
	if _, err := n.Open(ctx, alice, q); err != ctx.Err() {
		t.Errorf("%v", err)
	}
}

// What egress refuses says which setting would allow it.
func TestRefusedWaysNameTheSetting(t *testing.T) {
	n, plainHost, secureHost, strangerHost, openHost := crookedWays(t)
	for _, c := range []struct{ name, image, text, hint string }{
		{"plain HTTP", plainHost + "/team/app:v1", "plain HTTP", "pier registry update team --plain-http"},
		{"an authority of one's own", secureHost + "/app:v1", "not trusted", "pier registry update own --ca-file FILE"},
		{"a strange token server", strangerHost + "/app:v1", "tokens.example.net is not a token server of", "pier registry update stranger --realm tokens.example.net"},
		{"a strange token server without TLS", openHost + "/app:v1", "tokens.example.net is not a token server of", "gives its token server TLS"},
		{"loopback that nobody lists", "127.0.0.1:2/app:v1", ": 127.0.0.1 is this machine itself", "pier registry add NAME --match '127.0.0.1:2/*'"},
		{"a private network", "10.1.2.3/app:v1", "private network", "pier registry add NAME --match '10.1.2.3/*' --private-network CIDR"},
		{"metadata", "169.254.169.254/app:v1", "metadata", "check the host"},
		{"settings", "bad.example.com/app:v1", "", "pier registry update bad"},
		{"a port that is none", "registry.example.com:99999/app:v1", "not a port", "check the host in the image's name: registry.example.com:99999"},
		{"nobody there", "127.0.0.1:1/app:v1", "127.0.0.1:1", "whether this node reaches 127.0.0.1:1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := n.resolve(c.image)
			if err == nil || !strings.Contains(err.Error(), c.text) || !strings.Contains(pierhead.HintOf(err), c.hint) {
				t.Errorf("%v\n  hint: %s", err, pierhead.HintOf(err))
			}
			n.keepsSecret(marker, err.Error(), pierhead.HintOf(err))
		})
	}
	if kinds := n.events.kinds(); strings.Contains(kinds, "pull.anonymous") {
		t.Errorf("events %q: none of these is a refusal of a login", kinds)
	}
}

// crookedWays are registries that a pull does not get through to: one without TLS, one with an authority of its own, and
// one that sends logins to a stranger; and two more.
func crookedWays(t *testing.T) (n *node, plainHost, secureHost, strangerHost, openHost string) {
	plain := newRemote(t, false)
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secure.Close)
	secureHost = strings.TrimPrefix(secure.URL, "https://")
	sendsTo := func(realm string) (host string) {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", fmt.Sprintf("Bearer realm=%q", realm))
			w.WriteHeader(http.StatusUnauthorized)
		}))
		t.Cleanup(s.Close)
		return strings.TrimPrefix(s.URL, "http://")
	}
	strangerHost, openHost = sendsTo("https://tokens.example.net/token"), sendsTo("http://tokens.example.net/token")

	noTLS := plain.registry()
	noTLS.PlainHTTP = false
	n = newNode(t, noTLS,
		generic("own", nil, secureHost+"/*"),
		generic("stranger", func(r *pierhead.Registry) { r.PlainHTTP = true }, strangerHost+"/*", openHost+"/*"),
		generic("bad", func(r *pierhead.Registry) { r.CA = "no PEM" }, "bad.example.com/*"),
		generic("nobody", func(r *pierhead.Registry) { r.PlainHTTP = true }, "127.0.0.1:1/*"))
	for _, name := range []string{"team", "own", "stranger", "bad", "nobody"} {
		n.write(name, marker, "")
	}
	return n, plain.host, secureHost, strangerHost, openHost
}
