package storetest

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pierhead.dev/pierhead"
)

var registryTests = []test{
	{"V1OnlyAdminsSeeAndChangeRegistries", testRegistryRoles},
	{"RegistryComesBackAsSaved", testRegistryRoundTrip},
	{"UpdateNoticesAnotherUpdate", testRegistryUpdate},
	{"TiesAreRefused", testTies},
	{"OneHelperForAHost", testHelperScope},
	{"PredefinedRegistry", testHostedRegistry},
	{"ProjectScope", testProjectScope},
	{"DeleteTellsReach", testRegistryDelete},
	{"SealedCredentials", testSealed},
	{"Snapshot", testSnapshot},
}

// registry is one open to all projects.
func registry(name string, match ...string) pierhead.Registry {
	return pierhead.Registry{Name: name, Enabled: true, Match: match, Projects: pierhead.ProjectScope{All: true}}
}

func testRegistryRoles(t *testing.T, w *world) {
	r, err := w.CreateRegistry(w.ctx, w.alice, "acme", registry("azure", "myregistry.azurecr.io/*"))
	w.must(err)
	for _, c := range []pierhead.Caller{w.root, w.bob, w.robot, w.node} {
		_, err := w.CreateRegistry(w.ctx, c, "acme", registry("x", "gcr.io/x"))
		w.wants(err, pierhead.ErrNotAllowed, "admin of the organization")
		_, err = w.UpdateRegistry(w.ctx, c, "acme", r)
		w.wants(err, pierhead.ErrNotAllowed)
		_, err = w.Registries(w.ctx, c, "acme")
		w.wants(err, pierhead.ErrNotAllowed)
		_, err = w.Registry(w.ctx, c, "acme", "azure")
		_, missing := w.Registry(w.ctx, c, "acme", "other")
		w.wants(err, pierhead.ErrNotAllowed)
		w.wants(missing, pierhead.ErrNotAllowed) // which registries there are is not told either
		w.wants(w.DeleteRegistry(w.ctx, c, "acme", "azure"), pierhead.ErrNotAllowed)
	}
	if e := w.lastEntry(w.alice, "acme", "registry.delete"); e.Outcome != "refused" || e.Caller != w.node.Name || len(e.Detail) != 0 {
		t.Errorf("the refusal was logged as %+v", e)
	}
}

func testRegistryRoundTrip(t *testing.T, w *world) {
	r := pierhead.Registry{
		ID: "reg_0123456789abcdef", Name: "azure", Match: []string{"MyRegistry.azurecr.io/*", "docker.io/acme/*:v*"},
		Credential: pierhead.RegistryCredential{Secret: "file:azure"}, WhenRefused: pierhead.RefusedFail,
		Projects: pierhead.ProjectScope{Names: []string{"train", "serve", "train"}}, PlainHTTP: true, CA: certificate,
		Realms: []string{"Auth.example.com:443", "auth.example.com"}, PrivateNetworks: []string{"10.0.0.0/8", "fd00::/8"},
	}
	made, err := w.CreateRegistry(w.ctx, w.alice, "acme", r)
	w.must(err)
	want := r
	want.Type, want.OrganizationID, want.CreatedAt, want.UpdatedAt = pierhead.RegistryGeneric, w.organizationID("acme"), made.CreatedAt, made.CreatedAt
	want.Projects.Names, want.Realms = []string{"serve", "train"}, []string{"auth.example.com"}
	if !reflect.DeepEqual(made, want) {
		t.Errorf("saved %+v, want %+v", made, want)
	}
	got, err := w.Registry(w.ctx, w.alice, "acme", "azure")
	w.must(err)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v, want %+v", got, want)
	}
	all, err := w.Registries(w.ctx, w.alice, "acme")
	w.must(err)
	if len(all) != 2 || !reflect.DeepEqual(all[0], want) {
		t.Errorf("listed %+v", all)
	}
	_, err = w.CreateRegistry(w.ctx, w.alice, "acme", registry("azure", "gcr.io/x"))
	w.wants(err, pierhead.ErrConflict, "azure")
	r.Name, r.Match = "other", []string{"quay.io/x"}
	_, err = w.CreateRegistry(w.ctx, w.eve, "beta", pierhead.Registry{ID: r.ID, Name: "x", Match: []string{"quay.io/x"}}) // a taken id
	w.wants(err, pierhead.ErrConflict, "id")
}

func testRegistryUpdate(t *testing.T, w *world) {
	first, err := w.CreateRegistry(w.ctx, w.alice, "acme", registry("azure", "myregistry.azurecr.io/*"))
	w.must(err)
	second := first
	second.Match = []string{"myregistry.azurecr.io/team/*"}
	second, err = w.UpdateRegistry(w.ctx, w.alice, "acme", second)
	w.must(err)
	if !second.UpdatedAt.After(first.UpdatedAt) || !second.CreatedAt.Equal(first.CreatedAt) || second.ID != first.ID {
		t.Errorf("updated %+v from %+v", second, first)
	}
	first.Enabled = false
	_, err = w.UpdateRegistry(w.ctx, w.alice, "acme", first)
	w.wants(err, pierhead.ErrConflict, "somebody else")
	again := registry("azure", "quay.io/*") // without a time: whatever is there is replaced
	again, err = w.UpdateRegistry(w.ctx, w.alice, "acme", again)
	w.must(err)
	if got, err := w.Registry(w.ctx, w.alice, "acme", "azure"); err != nil || !reflect.DeepEqual(got, again) || got.Match[0] != "quay.io/*" {
		t.Errorf("got %+v, %v", got, err)
	}
	again.ID = "reg_0123456789abcdef"
	_, err = w.UpdateRegistry(w.ctx, w.alice, "acme", again)
	w.wants(err, pierhead.ErrConflict)
	_, err = w.UpdateRegistry(w.ctx, w.alice, "acme", registry("nothing", "quay.io/*"))
	w.wants(err, pierhead.ErrNotFound, "nothing")
}

// helper: whole-host is kept, logged, and no two registries say it for one host.
func testHelperScope(t *testing.T, w *world) {
	one, two := registry("one", "quay.io/one/*"), registry("two", "gcr.io/two/*", "QUAY.io/two/*")
	one.Helper = pierhead.HelperWholeHost
	_, err := w.CreateRegistry(w.ctx, w.alice, "acme", one)
	w.must(err)
	if got, err := w.Registry(w.ctx, w.alice, "acme", "one"); err != nil || got.Helper != pierhead.HelperWholeHost {
		t.Errorf("read %+v, %v", got, err)
	}
	if e := w.lastEntry(w.alice, "acme", "registry.create"); e.Detail["helper"] != "whole-host" {
		t.Errorf("logged %+v", e)
	}
	two, err = w.CreateRegistry(w.ctx, w.alice, "acme", two)
	w.must(err)
	if e := w.lastEntry(w.alice, "acme", "registry.create"); e.Detail["helper"] != "" {
		t.Errorf("logged %+v", e)
	}
	two.Helper = pierhead.HelperWholeHost
	_, err = w.UpdateRegistry(w.ctx, w.alice, "acme", two)
	w.wants(err, pierhead.ErrConflict, "registry one")
	two.Match = []string{"gcr.io/two/*"}
	two, err = w.UpdateRegistry(w.ctx, w.alice, "acme", two)
	w.must(err)
	two.Match, two.Enabled = []string{"quay.io/two/*"}, false // it is looked at when somebody enables it
	two, err = w.UpdateRegistry(w.ctx, w.alice, "acme", two)
	w.must(err)
	two.Enabled = true
	_, err = w.UpdateRegistry(w.ctx, w.alice, "acme", two)
	w.wants(err, pierhead.ErrConflict, "quay.io")
}

func testTies(t *testing.T, w *world) {
	_, err := w.CreateRegistry(w.ctx, w.alice, "acme", registry("one", "docker.io/acme/*", "quay.io/x"))
	w.must(err)
	_, err = w.CreateRegistry(w.ctx, w.alice, "acme", registry("two", "gcr.io/y", "Index.docker.io/acme/*"))
	w.wants(err, pierhead.ErrConflict, "one")
	limited := registry("two", "docker.io/acme/*")
	limited.Projects = pierhead.ProjectScope{Names: []string{"train"}}
	_, err = w.CreateRegistry(w.ctx, w.alice, "acme", limited) // the one that lists the project wins
	w.must(err)
	limited.Name, limited.Projects.Names = "three", []string{"serve"}
	_, err = w.CreateRegistry(w.ctx, w.alice, "acme", limited)
	w.must(err)
	limited.Projects.Names = []string{"serve", "train"}
	_, err = w.UpdateRegistry(w.ctx, w.alice, "acme", limited)
	w.wants(err, pierhead.ErrConflict, "two")
	off := registry("four", "quay.io/x")
	off.Enabled = false
	off, err = w.CreateRegistry(w.ctx, w.alice, "acme", off)
	w.must(err)
	off.Enabled = true
	_, err = w.UpdateRegistry(w.ctx, w.alice, "acme", off)
	w.wants(err, pierhead.ErrConflict, "one")
	_, err = w.CreateRegistry(w.ctx, w.alice, "acme", registry("five", "127.0.0.1:7070/acme/*"))
	w.wants(err, pierhead.ErrConflict, pierhead.HostedRegistryName)
	hosted, err := w.Registry(w.ctx, w.alice, "acme", pierhead.HostedRegistryName)
	w.must(err)
	hosted.Enabled = false
	hosted, err = w.UpdateRegistry(w.ctx, w.alice, "acme", hosted)
	w.must(err)
	_, err = w.CreateRegistry(w.ctx, w.alice, "acme", registry("five", "127.0.0.1:7070/acme/*"))
	w.must(err)
	hosted.Enabled = true
	_, err = w.UpdateRegistry(w.ctx, w.alice, "acme", hosted)
	w.wants(err, pierhead.ErrConflict, "five")
	_, err = w.CreateRegistry(w.ctx, w.eve, "beta", registry("one", "docker.io/acme/*")) // another organization's
	w.must(err)
}

func testHostedRegistry(t *testing.T, w *world) {
	r, err := w.Registry(w.ctx, w.alice, "acme", pierhead.HostedRegistryName)
	w.must(err)
	if r.Type != pierhead.RegistryHosted || !r.Enabled || !slices.Equal(r.Match, []string{"127.0.0.1:7070/acme/*"}) || !r.PlainHTTP || !r.Projects.All {
		t.Errorf("the predefined registry is %+v", r)
	}
	w.wants(w.DeleteRegistry(w.ctx, w.alice, "acme", r.Name), pierhead.ErrConflict, "disable")
	_, err = w.CreateRegistry(w.ctx, w.alice, "acme", pierhead.Registry{Name: r.Name})
	w.wants(err, pierhead.ErrConflict)
	r.Enabled, r.Projects = false, pierhead.ProjectScope{Names: []string{"train"}}
	saved, err := w.UpdateRegistry(w.ctx, w.alice, "acme", r)
	w.must(err)
	if saved.Enabled || saved.Projects.All || len(saved.Match) != 1 {
		t.Errorf("saved %+v", saved)
	}
	for _, change := range []func(r *pierhead.Registry){
		func(r *pierhead.Registry) { r.Match = []string{"elsewhere.example/*"} },
		func(r *pierhead.Registry) { r.Type = pierhead.RegistryGeneric },
		func(r *pierhead.Registry) { r.Credential.Secret = "file:x" },
		func(r *pierhead.Registry) { r.PrivateNetworks = []string{"10.0.0.0/8"} },
	} {
		r := saved
		change(&r)
		_, err = w.UpdateRegistry(w.ctx, w.alice, "acme", r)
		w.wants(err, pierhead.ErrBadInput, "predefined")
	}
}

func testProjectScope(t *testing.T, w *world) {
	r := registry("limited", "gcr.io/x/*")
	r.Projects = pierhead.ProjectScope{Names: []string{"nothing"}}
	_, err := w.CreateRegistry(w.ctx, w.alice, "acme", r)
	w.wants(err, pierhead.ErrBadInput, "nothing")
	r.Projects = pierhead.ProjectScope{All: true, Names: []string{"train"}}
	_, err = w.CreateRegistry(w.ctx, w.alice, "acme", r)
	w.wants(err, pierhead.ErrBadInput, "all or a list")
	r.Projects = pierhead.ProjectScope{} // nobody
	made, err := w.CreateRegistry(w.ctx, w.alice, "acme", r)
	w.must(err)
	if made.Projects.All || len(made.Projects.Names) != 0 {
		t.Errorf("nobody became %+v", made.Projects)
	}
}

func testRegistryDelete(t *testing.T, w *world) {
	_, err := w.CreateRegistry(w.ctx, w.alice, "acme", registry("azure", "myregistry.azurecr.io/*"))
	w.must(err)
	x := w.run(w.bob, "acme", "train")
	w.take()
	_, err = w.Report(w.ctx, w.node, x.ID, pierhead.Progress{State: pierhead.ExecutionRunning, Registry: "azure"})
	w.must(err)
	reach, err := w.RegistryReach(w.ctx, w.alice, "acme", "azure")
	w.must(err)
	if reach.Registry.Name != "azure" || reach.Executions != 1 || !slices.Equal(reach.Projects, []string{"train"}) || !reach.LastUsed.Equal(x.CreatedAt) {
		t.Errorf("the registry reaches %+v", reach)
	}
	_, err = w.RegistryReach(w.ctx, w.bob, "acme", "azure")
	w.wants(err, pierhead.ErrNotAllowed)
	w.must(w.DeleteRegistry(w.ctx, w.alice, "acme", "azure"))
	w.wants(w.DeleteRegistry(w.ctx, w.alice, "acme", "azure"), pierhead.ErrNotFound)
	e := w.lastEntry(w.alice, "acme", "registry.delete")
	for e.Outcome != "ok" {
		entries, err := w.Audit(w.ctx, w.alice, auditFilter("acme", "registry.delete", e.ID))
		w.must(err)
		e = entries[0]
	}
	if e.Detail["match"] != "myregistry.azurecr.io/*" || e.Detail["projects"] != "all" || e.Detail["executions in 30 days"] != "1" {
		t.Errorf("the entry says %v", e.Detail)
	}
}

// dataKey makes a key pair's public half.
func dataKey(t *testing.T) pierhead.DataKey {
	t.Helper()
	private, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point := private.PublicKey().Bytes()
	sum := sha256.Sum256(point)
	return pierhead.DataKey{ID: hex.EncodeToString(sum[:8]), PublicKey: base64.RawURLEncoding.EncodeToString(point)}
}

func sealedTo(keyID string) pierhead.Sealed {
	return pierhead.Sealed("sealed:v1:" + keyID + ":" + base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("s", 200))))
}

func testSealed(t *testing.T, w *world) {
	key := dataKey(t)
	r := registry("azure", "myregistry.azurecr.io/*")
	r.Credential.Sealed = sealedTo(key.ID)
	_, err := w.CreateRegistry(w.ctx, w.alice, "acme", r)
	w.wants(err, pierhead.ErrBadInput, "no agent")
	w.must(w.PutDataKey(w.ctx, w.node, key))
	r, err = w.CreateRegistry(w.ctx, w.alice, "acme", r)
	w.must(err)
	r.Match = []string{"myregistry.azurecr.io/team/*"} // the same host: still what it was sealed for
	r, err = w.UpdateRegistry(w.ctx, w.alice, "acme", r)
	w.must(err)
	r.Match = []string{"evil.azurecr.io/*"}
	_, err = w.UpdateRegistry(w.ctx, w.alice, "acme", r)
	w.wants(err, pierhead.ErrConflict, "myregistry.azurecr.io")
	r.Match = []string{"evil.example/*"}
	_, err = w.UpdateRegistry(w.ctx, w.alice, "acme", r)
	w.wants(err, pierhead.ErrBadInput, "type acr")
	r.Match = []string{"myregistry.azurecr.io/team/*"}
	r.Credential = pierhead.RegistryCredential{Sealed: "sealed:v1:" + pierhead.Sealed(key.ID) + ":c2hvcnQ"}
	_, err = w.UpdateRegistry(w.ctx, w.alice, "acme", r)
	w.wants(err, pierhead.ErrBadInput, "sealed")
}

func testSnapshot(t *testing.T, w *world) {
	for _, c := range []pierhead.Caller{w.root, w.alice, w.bob, w.robot} {
		_, err := w.Snapshot(w.ctx, c)
		w.wants(err, pierhead.ErrNotAllowed)
	}
	snapshot := func() pierhead.Snapshot {
		t.Helper()
		s, err := w.Snapshot(w.ctx, w.node)
		w.must(err)
		return s
	}
	first := snapshot()
	if first.URL != URL || len(first.Organizations) != 2 || first.Organizations[0].Organization.Name != "acme" {
		t.Fatalf("got %+v", first)
	}
	if again := snapshot(); !reflect.DeepEqual(again, first) {
		t.Errorf("the snapshot changed by itself: %+v", again)
	}
	w.run(w.bob, "acme", "train") // nothing to do with registries
	if again := snapshot(); again.Version != first.Version {
		t.Errorf("an execution made version %d of %d", again.Version, first.Version)
	}
	off := registry("azure", "myregistry.azurecr.io/*")
	off.Enabled, off.Credential.Secret = false, "file:azure"
	_, err := w.CreateRegistry(w.ctx, w.alice, "acme", off)
	w.must(err)
	second := snapshot()
	if second.Version <= first.Version || len(second.Organizations[0].Registries) != 2 || second.Organizations[0].Registries[0].Credential.Secret != "file:azure" {
		t.Errorf("after a new registry: %+v", second)
	}
	w.must(w.DeleteRegistry(w.ctx, w.alice, "acme", "azure"))
	if third := snapshot(); third.Version <= second.Version || len(third.Organizations[0].Registries) != 1 {
		t.Errorf("after its deletion: %+v", third)
	}
	for i := range 20 {
		_, err := w.CreateRegistry(w.ctx, w.alice, "acme", registry(fmt.Sprintf("r%d", i), fmt.Sprintf("h%d.example/*", i)))
		w.must(err)
	}
	if got := len(snapshot().Organizations[0].Registries); got != 21 {
		t.Errorf("%d registries", got)
	}
}
