package clouds

import (
	"crypto/rand"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A proxy is the only way out for some names. It makes tunnels, for those who log in if it has a login.
type proxy struct {
	w *world

	mu      sync.Mutex
	tunnels []string // "HOST:PORT" of each, as it was asked for
}

// proxyAddress is the proxy's.
const proxyAddress = intranet + ":3128"

// proxy puts one into a world.
func (w *world) proxy(t *testing.T) *proxy {
	t.Helper()
	p := &proxy{w: w}
	w.serve(t, proxyAddress, nil, p)
	return p
}

// to are the hosts that tunnels were made to, sorted, each once.
func (p *proxy) to() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	slices.Sort(p.tunnels)
	return slices.Compact(slices.Clone(p.tunnels))
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.tunnels = append(p.tunnels, r.Host)
	p.mu.Unlock()
	host, port, err := net.SplitHostPort(r.Host)
	address := p.w.addressOf(host)
	if r.Method != http.MethodConnect || err != nil || port != "443" || address == "" {
		http.Error(w, "no way to "+r.Host, http.StatusBadGateway)
		return
	}
	there, err := net.DialTimeout("tcp", address+":443", 5*time.Second)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer there.Close()
	here, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer here.Close()
	if _, err := io.WriteString(here, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	go func() {
		_, _ = io.Copy(there, buffered) // who goes away ends both
		_ = there.Close()
	}()
	_, _ = io.Copy(here, there) // likewise
}

// P12: a registry of the network's own, with a token server and a certificate of its own authority, whose layers are in a
// store with a certificate that everybody trusts, is reached through its proxy and no other way. Another registry goes
// without.
func TestProxyAndPrivateCA(t *testing.T) {
	w := newWorld(t)
	p := w.proxy(t)
	const host, tokens, layers, direct = "registry.corp.example", "login.corp.example", "layers.cdn.example", "registry.example.com"
	password := w.keep(rand.Text())
	door := w.bearer(host, tokens, "/token", &bearerDoor{service: "corp", accounts: accounts{{"ci", password}: {"team/"}}})
	store := &bucket{host: layers, behind: door.behind, links: map[string]string{}}
	door.behind = http.HandlerFunc(store.redirect)
	w.atHome(host, w.handler(host))
	w.atHome(tokens, w.handler(tokens))
	w.host(layers, store)
	for _, name := range []string{host, tokens, layers} {
		w.hide(name)
	}
	plain := &basicDoor{realm: "plain", behind: w.store.behind(direct)}
	plain.let(accounts{{"ci", password}: {"team/"}})
	w.host(direct, plain)
	h := w.house(t)
	ca := filepath.Join(h.Dir, "corp.pem")
	must(t, os.WriteFile(ca, w.home.PEM, 0o600))
	content := func(server string) string {
		return `{"username": "ci", "password": "` + password + `", "server": "` + server + `"}`
	}

	image, other := host+"/team/train:v1", direct+"/team/train:v1"
	digest, otherDigest := w.store.put(t, image).String(), w.store.put(t, other).String()
	add := words("registry add corp --match " + host + "/* --secret " + h.lay(t, "corp", content(host)) + " --sample " + image + " --realm " + tokens + " --when-refused fail")
	h.refuses(t, 7, add, host, "there is no host", "Hint: ")
	through := append(add, "--proxy", "http://"+proxyAddress, "--private-network", intranet+"/32")
	h.refuses(t, 7, through, host, "certificate", "--ca-file", "Hint: ")
	h.refuses(t, 0, append(through, "--ca-file", ca), "Proved by node local")
	h.add(t, words("direct --match "+direct+"/* --secret "+h.lay(t, "direct", content(direct))+" --sample "+other)...)
	h.runs(t, image, digest)
	if got, want := p.to(), []string{layers + ":443", tokens + ":443", host + ":443"}; !slices.Equal(got, want) {
		t.Errorf("the proxy made tunnels to %v, want %v", got, want)
	}
	h.runs(t, other, otherDigest)
	if strings.Contains(strings.Join(p.to(), " "), direct) {
		t.Errorf("a registry without a proxy went through one: %v", p.to())
	}
	for _, request := range w.asked(layers) {
		if strings.Contains(request, "Bearer") || strings.Contains(request, "ci") {
			t.Errorf("the store of layers was sent a login: %s", request)
		}
	}
}
