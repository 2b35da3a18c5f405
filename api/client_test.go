package api_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
)

const token = "pier_pat_marker0marker0marker0marker0_0000000"

func clientTo(t *testing.T, url string) *api.Client {
	t.Helper()
	client, err := api.NewClient(api.ClientConfig{URL: url, Token: token})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdle)
	return client
}

func TestClientTellsProblems(t *testing.T) {
	for _, test := range []struct {
		status int
		body   string
		kind   error
		text   string
		hint   string
	}{
		{404, `{"error":{"code":"not_found","message":"there is no person \"x\"","hint":"look"}}`, pierhead.ErrNotFound, `there is no person "x"`, "look"},
		{401, `{"error":{"code":"unauthenticated","message":"no","hint":"h"}}`, api.ErrUnauthenticated, "no", "h"},
		{424, `{"error":{"code":"pull","message":"no","hint":"h"}}`, pierhead.ErrPull, "no", "h"},
		{409, `{"error":{"code":"a-newer-code","message":"no"}}`, pierhead.ErrConflict, "", ""},
		{502, `<html>proxy</html>`, pierhead.ErrUnreachable, "", ""},
		{422, ``, pierhead.ErrBadInput, "", ""},
		{200, `not JSON`, pierhead.ErrUnreachable, "", ""},
		{200, strings.Repeat("[", 100), pierhead.ErrUnreachable, "", ""},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(test.status)
			fmt.Fprint(w, test.body)
		}))
		_, err := clientTo(t, server.URL).Person(t.Context(), "x")
		server.Close()
		if !errors.Is(err, test.kind) || test.text != "" && (err.Error() != test.text || pierhead.HintOf(err) != test.hint) {
			t.Errorf("%d %s: %v (%s)", test.status, test.body, err, pierhead.HintOf(err))
		}
	}
}

func TestClientSaysWhichServerDoesNotAnswer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + listener.Addr().String()
	listener.Close()
	_, err = clientTo(t, url).Audit(t.Context(), api.AuditFilter{Object: "hunter2"})
	if !errors.Is(err, pierhead.ErrUnreachable) || !strings.Contains(err.Error(), url) || pierhead.HintOf(err) == "" {
		t.Errorf("error is %v", err)
	}
	if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), token) {
		t.Errorf("%v repeats the query or the token", err)
	}
}

// A captured server or proxy must not get the token sent elsewhere.
func TestClientFollowsNoRedirect(t *testing.T) {
	reached := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer other.Close()
	server := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	if _, err := clientTo(t, server.URL).Whoami(t.Context()); !errors.Is(err, pierhead.ErrUnreachable) || reached {
		t.Errorf("error %v, reached %v", err, reached)
	}
}

func TestClientTrustsTheGivenAuthorityOnly(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"name":"alice"}`) }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it tells of the handshake that the test wants to fail
	server.StartTLS()
	defer server.Close()
	if _, err := clientTo(t, server.URL).Whoami(t.Context()); !errors.Is(err, pierhead.ErrUnreachable) || !strings.Contains(pierhead.HintOf(err), "authority") {
		t.Errorf("error is %v (%s)", err, pierhead.HintOf(err))
	}
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	client, err := api.NewClient(api.ClientConfig{URL: server.URL, CAs: pool})
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdle()
	if who, err := client.Whoami(t.Context()); err != nil || who.Name != "alice" {
		t.Errorf("who is %+v, %v", who, err)
	}
}

func TestClientRefusesAddressesAndTokens(t *testing.T) {
	for _, config := range []api.ClientConfig{
		{URL: ""}, {URL: "127.0.0.1:7070"}, {URL: "ftp://x"}, {URL: "http://u:hunter2@x"}, {URL: "http://x?a=b"}, {URL: "http://x", Token: "hunter2\r\nX: y"},
	} {
		if _, err := api.NewClient(config); !errors.Is(err, pierhead.ErrBadInput) || strings.Contains(err.Error()+pierhead.HintOf(err), "hunter2") {
			t.Errorf("%q: %v", config.URL, err)
		}
	}
}

func TestClientGivesTheContextsError(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := clientTo(t, server.URL).Whoami(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}

// The log goes on where a broken connection left it, with no byte lost or doubled.
func TestFollowLogResumes(t *testing.T) {
	const whole = "Pulling image: a\nImage digest: b\nhello\n"
	breaks := 0
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/executions/exe_1", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"id":"exe_1","state":"succeeded","log_size_bytes":%d}`, len(whole))
	})
	mux.HandleFunc("GET /api/v1/executions/exe_1/log", func(w http.ResponseWriter, r *http.Request) {
		var offset int
		fmt.Sscan(r.FormValue("offset"), &offset)
		if breaks++; breaks < 4 {
			fmt.Fprint(w, whole[offset:offset+7])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		io.WriteString(w, whole[offset:])
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	var text bytes.Buffer
	execution, err := clientTo(t, server.URL).FollowLog(t.Context(), "exe_1", 0, &text)
	if err != nil || text.String() != whole || !execution.Final() || breaks != 4 {
		t.Errorf("log is %q after %d tries, %v", text.String(), breaks, err)
	}
}

func TestFollowLogEndsWhenItCannotWrite(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "text") }))
	defer server.Close()
	reader, writer := io.Pipe()
	reader.Close()
	if _, err := clientTo(t, server.URL).FollowLog(t.Context(), "exe_1", 0, writer); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("error is %v", err)
	}
}
