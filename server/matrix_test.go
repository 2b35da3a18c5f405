package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"pierhead.dev/pierhead/api"
)

// A trial is one request that would succeed for somebody, and what each caller gets, in the order of callers:
// root (administrator), alice (admin), bob (member), eve (another organization), reader (alice, read-only), ci (robot),
// node. Where an organization or project is hidden the answer is 404, never 403.
type trial struct {
	id     string
	path   func(k *kit) string
	body   string
	expect [7]int
}

func at(path string) func(*kit) string { return func(*kit) string { return path } }

const registryBody = `{"name":"more","match":["more.example/*"],"credential":{"secret":"env:MORE"}}`

var trials = []trial{
	{"whoami", at("/whoami"), "", [7]int{200, 200, 200, 200, 200, 200, 200}},
	{"create-person", at("/persons"), `{"name":"carol"}`, [7]int{201, 403, 403, 403, 403, 403, 403}},
	{"list-persons", at("/persons"), "", [7]int{200, 200, 200, 200, 200, 200, 200}},
	{"show-person", at("/persons/bob"), "", [7]int{200, 200, 200, 404, 200, 200, 404}},
	{"delete-person", at("/persons/bob"), "", [7]int{204, 403, 403, 404, 403, 403, 404}},

	{"create-organization", at("/organizations"), `{"name":"hooli"}`, [7]int{201, 403, 403, 403, 403, 403, 403}},
	{"list-organizations", at("/organizations"), "", [7]int{200, 200, 200, 200, 200, 200, 200}},
	{"show-organization", at("/organizations/acme"), "", [7]int{200, 200, 200, 404, 200, 200, 200}},
	{"delete-organization", at("/organizations/initech"), "", [7]int{204, 404, 404, 404, 404, 404, 403}},

	{"list-members", at("/organizations/acme/members"), "", [7]int{200, 200, 200, 404, 200, 200, 403}},
	{"show-member", at("/organizations/acme/members/bob"), "", [7]int{200, 200, 200, 404, 200, 200, 403}},
	{"set-member", at("/organizations/acme/members/bob"), `{"role":"admin"}`, [7]int{200, 200, 403, 404, 403, 403, 403}},
	{"delete-member", at("/organizations/acme/members/bob"), "", [7]int{204, 204, 204, 404, 403, 403, 404}},

	{"create-project", at("/projects"), `{"owner":"acme","name":"audio"}`, [7]int{403, 201, 201, 404, 403, 201, 404}},
	{"list-projects", at("/projects?owner=acme"), "", [7]int{403, 200, 200, 404, 200, 200, 404}},
	{"show-project", at("/projects/acme/vision"), "", [7]int{404, 200, 200, 404, 200, 200, 404}},
	{"delete-project", at("/projects/acme/vision"), "", [7]int{404, 204, 403, 404, 403, 403, 404}},

	{"create-token", at("/tokens"), `{"name":"mine"}`, [7]int{201, 201, 201, 201, 403, 0, 0}},
	{"create-token", at("/tokens"), `{"name":"ci2","organization":"acme"}`, [7]int{403, 201, 403, 404, 403, 403, 403}},
	{"list-tokens", at("/tokens"), "", [7]int{200, 200, 200, 200, 200, 200, 200}},
	{"show-token", bobsToken, "", [7]int{200, 404, 200, 404, 404, 404, 404}},
	{"delete-token", bobsToken, "", [7]int{204, 404, 204, 404, 404, 404, 404}},

	{"create-registry", at("/organizations/acme/registries"), registryBody, [7]int{403, 201, 403, 404, 403, 403, 403}},
	{"list-registries", at("/organizations/acme/registries"), "", [7]int{403, 200, 403, 404, 200, 403, 403}},
	{"show-registry", at("/organizations/acme/registries/images"), "", [7]int{403, 200, 403, 404, 200, 403, 403}},
	{"show-registry-reach", at("/organizations/acme/registries/images/reach"), "", [7]int{403, 200, 403, 404, 200, 403, 403}},
	{"update-registry", at("/organizations/acme/registries/images"), `{"match":["images.example/*"]}`, [7]int{403, 200, 403, 404, 403, 403, 403}},
	{"delete-registry", at("/organizations/acme/registries/images"), "", [7]int{403, 204, 403, 404, 403, 403, 403}},
	{"test-registry", at("/organizations/acme/registries/images/test"), `{}`, [7]int{403, 503, 403, 404, 403, 403, 403}},
	{"list-allowed-secrets", at("/owners/acme/allowed-secrets"), "", [7]int{200, 200, 200, 404, 200, 200, 404}},
	{"list-allowed-secrets", at("/owners/bob/allowed-secrets"), "", [7]int{200, 404, 200, 404, 404, 404, 404}},
	{"allow-secret", at("/owners/acme/allowed-secrets"), `{"prefix":"file:hub"}`, [7]int{204, 204, 403, 404, 403, 403, 404}},
	{"allow-secret", at("/owners/bob/allowed-secrets"), `{"prefix":"file:hub"}`, [7]int{204, 404, 403, 404, 404, 404, 404}},
	{"disallow-secret", at("/owners/acme/allowed-secrets?prefix=file:hub"), "", [7]int{404, 404, 403, 404, 403, 403, 404}},
	{"show-data-key", at("/organizations/acme/data-key"), "", [7]int{403, 409, 409, 404, 409, 409, 409}},
	{"explain", at("/explain"), `{"image":"images.example/a:b","organization":"acme"}`, [7]int{403, 200, 200, 404, 200, 200, 403}},
	{"explain", at("/explain"), `{"image":"images.example/a:b","project":"alice/own","organization":"acme"}`, [7]int{404, 200, 404, 404, 200, 404, 404}},

	{"create-execution", at("/executions"), `{"project":"acme/vision","spec":{"step":"s","image":"a.example/b"}}`, [7]int{404, 201, 201, 404, 403, 201, 404}},
	{"create-execution", at("/executions"), `{"project":"alice/own","spec":{"step":"s","image":"a.example/b"}}`, [7]int{404, 201, 404, 404, 403, 404, 404}},
	{"list-executions", at("/executions"), "", [7]int{200, 200, 200, 200, 200, 200, 200}},
	{"list-executions", at("/executions?owner=acme"), "", [7]int{403, 200, 200, 404, 200, 200, 404}},
	{"show-execution", execution(""), "", [7]int{404, 200, 200, 404, 200, 200, 404}},
	{"stop-execution", execution("/stop"), "", [7]int{404, 200, 200, 404, 403, 200, 404}},
	{"read-log", execution("/log"), "", [7]int{404, 200, 200, 404, 200, 200, 404}},

	{"list-events", at("/events?organization=acme"), "", [7]int{403, 200, 403, 404, 200, 403, 403}},
	{"list-audit", at("/audit?organization=acme"), "", [7]int{403, 200, 403, 404, 200, 403, 403}},
	{"list-audit", at("/audit"), "", [7]int{200, 200, 200, 200, 200, 200, 200}},

	{"collect-garbage", at("/garbage-collections"), `{"dry_run":true}`, [7]int{200, 403, 403, 403, 403, 403, 403}},

	{"create-join-token", at("/organizations/acme/join-tokens"), `{"name":"gpu-1"}`, [7]int{403, 201, 403, 404, 403, 403, 403}},
	{"join-node", at("/nodes"), `{}`, [7]int{401, 401, 401, 401, 401, 401, 401}}, // join tokens only: see joins_test.go
	{"list-nodes", at("/organizations/acme/nodes"), "", [7]int{403, 200, 200, 404, 200, 200, 403}},
	{"show-node", joined(""), "", [7]int{403, 200, 200, 404, 200, 200, 403}},
	{"revoke-node", joined("/revoke"), "", [7]int{403, 200, 403, 404, 403, 403, 403}},

	{"read-snapshot", at("/node/snapshot"), "", [7]int{403, 403, 403, 403, 403, 403, 200}},
	{"take-registry-grant", at("/node/registry-grant"), "", [7]int{403, 403, 403, 403, 403, 403, 409}},
	{"take-work", at("/node/work"), "", [7]int{403, 403, 403, 403, 403, 403, 200}},
	{"list-work", at("/node/executions"), "", [7]int{403, 403, 403, 403, 403, 403, 200}},
	{"report-progress", taken("/progress"), `{"state":"pulling"}`, [7]int{404, 403, 403, 404, 403, 403, 200}},
	{"append-log", taken("/log"), "hello\n", [7]int{404, 403, 403, 404, 403, 403, 200}},
	{"deliver-events", at("/node/events"), `{"events":[{"id":"e1","at":"2026-01-31T12:00:00Z","kind":"pull.failed"}]}`, [7]int{403, 403, 403, 403, 403, 403, 204}},
	{"put-data-key", at("/node/data-key"), dataKeyBody, [7]int{403, 403, 403, 403, 403, 403, 204}},
	{"answer-question", at("/node/answers/ask_x"), `{}`, [7]int{404, 404, 404, 404, 404, 404, 404}},
}

// dataKeyBody is the base point of P-256; its id is the head of the point's SHA-256.
const dataKeyBody = `{"id":"698bea63dc44a344","public_key":"BGsX0fLhLEJH-Lzm5WOkQPJ3A32BLeszoPShOUXYmMKWT-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU"}`

func bobsToken(k *kit) string {
	made, err := k.client("bob").CreateToken(k.t.Context(), api.NewToken{Name: "bobs"})
	k.must(err)
	return "/tokens/" + made.ID
}

func joined(rest string) func(*kit) string {
	return func(k *kit) string { return "/organizations/acme/nodes/" + k.join("").Name + rest }
}

func execution(rest string) func(*kit) string {
	return func(k *kit) string { return "/executions/" + k.execution().ID + rest }
}

func taken(rest string) func(*kit) string {
	return func(k *kit) string { return "/node/executions/" + k.taken().ID + rest }
}

func TestWhoMayDoWhat(t *testing.T) {
	documented := map[string]operation{}
	for _, o := range newKit(t).operations() {
		documented[o.id] = o
	}
	tried := map[string]bool{}
	for _, trial := range trials {
		o, known := documented[trial.id]
		if !known {
			t.Errorf("there is no operation %s", trial.id)
		}
		tried[trial.id] = true
		t.Run(trial.id, func(t *testing.T) {
			t.Parallel()
			var k *kit
			for i, caller := range callers {
				if k == nil {
					k = newTrial(t)
				}
				trial.try(k, o, caller, trial.expect[i])
				if o.method != http.MethodGet && trial.expect[i] < 300 {
					k = nil // this caller changed something that the next shall not see
				}
			}
		})
	}
	for id := range documented {
		if !tried[id] {
			t.Errorf("operation %s is not in the table", id)
		}
	}
}

func newTrial(t *testing.T) *kit {
	k := newKit(t)
	k.projects()
	k.registry()
	_, err := k.client("root").CreateOrganization(t.Context(), api.NewOrganization{Name: "initech"})
	k.must(err)
	return k
}

// An expectation of 0 is any refusal.
func (trial trial) try(k *kit, o operation, caller string, expect int) {
	t := k.t
	path := api.Prefix + trial.path(k)
	status, _, text := k.send(o.method, path, k.token[caller], trial.body)
	if status != expect && (expect != 0 || status != http.StatusForbidden && status != http.StatusNotFound) {
		t.Errorf("%s as %s: %d, not %d: %s", trial.id, caller, status, expect, text)
	}
	if status >= 300 {
		var envelope api.Error
		if err := json.Unmarshal([]byte(text), &envelope); err != nil || envelope.Error.Message == "" {
			t.Errorf("%s as %s: %v in %s", trial.id, caller, err, text)
		}
		k.leaksNothing(trial, caller, status, text)
	}
}

// leaksNothing: a thing that is hidden and one that is not there read the same.
func (k *kit) leaksNothing(trial trial, caller string, status int, text string) {
	if status == http.StatusNotFound && strings.Contains(text, "may not") {
		k.t.Errorf("%s as %s: %s tells that there is something", trial.id, caller, text)
	}
	for name, token := range k.token {
		if strings.Contains(text, token) {
			k.t.Errorf("%s as %s: the token of %s is in the answer", trial.id, caller, name)
		}
	}
}

// A hidden organization and one that is not there get the same words but for the name.
func TestHiddenReadsAsMissing(t *testing.T) {
	k := newKit(t)
	for _, path := range []string{"/organizations/%s", "/organizations/%s/members", "/organizations/%s/registries", "/projects?owner=%s"} {
		_, _, hidden := k.send("GET", api.Prefix+fmt.Sprintf(path, "acme"), k.token["eve"], "")
		_, _, missing := k.send("GET", api.Prefix+fmt.Sprintf(path, "nope"), k.token["eve"], "")
		if strings.ReplaceAll(hidden, "acme", "nope") != missing {
			t.Errorf("%s: %s and %s", path, hidden, missing)
		}
	}
}
