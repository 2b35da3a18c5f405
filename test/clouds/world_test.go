package clouds

import (
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"pierhead.dev/pierhead/test/internal/machine"
)

// A world is what a node can reach: names that resolve, servers behind them with certificates that it trusts, and the
// metadata service of the cloud that it is in, if it is in one.
type world struct {
	dir   string
	store *store
	ca    *machine.Authority // of the internet, trusted by all
	home  *machine.Authority // of the names at home, trusted by who is told

	mu       sync.Mutex
	hosts    map[string]http.Handler           // by name
	inside   map[string]bool                   // names at home
	hidden   map[string]bool                   // names that only the proxy knows
	clouds   []func(host string) http.Handler  // asked where no host is known
	machine  func(address string) http.Handler // what answers at link-local addresses; nil: nobody ever does
	secrets  []func() []string                 // collectors
	requests map[string][]string               // by host: "METHOD path user" of each
}

// newWorld is an empty one: nobody answers to any name.
func newWorld(t *testing.T) *world {
	t.Helper()
	namespace().Need(t)
	w := &world{hosts: map[string]http.Handler{}, inside: map[string]bool{}, hidden: map[string]bool{}, requests: map[string][]string{}}
	w.dir = machine.Scratch(t, func(dir string) {
		w.keepSecrets(t)
		machine.Remove(t)(dir)
	})
	w.store = startStore(t, w)
	w.ca, w.home = machine.NewAuthority(t), machine.NewAuthority(t)
	must(t, os.WriteFile(w.roots(), w.ca.PEM, 0o600))
	w.serveNames(t)
	for address, ca := range map[string]*machine.Authority{internet: w.ca, intranet: w.home} {
		w.serve(t, address+":443", &tls.Config{GetCertificate: ca.Certificate}, http.HandlerFunc(w.front))
	}
	for _, address := range []string{metadata, taskMetadata, podMetadata} {
		w.serve(t, address+":80", nil, w.link(address))
	}
	return w
}

// roots is the file with the certificate that the world's programs trust.
func (w *world) roots() string { return filepath.Join(w.dir, "roots.pem") }

// host puts a server behind a name.
func (w *world) host(name string, handler http.Handler) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hosts[name] = handler
}

// atHome puts a server behind a name that only this network knows.
func (w *world) atHome(name string, handler http.Handler) {
	w.host(name, handler)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inside[name] = true
}

// hide takes a name from the name server. The proxy still knows it.
func (w *world) hide(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hidden[name] = true
}

// addressOf is where a name is, "" where nobody answers to it.
func (w *world) addressOf(name string) string {
	if w.handler(name) == nil {
		return ""
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case name == "metadata.google.internal":
		return metadata
	case w.inside[name]:
		return intranet
	}
	return internet
}

// away takes a name out of the world: it does not resolve any more.
func (w *world) away(name string) { w.host(name, nil) }

// cloud adds one: who answers at its hosts, and the secrets that it makes.
func (w *world) cloud(handler func(host string) http.Handler, secrets func() []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clouds, w.secrets = append(w.clouds, handler), append(w.secrets, secrets)
}

// keep adds a secret of a test's own to those that are searched for.
func (w *world) keep(secret string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.secrets = append(w.secrets, func() []string { return []string{secret} })
	return secret
}

// made are all secrets so far.
func (w *world) made() []string {
	w.mu.Lock()
	collectors := slices.Clone(w.secrets)
	w.mu.Unlock()
	var all []string
	for _, secrets := range collectors {
		all = append(all, secrets()...)
	}
	return all
}

// in puts the machine into a cloud; nil takes it out of any.
func (w *world) in(handler func(address string) http.Handler) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.machine = handler
}

func (w *world) handler(host string) http.Handler {
	w.mu.Lock()
	handler, known := w.hosts[host]
	clouds := slices.Clone(w.clouds)
	w.mu.Unlock()
	if known {
		return handler
	}
	for _, cloud := range clouds {
		if handler := cloud(host); handler != nil {
			return handler
		}
	}
	return nil
}

// front serves every name on the internet.
func (w *world) front(out http.ResponseWriter, r *http.Request) {
	host, _, _ := strings.Cut(r.Host, ":")
	if r.TLS.ServerName != host {
		http.Error(out, "the connection is for another name", http.StatusMisdirectedRequest)
		return
	}
	user, _, _ := r.BasicAuth()
	if user == "" {
		user, _, _ = strings.Cut(r.Header.Get("Authorization"), " ")
	}
	w.mu.Lock()
	w.requests[host] = append(w.requests[host], strings.TrimSpace(r.Method+" "+r.URL.Path+" "+user))
	w.mu.Unlock()
	if handler := w.handler(host); handler != nil {
		handler.ServeHTTP(out, r)
		return
	}
	http.Error(out, "nobody is at "+host, http.StatusMisdirectedRequest)
}

// asked returns what was asked of a host, "METHOD path" and the user or the scheme of the login, and forgets it.
func (w *world) asked(host string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	requests := w.requests[host]
	delete(w.requests, host)
	return requests
}

// link serves a link-local address: off every cloud, packets to it are lost.
func (w *world) link(address string) http.Handler {
	return http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		in := w.machine
		w.mu.Unlock()
		if in != nil {
			if handler := in(address); handler != nil {
				handler.ServeHTTP(out, r)
				return
			}
		}
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	})
}

// serve listens until the end of the test.
func (w *world) serve(t *testing.T, address string, config *tls.Config, handler http.Handler) {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	must(t, err)
	if config != nil {
		config.NextProtos = []string{"h2", "http/1.1"}
		listener = tls.NewListener(listener, config)
	}
	server := &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0)} // clients that do not trust it, or give up
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
}

// serveNames is the name server. Names that nobody answers to are unknown.
func (w *world) serveNames(t *testing.T) {
	t.Helper()
	connection, err := net.ListenPacket("udp", "127.0.0.1:53")
	must(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		question := make([]byte, 4096)
		for {
			n, from, err := connection.ReadFrom(question)
			if err != nil {
				return // closed
			}
			if answer, err := w.resolve(question[:n]); err == nil {
				_, _ = connection.WriteTo(answer, from) // who asked may have gone
			}
		}
	}()
	t.Cleanup(func() {
		_ = connection.Close()
		<-done
	})
}

func (w *world) resolve(message []byte) ([]byte, error) {
	var parser dnsmessage.Parser
	header, err := parser.Start(message)
	if err != nil {
		return nil, err
	}
	question, err := parser.Question()
	if err != nil {
		return nil, err
	}
	name := strings.ToLower(strings.TrimSuffix(question.Name.String(), "."))
	address := w.addressOf(name)
	w.mu.Lock()
	found := address != "" && !w.hidden[name]
	w.mu.Unlock()
	header = dnsmessage.Header{ID: header.ID, Response: true, Authoritative: true}
	if !found {
		header.RCode = dnsmessage.RCodeNameError
	}
	builder := dnsmessage.NewBuilder(nil, header)
	err = builder.StartQuestions()
	if err == nil {
		err = builder.Question(question)
	}
	if err == nil && found && question.Type == dnsmessage.TypeA {
		if err = builder.StartAnswers(); err == nil {
			err = builder.AResource(dnsmessage.ResourceHeader{Name: question.Name, Class: dnsmessage.ClassINET},
				dnsmessage.AResource{A: [4]byte(net.ParseIP(address).To4())})
		}
	}
	if err != nil {
		return nil, err
	}
	return builder.Finish()
}
