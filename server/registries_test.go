package server_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
)

const sealedText = "sealed:v1:698bea63dc44a344:" + "c2VhbGVkLW1hcmtlcg" + "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// sealed adds a registry whose credential is sealed to the node's key.
func (k *kit) sealed() api.Registry {
	k.t.Helper()
	var key api.DataKey
	k.must(json.Unmarshal([]byte(dataKeyBody), &key))
	k.must(k.client("node").PutDataKey(k.t.Context(), key.Noun()))
	r, err := k.client("alice").CreateRegistry(k.t.Context(), "acme", api.Registry{
		ID: "reg_0123456789abcdef", Name: "sealed", Match: []string{"images.example/*"}, Credential: api.Credential{Sealed: &api.Sealed{Text: sealedText}},
	})
	k.must(err)
	return r
}

// Nobody reads a credential back: not its admin, from no route, not from a conflict.
func TestCredentialIsNotReadBack(t *testing.T) {
	k := newKit(t)
	made := k.sealed()
	if made.ID != "reg_0123456789abcdef" || made.Credential.Sealed == nil || made.Credential.Sealed.KeyID != "698bea63dc44a344" {
		t.Errorf("made %+v", made)
	}
	for _, o := range k.operations() {
		if o.method != http.MethodGet || strings.HasPrefix(o.path, "/api/v1/node/") || strings.HasSuffix(o.path, "/log") {
			continue
		}
		path := strings.NewReplacer("{organization}", "acme", "{registry}", "sealed").Replace(o.path)
		for _, caller := range callers {
			if _, _, text := k.send(o.method, placeholder.ReplaceAllString(path, "x"), k.token[caller], ""); strings.Contains(text, "c2VhbGVkLW1hcmtlcg") {
				t.Errorf("%s shows %s the sealed credential: %s", o.id, caller, text)
			}
		}
	}
	snapshot, _, err := k.client("node").Snapshot(t.Context(), 0, 0)
	k.must(err)
	if !strings.Contains(fmt.Sprint(snapshot), sealedText) {
		t.Error("the node does not get it either")
	}
}

// What was shown can be sent back with a change, and the sealed credential stays.
func TestUpdateKeepsASealedCredential(t *testing.T) {
	k := newKit(t)
	k.sealed()
	alice := k.client("alice")
	shown, err := alice.Registry(t.Context(), "acme", "sealed")
	k.must(err)
	stale := shown
	shown.WhenRefused = "fail"
	saved, err := alice.UpdateRegistry(t.Context(), "acme", shown)
	k.must(err)
	if saved.WhenRefused != "fail" || !reflect.DeepEqual(saved.Credential, shown.Credential) {
		t.Errorf("saved %+v", saved)
	}
	kept, err := k.store.Registry(t.Context(), pierhead.Caller{Name: "test", Memberships: map[string]pierhead.Role{k.organizationID(): pierhead.RoleAdmin}}, "acme", "sealed")
	if err != nil || kept.Credential.Sealed != sealedText {
		t.Errorf("kept %q, %v", kept.Credential.Sealed, err)
	}
	if _, err := alice.UpdateRegistry(t.Context(), "acme", stale); !errors.Is(err, pierhead.ErrConflict) {
		t.Errorf("an update of what somebody else changed: %v", err)
	}
	other := saved
	other.Credential = api.Credential{Sealed: &api.Sealed{KeyID: "ffffffffffffffff"}}
	if _, err := alice.UpdateRegistry(t.Context(), "acme", other); !errors.Is(err, pierhead.ErrConflict) {
		t.Errorf("a credential that is not there: %v", err)
	}
	saved.Match = []string{"elsewhere.example/*"}
	if _, err := alice.UpdateRegistry(t.Context(), "acme", saved); !errors.Is(err, pierhead.ErrConflict) {
		t.Errorf("a sealed credential for another host: %v", err)
	}
	saved.Name, saved.Credential = "new", api.Credential{Sealed: &api.Sealed{KeyID: "698bea63dc44a344"}}
	if _, err := alice.CreateRegistry(t.Context(), "acme", saved); !errors.Is(err, pierhead.ErrBadInput) {
		t.Errorf("a new registry with a credential without text: %v", err)
	}
}

func (k *kit) organizationID() string {
	o, err := k.client("alice").Organization(k.t.Context(), "acme")
	k.must(err)
	return o.ID
}

func TestRequestsAreReadStrictly(t *testing.T) {
	k := newKit(t)
	const path = "/api/v1/organizations/acme/registries"
	for _, test := range []struct{ name, method, path, body, message, hint string }{
		{"unknown key", "POST", path, `{"name":"x","mach":[]}`, `unknown key "mach"`, `did you mean "match"?`},
		{"key of another case", "POST", path, `{"Name":"x"}`, `unknown key "Name"`, `did you mean "name"?`},
		{"later key", "POST", path, `{"name":"x","image_prefix":"p"}`, `key "image_prefix" is not supported by this version`, "leave it out"},
		{"no body", "POST", path, ``, `the request has no body`, "send a JSON object"},
		{"two bodies", "POST", path, `{"name":"x"}{}`, "something follows the JSON object", "send one object"},
		{"doubled key", "POST", path, `{"name":"x","name":"y"}`, `key "name" is there twice`, "keep one of them"},
		{"a list", "POST", path, `[]`, "the document must be an object, not a list", ""},
		{"not JSON", "POST", path, `name: x`, "this is not JSON", "keys and text stand in double quotes, and nothing follows the last item of a list"},
		{"two organizations", "POST", path, `{"name":"x","organization":"umbrella"}`, "the body's organization is not the one of the path", "leave it out of the body"},
		{"another name", "PUT", path + "/x", `{"name":"y"}`, "the body's name is not the one of the path", "a registry keeps its name: add another and delete this one"},
		{"another kind", "POST", path, `{"kind":"Project","name":"x"}`, `kind is "Project", not Registry`, "leave kind out, or write kind: Registry"},
		{"unknown parameter", "GET", "/api/v1/executions?stat=queued", ``, `unknown parameter "stat"`, `did you mean "state"?`},
		{"doubled parameter", "GET", "/api/v1/executions?state=queued&state=failed", ``, "the parameter state is there twice", "keep one of them"},
		{"bad number", "GET", "/api/v1/executions?limit=many", ``, "the parameter limit is not a whole number from 0 on", ""},
		{"bad time", "GET", "/api/v1/audit?since=today", ``, "the parameter since is not a time such as 2026-01-31T12:00:00Z", ""},
		{"bad duration", "GET", "/api/v1/node/work?wait=long", ``, "the parameter wait is not a duration such as 30s", ""},
		{"time limit", "POST", "/api/v1/executions", `{"project":"a/b","spec":{"image":"x","time_limit_seconds":-1}}`, "time_limit_seconds is out of range", "it is between 0, for none, and 315360000"},
		{"too long", "POST", path, `{"name":"` + strings.Repeat("x", api.MaxBody) + `"}`, "the body is longer than 1048576 bytes", "send less at once"},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, _, text := k.send(test.method, test.path, k.token["alice"], test.body)
			var envelope api.Error
			k.must(json.Unmarshal([]byte(text), &envelope))
			if status != http.StatusBadRequest || envelope.Error != (api.ErrorBody{Code: "bad_input", Message: test.message, Hint: test.hint}) {
				t.Errorf("%d %s", status, text)
			}
		})
	}
}
