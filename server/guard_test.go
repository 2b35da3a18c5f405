package server_test

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/server"
)

// No token, and no query, is in the log: not of a good request, not of a refused one, not where it was put by mistake.
func TestLogHasNoTokens(t *testing.T) {
	k := newKit(t, func(c *server.Config) {
		c.Registry = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	})
	k.projects()
	good := k.token["alice"]
	bad := good[:len(good)-1] + "0"
	for _, token := range []string{good, bad} {
		k.send("GET", "/api/v1/whoami", token, "")
		k.send("GET", "/api/v1/persons/"+token, token, "")
		k.send("GET", "/api/v1/tokens/"+token, token, "")
		k.send("DELETE", "/api/v1/"+token, token, "")
		k.send("GET", "/"+token, token, "")
		k.send("GET", "/v2/"+token+"/tags/list", token, "")
		k.send("GET", "/api/v1/executions?owner="+token, token, "")
		k.send("GET", "/api/v1/executions?"+token, token, "")
		k.send("POST", "/api/v1/tokens", token, `{"name":"`+token+`"}`)
		k.send("POST", "/api/v1/tokens", token, `{"`+token+`":1}`)
		k.send("POST", "/api/v1/explain", token, `{"image":"`+token+`","organization":"acme"}`)
		k.get(basic("alice", token), "scope=repository:acme/"+token+":pull&password="+token)
		k.get(basic(token, token), "")
		k.post(url.Values{"grant_type": {"password"}, "username": {"alice"}, "password": {token}})
	}
	_, answer := k.get(basic("alice", good), "scope=repository:acme/model:pull")
	k.send("GET", "/v2/acme/model/manifests/latest?state=query-marker", answer.Token, "")
	log := k.log.String()
	for name, secret := range map[string]string{
		"a token": good[:30], "a mistyped token": bad[20:], "a registry token": answer.Token[len(answer.Token)-20:], "a query": "query-marker",
		"a Basic header": base64.StdEncoding.EncodeToString([]byte("alice:" + good))[:30],
	} {
		if strings.Contains(log, secret) {
			t.Errorf("%s is in the log", name)
		}
	}
	for _, want := range []string{`"caller":"alice"`, `"route":"GET /api/v1/whoami"`, `"route":"/v2/acme/model/manifests/latest"`, `"status":401`} {
		if !strings.Contains(log, want) {
			t.Errorf("the log has no %s", want)
		}
	}
}

// A panic ends one request only; one in the middle of an answer cuts the connection, so that nobody takes it for whole.
func TestPanicsEndOneRequest(t *testing.T) {
	k := newKit(t, func(c *server.Config) {
		c.Registry = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "late") {
				fmt.Fprint(w, strings.Repeat("x", 1<<16))
			}
			panic("marker-of-panic")
		})
	})
	if status, _, text := k.send("GET", "/v2/early", "", ""); status != http.StatusInternalServerError || strings.Contains(text, "marker-of-panic") || !strings.Contains(text, `"code":"internal"`) {
		t.Errorf("%d %s", status, text)
	}
	response, err := http.Get(k.url + "/v2/late")
	k.must(err)
	defer response.Body.Close()
	if _, err := io.ReadAll(response.Body); err == nil {
		t.Error("half an answer looks whole")
	}
	if !strings.Contains(k.log.String(), "marker-of-panic") {
		t.Error("the log does not tell of the panic")
	}
	if status, _, _ := k.send("GET", "/healthz", "", ""); status != http.StatusOK {
		t.Errorf("after the panics: %d", status)
	}
}

func TestEveryAnswerHasSecurityHeaders(t *testing.T) {
	k := newKit(t)
	for _, path := range []string{"/", "/nowhere", "/api/nowhere", "/api/v1/whoami", "/api/openapi.json", "/token", "/healthz", "/v2/"} {
		_, header, _ := k.send("GET", path, "", "")
		if header.Get("X-Content-Type-Options") != "nosniff" || header.Get("X-Frame-Options") != "DENY" || header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %v", path, header)
		}
	}
	if status, _, text := k.send("PATCH", "/api/v1/persons/x", "", ""); status != http.StatusNotFound || !strings.Contains(text, `"code":"not_found"`) {
		t.Errorf("a method that is not there: %d %s", status, text)
	}
}

// The Host header decides nothing: what the server says of itself comes from its configuration.
func TestHostHeaderIsNotBelieved(t *testing.T) {
	k := newKit(t)
	request, err := http.NewRequestWithContext(t.Context(), "GET", k.url+"/token", nil)
	k.must(err)
	request.Host = "evil.example"
	_, answer := k.ask(request, nil)
	claims, err := base64.RawURLEncoding.DecodeString(strings.Split(answer.Token, ".")[1])
	k.must(err)
	if strings.Contains(string(claims), "evil.example") || !strings.Contains(string(claims), `"iss":"`+publicURL+`","sub":"","aud":"pier.example:7070"`) {
		t.Errorf("claims are %s", claims)
	}
}

// A registry's blob goes out by the server's own ReadFrom, which is where sendfile is: the wrapper must not hide it.
func TestBlobsKeepSendfile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "blob")
	if err := os.WriteFile(path, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	k := newKit(t, func(c *server.Config) {
		c.Registry = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			file, err := os.Open(path)
			if err != nil {
				t.Error(err)
				return
			}
			defer file.Close()
			_, _ = io.Copy(w, file)
		})
	})
	w := &readerFrom{ResponseRecorder: httptest.NewRecorder()}
	k.server.ServeHTTP(w, httptest.NewRequest("GET", "/v2/acme/blob", nil))
	if _, file := w.from.(syscall.Conn); !file {
		t.Errorf("the blob was copied from a %T", w.from)
	}
	if status, _, text := k.send("GET", "/v2/acme/blob", "", ""); status != http.StatusOK || len(text) != 1<<20 {
		t.Errorf("%d, %d bytes", status, len(text))
	}
}

type readerFrom struct {
	*httptest.ResponseRecorder
	from io.Reader
}

func (w *readerFrom) ReadFrom(from io.Reader) (int64, error) {
	w.from = from
	return io.Copy(w.ResponseRecorder, from)
}

// A client that sends its body a byte at a time does not hold a handler for ever; here it goes away in the middle.
func TestBodyThatBreaksOff(t *testing.T) {
	k := newKit(t)
	connection, err := net.Dial("tcp", strings.TrimPrefix(k.url, "http://"))
	k.must(err)
	defer connection.Close()
	fmt.Fprintf(connection, "POST /api/v1/persons HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 100\r\n\r\n{\"name\"", k.token["root"])
	k.must(connection.(*net.TCPConn).CloseWrite())
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err == nil {
		defer response.Body.Close()
		if response.StatusCode != http.StatusBadRequest {
			t.Errorf("%d", response.StatusCode)
		}
	}
	if list, err := k.client("root").Persons(t.Context()); err != nil || len(list) != 4 {
		t.Errorf("persons %v, %v", list, err)
	}
}

func TestBodiesOfOtherTypesAreRefused(t *testing.T) {
	k := newKit(t)
	for header, value := range map[string]string{"Content-Type": "application/x-www-form-urlencoded", "Content-Encoding": "gzip"} {
		request, err := http.NewRequestWithContext(t.Context(), "POST", k.url+"/api/v1/persons", strings.NewReader(`{"name":"x"}`))
		k.must(err)
		request.Header.Set("Authorization", "Bearer "+k.token["root"])
		request.Header.Set(header, value)
		response, err := http.DefaultTransport.RoundTrip(request)
		k.must(err)
		response.Body.Close()
		if response.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d", value, response.StatusCode)
		}
	}
}

func TestNewRefusesLikelyMistakes(t *testing.T) {
	k := newKit(t)
	for _, bad := range []string{"", "pier.example", "ftp://x", "http://x/path", "http://u:hunter2@x", "http://x?y=z"} {
		_, err := server.New(server.Config{URL: bad, Store: k.store, Tokens: k.key})
		if status := api.StatusOf(err); err == nil || status.Code != "bad_input" || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := server.New(server.Config{URL: publicURL}); err == nil {
		t.Error("a server without a store")
	}
}

// A path of the registry stands in the log of requests, but not with all of the 64 KiB that a client may send.
func TestLongPathsInTheLog(t *testing.T) {
	k := newKit(t)
	if status, _, _ := k.send("GET", "/v2/"+strings.Repeat("a", 10_000), "", ""); status != http.StatusNotFound {
		t.Errorf("status %d", status)
	}
	if log := k.log.String(); !strings.Contains(log, "/v2/aaa") || strings.Contains(log, strings.Repeat("a", 600)) {
		t.Errorf("the log has %d bytes", len(log))
	}
}
