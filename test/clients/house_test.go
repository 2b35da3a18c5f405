package clients

import (
	"os"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"pierhead.dev/pierhead/test/internal/machine"
)

// A person is somebody with a token; nobody has none.
type person struct{ name, token string }

var nobody = person{name: "nobody"}

// A house is a running pier with people in it. The organization acme has the administrator boss, the member alice and,
// with a read-only token of alice's, a reader; eve belongs elsewhere.
type house struct {
	*machine.Pier
	url                      string // as clients name it
	issuer                   string // URL of the control plane with the token service; mostly url
	host                     string // host:port of url
	ca                       string // with --tls self: its certificate in PEM
	boss, alice, reader, eve person
}

// startHouse runs `pier up` at an address with further flags, and asks its people in. An empty url is that of the address.
func startHouse(t *testing.T, address, url string, flags ...string) *house {
	t.Helper()
	h := &house{url: url, Pier: &machine.Pier{Program: built("pier"), Dir: machine.Scratch(t, func(dir string) {
		machine.RemoveStore(t, "../setup/remove-store.sh")(dir + "/data/agent/engine")
		machine.Remove(t)(dir)
	})}}
	if url == "" {
		h.url = "http://" + address
	}
	h.issuer = h.url
	_, h.host, _ = strings.Cut(h.url, "://")
	h.Serve(t, address, "data", append([]string{"up", "--listen", address, "--url", h.url, "--mirror", machine.FreeAddress(t)}, flags...)...)
	if strings.HasPrefix(h.url, "https:") {
		h.ca = h.contextCA(t)
	}
	h.move(t)
	return h
}

// contextCA is what the first start wrote for pier's own commands: where a person finds the certificate.
func (h *house) contextCA(t *testing.T) string {
	t.Helper()
	h.AwaitReady(t)
	text, err := os.ReadFile(h.Dir + "/config/pierhead/contexts.yaml")
	must(t, err)
	var file struct {
		Contexts map[string]struct{ CA string }
	}
	must(t, yaml.Unmarshal(text, &file))
	if ca := file.Contexts["default"].CA; ca != "" {
		return ca
	}
	t.Fatal("the context has no certificate")
	return ""
}

// pierOf runs a command with a person's token; nobody's is the one of the context.
func (h *house) pierOf(t *testing.T, who person, arguments ...string) (out, said string, code int) {
	t.Helper()
	return h.Run(t, who.token, "", arguments...)
}

// move makes the people.
func (h *house) move(t *testing.T) {
	t.Helper()
	h.AwaitReady(t)
	for _, name := range []string{"acme", "other"} {
		h.Must(t, "org", "create", name)
	}
	for _, name := range []string{"boss", "alice", "eve"} {
		h.Must(t, "person", "create", name)
	}
	h.Must(t, "member", "create", "boss", "--org", "acme", "--role", "admin")
	h.Must(t, "member", "create", "alice", "--org", "acme")
	h.Must(t, "member", "create", "eve", "--org", "other")
	token := func(name string, flags ...string) person {
		return person{name, h.Must(t, append([]string{"token", "create", "test", "--person", name}, flags...)...)}
	}
	h.boss, h.alice, h.eve = token("boss"), token("alice"), token("eve")
	h.reader = token("alice", "--read-only")
}
