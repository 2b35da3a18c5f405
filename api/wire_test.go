package api_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
)

var (
	then  = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	three = 3
)

// What a node is told comes out as it went in.
func TestNounsSurviveTheWire(t *testing.T) {
	execution := pierhead.Execution{
		ID: "exe_1", Project: "acme/vision", ProjectID: "prj_1", OrganizationID: "org_1", CreatedBy: "alice", NodeID: "node_1", StopRequested: true,
		Spec: pierhead.Spec{
			Step: "train", Image: "a.example/b:c", Command: []string{"x", "y"}, Environment: map[string]string{"K": "V"},
			Mounts: []pierhead.Mount{{Source: "/a", Destination: "/b", ReadOnly: true}}, TimeLimit: time.Hour, PullPolicy: pierhead.PullNever,
		},
		Progress: pierhead.Progress{
			State: pierhead.ExecutionFailed, Digest: "sha256:1", PlatformDigest: "sha256:2", Registry: "r", Anonymous: true, ExitCode: &three,
			Reason: "why", Hint: "what", PullFailed: true, StartedAt: then, FinishedAt: then.Add(time.Second),
		},
		LogSize: 7, CreatedAt: then,
	}
	if back := through(t, api.ExecutionOf(execution)).Noun(); !reflect.DeepEqual(back, execution) {
		t.Errorf("execution is %+v\nnot %+v", back, execution)
	}
	event := pierhead.Event{ID: "evt_1", At: then, OrganizationID: "org_1", Kind: "pull.failed", ExecutionID: "exe_1", Image: "i", Registry: "r", Detail: map[string]string{"a": "b"}}
	if back := through(t, api.EventOf(event)).Noun(); !reflect.DeepEqual(back, event) {
		t.Errorf("event is %+v\nnot %+v", back, event)
	}
	key := pierhead.DataKey{ID: "0011", PublicKey: "BBBB", NodeID: "node_1", CreatedAt: then}
	if back := through(t, api.DataKeyOf(key)).Noun(); back != key {
		t.Errorf("key is %+v\nnot %+v", back, key)
	}
	snapshot := pierhead.Snapshot{Version: 4, URL: "http://127.0.0.1:7070", Organizations: []pierhead.OrganizationSnapshot{{
		Organization: pierhead.Organization{ID: "org_1", Name: "acme", CreatedAt: then},
		Registries:   []pierhead.Registry{sealedRegistry(), {ID: "reg_2", OrganizationID: "org_1", Name: "later", Type: "from-a-newer-server", WhenRefused: "perhaps", Projects: pierhead.ProjectScope{Names: []string{}}}},
	}}}
	if back := through(t, api.SnapshotOf(snapshot)).Noun(); !reflect.DeepEqual(back, snapshot) {
		t.Errorf("snapshot is %+v\nnot %+v", back, snapshot)
	}
}

func sealedRegistry() pierhead.Registry {
	return pierhead.Registry{
		ID: "reg_1", OrganizationID: "org_1", Name: "r", Type: pierhead.RegistryGeneric, Enabled: true,
		Match: []string{"b.example/*", "a.example/x/*", "b.example/y"}, Credential: pierhead.RegistryCredential{Sealed: "sealed:v1:0011223344556677:c2VjcmV0"},
		WhenRefused: pierhead.RefusedFail, Projects: pierhead.ProjectScope{All: true}, PlainHTTP: true, CA: "pem", Realms: []string{"r.example"},
		PrivateNetworks: []string{"10.0.0.0/8"}, Helper: pierhead.HelperWholeHost, CreatedAt: then, UpdatedAt: then,
	}
}

// A sealed credential is shown to people by its key and hosts only.
func TestSealedCredentialIsNotReadBack(t *testing.T) {
	text, err := json.Marshal(api.RegistryOf(sealedRegistry(), "acme"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "c2VjcmV0") {
		t.Errorf("the sealed text is in %s", text)
	}
	if want := `"credential":{"sealed":{"key_id":"0011223344556677","hosts":["a.example","b.example"]}}`; !strings.Contains(string(text), want) {
		t.Errorf("%s\nhas no %s", text, want)
	}
}

func TestEmptyListsAreLists(t *testing.T) {
	for _, wire := range []any{
		api.PersonsOf(nil), api.OrganizationsOf(nil), api.MembersOf(nil), api.ProjectsOf(nil), api.TokensOf(nil),
		api.RegistriesOf(nil, ""), api.ExecutionsOf(nil), api.EventsOf(nil),
	} {
		if text, err := json.Marshal(wire); err != nil || !strings.Contains(string(text), ":[]") {
			t.Errorf("%T is %s, %v", wire, text, err)
		}
	}
}

func through[T any](t *testing.T, wire T) T {
	t.Helper()
	text, err := json.Marshal(wire)
	if err != nil {
		t.Fatal(err)
	}
	var back T
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	return back
}
