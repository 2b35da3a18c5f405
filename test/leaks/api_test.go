package leaks

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const token = "pier_pat_of_the_test"

// An apiServer is a small API like Pierhead's: fixed answers, a document of its routes, and a memory of what was asked.
type apiServer struct {
	*httptest.Server
	answers map[string]string // by path and query
	asked   []string
	strange []string // requests without the token
	mu      sync.Mutex
}

// document names parameters in the query by "?".
func document(routes ...string) string {
	paths := map[string]any{}
	for _, r := range routes {
		path, queries, _ := strings.Cut(r, "?")
		var parameters []any
		for _, name := range strings.Fields(queries) {
			parameters = append(parameters, map[string]any{"name": name, "in": "query"})
		}
		paths[path] = map[string]any{"get": map[string]any{"parameters": parameters}, "post": map[string]any{}}
	}
	paths["/api/v1/explain"] = map[string]any{"post": map[string]any{}}
	return marshal(map[string]any{"openapi": "3.1.0", "paths": paths})
}

var routes = []string{
	"/api/v1/whoami", "/api/v1/organizations", "/api/v1/organizations/{organization}", "/api/v1/organizations/{organization}/members",
	"/api/v1/organizations/{organization}/members/{person}", "/api/v1/organizations/{organization}/data-key",
	"/api/v1/organizations/{organization}/registries", "/api/v1/organizations/{organization}/registries/{registry}",
	"/api/v1/projects?owner", "/api/v1/projects/{owner}/{project}", "/api/v1/executions?before limit", "/api/v1/executions/{execution}",
	"/api/v1/executions/{execution}/log?offset follow", "/api/v1/tokens", "/api/v1/tokens/{token}", "/api/v1/persons", "/api/v1/persons/{person}",
	"/api/v1/audit?before organization", "/api/v1/events?organization execution", "/api/v1/node/work", "/api/v1/odd/{x}/{y}",
}

func newServer(t *testing.T) *apiServer {
	s := &apiServer{answers: map[string]string{
		"/api/openapi.json":                          document(routes...),
		"/api/v1/whoami":                             `{"name": "alice", "memberships": [{"organization": "acme"}]}`,
		"/api/v1/organizations":                      `{"organizations": [{"id": "org_1", "name": "acme"}]}`,
		"/api/v1/organizations/acme":                 `{"id": "org_1", "name": "acme"}`,
		"/api/v1/organizations/acme/members":         `{"members": [{"organization": "acme", "person": "alice"}]}`,
		"/api/v1/organizations/acme/members/alice":   `{}`,
		"/api/v1/organizations/acme/data-key":        `{}`,
		"/api/v1/organizations/acme/registries":      `{"registries": [{"id": "reg_1", "name": "team", "match": ["a/b"]}]}`,
		"/api/v1/organizations/acme/registries/team": `{"id": "reg_1", "name": "team", "match": ["a/b"]}`,
		"/api/v1/projects":                           `{"projects": [{"id": "prj_1", "owner": "acme", "name": "vision", "full_name": "acme/vision"}]}`,
		"/api/v1/projects/acme/vision":               `{}`,
		"/api/v1/executions":                         `{"executions": [{"id": "exe_2"}]}`,
		"/api/v1/executions?before=exe_2":            `{"executions": [{"id": "exe_1"}]}`,
		"/api/v1/executions?before=exe_1":            `{"executions": []}`,
		"/api/v1/executions/exe_2":                   `{}`,
		"/api/v1/executions/exe_1":                   `{}`,
		"/api/v1/executions/exe_2/log":               "Pulling image\n",
		"/api/v1/executions/exe_1/log":               "Pulling image\n",
		"/api/v1/tokens":                             `{"tokens": [{"id": "tok_1", "name": "first"}]}`,
		"/api/v1/tokens/tok_1":                       `{}`,
		"/api/v1/persons":                            `{"persons": [{"id": "per_1", "name": "alice"}]}`,
		"/api/v1/persons/alice":                      `{}`,
		"/api/v1/audit":                              `{"entries": [{"id": "aud_2"}]}`,
		"/api/v1/audit?before=aud_2":                 `{"entries": []}`,
		"/api/v1/events?organization=acme":           `{"events": [{"id": "evt_1"}]}`,
		"/api/v1/events?execution=exe_2":             `{"events": []}`,
		"/api/v1/events?execution=exe_1":             `{"events": []}`,
	}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := r.URL.RequestURI()
	s.asked = append(s.asked, asked)
	if r.Method != http.MethodGet || r.Header.Get("Authorization") != "Bearer "+token {
		s.strange = append(s.strange, r.Method+" "+asked)
	}
	answer, ok := s.answers[asked]
	switch {
	case !ok:
		w.WriteHeader(http.StatusNotFound)
		answer = `{"error": {"code": "not_found"}}`
	case strings.HasPrefix(answer, "5"):
		w.WriteHeader(http.StatusInternalServerError)
	case strings.HasPrefix(answer, "Header: "):
		w.Header().Set("X-Debug", strings.TrimPrefix(answer, "Header: "))
		answer = "{}"
	}
	_, _ = w.Write([]byte(answer))
}

func loginFor(t *testing.T, server string) Login {
	t.Helper()
	path := filepath.Join(t.TempDir(), "contexts.yaml")
	write(t, path, fmt.Sprintf("current: local\ncontexts:\n  other:\n    server: http://other\n    token: no\n  local:\n    server: %s\n    token: %s\n    data_keys: {acme: abc}\n", server, token))
	login, err := ReadLogin(path)
	if err != nil {
		t.Fatal(err)
	}
	return login
}

func searchAPI(t *testing.T, n *Needle, s *apiServer, addresses ...string) *Report {
	t.Helper()
	var report Report
	n.SearchAPI(t.Context(), addresses, loginFor(t, s.URL), &report)
	checkPrinted(t, n, &report)
	return &report
}

func TestReadsAllOfAnAPI(t *testing.T) {
	s := newServer(t)
	report := searchAPI(t, needleOf(t, secrets["plain"]), s, s.URL+"/api/v1/whoami")
	if report.Exit() != ExitClean || report.Answers != len(s.asked) {
		t.Errorf("%+v", report)
	}
	for path := range s.answers {
		if !slices.Contains(s.asked, path) {
			t.Errorf("%s was not read", path)
		}
	}
	if len(s.strange) > 0 {
		t.Errorf("strange requests: %v", s.strange)
	}
	want := []string{"nothing could be read from /api/v1/node/work", "nothing could be read from /api/v1/odd/{x}/{y}"}
	if slices.Sort(report.Notes); !slices.Equal(report.Notes, want) {
		t.Errorf("notes: %q", report.Notes)
	}
}

// In whichever answer it hides, it is found: in the document, in headers, and in answers that are errors too.
func TestFindsInEveryAnswer(t *testing.T) {
	secret := secrets["escaping"]
	n := needleOf(t, secret)
	for path := range newServer(t).answers {
		s := newServer(t)
		s.answers[path] = strings.TrimSuffix(s.answers[path], "}") + `, "detail": ` + marshal("Basic "+std("robot:"+secret)) + "}"
		if !strings.HasPrefix(s.answers[path], "{") {
			s.answers[path] = marshal(secret)
		}
		checkFound(t, searchAPI(t, n, s, s.URL+"/api/v1/whoami"), "answer to GET "+s.URL+path)
	}
	for path, answer := range map[string]string{"header of GET": "Header: " + u64(secret), "answer to GET": "500 " + gzipped(secret)} {
		s := newServer(t)
		s.answers["/api/v1/persons/alice"] = answer
		checkFound(t, searchAPI(t, n, s, s.URL+"/api/v1/whoami"), path)
	}
}

func TestTellsWhatDidNotAnswer(t *testing.T) {
	n := needleOf(t, secrets["plain"])
	for name, spoil := range map[string]func(s *apiServer) string{
		"an address that is none": func(*apiServer) string { return "%zz" },
		"an address without host": func(*apiServer) string { return "/api/v1/whoami" },
		"an address not there":    func(s *apiServer) string { return s.URL + "/api/v1/other?password=" + secrets["plain"] },
		"no server":               func(s *apiServer) string { s.Close(); return s.URL + "/api/v1/whoami" },
		"no document":             func(s *apiServer) string { delete(s.answers, "/api/openapi.json"); return s.URL + "/api/v1/whoami" },
		"an empty document":       func(s *apiServer) string { s.answers["/api/openapi.json"] = "{}"; return s.URL + "/api/v1/whoami" },
		"a broken answer":         func(s *apiServer) string { s.answers["/api/v1/audit"] = "500"; return s.URL + "/api/v1/whoami" },
		"an address that leads on": func(s *apiServer) string {
			redirect := httptest.NewServer(http.RedirectHandler(s.URL, http.StatusFound))
			t.Cleanup(redirect.Close)
			return redirect.URL
		},
	} {
		s := newServer(t)
		if report := searchAPI(t, n, s, spoil(s)); report.Exit() != ExitNotSearched {
			t.Errorf("%s: %+v", name, report)
		}
	}
}

// The token is for its own server.
func TestTokenStaysWithItsServer(t *testing.T) {
	s, other := newServer(t), newServer(t)
	searchAPI(t, needleOf(t, secrets["plain"]), s, other.URL+"/api/v1/whoami")
	if len(other.asked) == 0 || len(other.strange) != len(other.asked) {
		t.Errorf("of %d requests to another server, %d were without the token", len(other.asked), len(other.strange))
	}
	if printed := fmt.Sprintf("%v %+v %#v", loginFor(t, s.URL), loginFor(t, s.URL), loginFor(t, s.URL)); strings.Contains(printed, token) {
		t.Errorf("printed: %s", printed)
	}
}

func TestRefusesContexts(t *testing.T) {
	for _, content := range []string{"", "current: x", "contexts: [" + token, "current: a\ncontexts: {a: {server: 'http://h'}}", "current: a\ncontexts: {a: {token: " + token + "}}"} {
		path := filepath.Join(t.TempDir(), "contexts.yaml")
		write(t, path, content)
		if _, err := ReadLogin(path); err == nil || strings.Contains(err.Error(), token) {
			t.Errorf("%q: %v", content, err)
		}
	}
}
