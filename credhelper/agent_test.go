package credhelper

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"pierhead.dev/pierhead/internal/doors"
)

// socketPath is a place that fits into a socket's address.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "ph")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "agent.sock")
}

// serve is an agent that answers by h.
func serve(t *testing.T, h http.HandlerFunc) Agent {
	t.Helper()
	path := socketPath(t)
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: h}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return Agent{Sockets: []string{path}}
}

// raw is an agent that says a text to whoever asked, and ends the connection.
func raw(t *testing.T, text string) Agent {
	t.Helper()
	path := socketPath(t)
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 4<<10))
			_, _ = io.WriteString(c, text)
			_ = c.Close()
		}
	}()
	return Agent{Sockets: []string{path}}
}

func answerWith(status int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}
}

func TestLend(t *testing.T) {
	expires := time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC)
	loan := doors.Loan{Username: `robot"$\é`, Password: "p\x00\n\u2028", Host: "quay.io", Reach: doors.ReachHost, ExpiresAt: expires, CacheFor: 1800, Registry: "acme/quay", Warning: "for a part"}
	asked := doors.Ask{Door: doors.Kubelet, Host: "h\"", Image: "quay.io/acme/app", ServiceAccountToken: "e.y.J"}
	var got doors.Ask
	var path, method string
	agent := serve(t, func(w http.ResponseWriter, r *http.Request) {
		path, method = r.URL.Path, r.Method
		text, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(text, &got); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		answer, _ := json.Marshal(loan)
		_, _ = w.Write(answer)
	})
	lent, err := agent.Lend(t.Context(), asked)
	if err != nil || lent != loan {
		t.Errorf("%+v, %v", lent, err)
	}
	if got != asked || path != doors.PathCredential || method != http.MethodPost {
		t.Errorf("the agent saw %s %s %+v", method, path, got)
	}
}

func TestHosts(t *testing.T) {
	agent := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != doors.PathHosts || r.Method != http.MethodGet {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = io.WriteString(w, `{"hosts":{"quay.io":"","docker.io":"robot"}}`)
	})
	hosts, err := agent.Hosts(t.Context())
	if err != nil || !reflect.DeepEqual(hosts, map[string]string{"quay.io": "", "docker.io": "robot"}) {
		t.Errorf("%v, %v", hosts, err)
	}
	if _, err := serve(t, answerWith(200, `{"hosts":[]}`)).Hosts(t.Context()); err == nil {
		t.Error("a list is taken for hosts")
	}
}

// Only the agent's own word for it is "there is none"; all else is an error that says what to do.
func TestRefusals(t *testing.T) {
	long := `{"reason":"` + strings.Repeat("x", maxAnswer) + `"}`
	for name, test := range map[string]struct {
		agent Agent
		none  bool
		says  string
	}{
		"none":                   {agent: serve(t, answerWith(404, `{"reason":"no registry covers quay.io","hint":"add one"}`)), none: true, says: "no registry covers quay.io"},
		"it went wrong":          {agent: serve(t, answerWith(502, `{"reason":"quay.io refuses","hint":"rotate"}`)), says: "quay.io refuses"},
		"another server":         {agent: serve(t, answerWith(404, "404 page not found\n")), says: "not understood"},
		"another server's JSON":  {agent: serve(t, answerWith(404, `{"errors":[{"code":"NAME_UNKNOWN"}]}`)), says: "not understood"},
		"an empty loan":          {agent: serve(t, answerWith(200, `{}`)), says: "not understood"},
		"a loan of nowhere":      {agent: serve(t, answerWith(200, `{"username":"a","password":"b"}`)), says: "not understood"},
		"no object":              {agent: serve(t, answerWith(200, `"a"`)), says: "not understood"},
		"half of it":             {agent: serve(t, answerWith(200, `{"username":"a"`)), says: "not understood"},
		"nothing":                {agent: raw(t, ""), says: "without an answer"},
		"a part":                 {agent: raw(t, answerOfAgent[:40]), says: "without an answer"},
		"garbage":                {agent: raw(t, "\x00\x01\x02 garbage\r\n\r\n"), says: "not understood"},
		"much too long":          {agent: serve(t, answerWith(502, long)), says: "not understood"},
		"no socket":              {agent: Agent{Sockets: []string{"/nonexistent/a.sock", "/nonexistent/b.sock"}}, says: "there is no socket /nonexistent/a.sock or /nonexistent/b.sock"},
		"a path beyond all":      {agent: Agent{Sockets: []string{strings.Repeat("/a", 200)}}, says: "cannot be asked"},
		"a directory below file": {agent: Agent{Sockets: []string{"/dev/null/agent.sock"}}, says: "cannot be asked"},
	} {
		_, err := test.agent.Lend(t.Context(), doors.Ask{Door: doors.Docker, Host: "quay.io"})
		if err == nil || errors.Is(err, ErrNone) != test.none || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "\n") || HintOf(err) == "" {
			t.Errorf("%s: %v (none: %t, hint %q)", name, err, errors.Is(err, ErrNone), HintOf(err))
		}
	}
}

// An agent that was killed leaves its socket's name.
func TestDeadSocket(t *testing.T) {
	path := socketPath(t)
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	listener.SetUnlinkOnClose(false)
	_ = listener.Close()
	_, err = Agent{Sockets: []string{path}}.Lend(t.Context(), doors.Ask{})
	if err == nil || errors.Is(err, ErrNone) || !strings.Contains(err.Error(), "nobody answers at "+path) {
		t.Errorf("%v", err)
	}
}

// The user's own agent comes first; where it is not, the machine's.
func TestFirstSocketThatIsThere(t *testing.T) {
	there := serve(t, answerWith(200, `{"username":"a","password":"b","host":"quay.io"}`))
	lent, err := Agent{Sockets: append([]string{"/nonexistent/agent.sock"}, there.Sockets...)}.Lend(t.Context(), doors.Ask{})
	if err != nil || lent.Username != "a" {
		t.Errorf("%+v, %v", lent, err)
	}
}

func TestNotAllowed(t *testing.T) {
	dial := func(path string) (Conn, error) {
		if path == "/mine" {
			return nil, os.NewSyscallError("connect", syscall.ENOENT)
		}
		return nil, os.NewSyscallError("connect", syscall.EACCES)
	}
	_, err := Agent{Sockets: []string{"/mine", "/machine", "/mine"}, Dial: dial}.Lend(t.Context(), doors.Ask{})
	if err == nil || errors.Is(err, ErrNone) || !strings.Contains(err.Error(), "permission denied at /machine") {
		t.Errorf("%v", err)
	}
}

// A queue that is full is waited for, until there is no time left.
func TestFullQueue(t *testing.T) {
	there, full := serve(t, answerWith(200, `{"username":"a","password":"b","host":"quay.io"}`)), 3
	there.Dial = func(path string) (Conn, error) {
		if full--; full >= 0 {
			return nil, os.NewSyscallError("connect", syscall.EAGAIN)
		}
		return dialUnix(path)
	}
	if lent, err := there.Lend(t.Context(), doors.Ask{}); err != nil || lent.Username != "a" {
		t.Errorf("%+v, %v", lent, err)
	}
	there.Dial = func(string) (Conn, error) { return nil, os.NewSyscallError("connect", syscall.EAGAIN) }
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := there.Lend(ctx, doors.Ask{}); err == nil || errors.Is(err, ErrNone) || !strings.Contains(err.Error(), "in time") {
		t.Errorf("%v", err)
	}
}

func TestSlowAgent(t *testing.T) {
	release := make(chan struct{})
	slow := serve(t, func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := slow.Lend(ctx, doors.Ask{}); err == nil || errors.Is(err, ErrNone) || !strings.Contains(err.Error(), "did not answer in time") {
		t.Errorf("%v", err)
	}
}

func TestHere(t *testing.T) {
	t.Setenv(doors.SocketVariable, "/elsewhere.sock")
	if here := Here(); !reflect.DeepEqual(here.Sockets, []string{"/elsewhere.sock"}) {
		t.Errorf("%v", here.Sockets)
	}
}
