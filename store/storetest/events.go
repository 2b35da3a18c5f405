package storetest

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/audit"
	"pierhead.dev/pierhead/store"
)

var eventTests = []test{
	{"EventsAreTakenOnce", testEvents},
	{"WhoseEvents", testEventsVisible},
}

var auditTests = []test{
	{"EveryActIsLogged", testAudit},
	{"WhoReadsTheLog", testAuditVisible},
	{"AuditFilterAndPages", testAuditFilter},
	{"Record", testRecord},
	{"PollsAreNotLogged", testQuietReads},
	{"CollectionsAreTheAdministrators", testAllowCollection},
}

func testEvents(t *testing.T, w *world) {
	x, mine := w.run(w.bob, "acme", "train"), w.run(w.bob, "bob", "play")
	w.take()
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	events := []pierhead.Event{
		{ID: "e1", At: at, Kind: "credential.used", ExecutionID: x.ID, Image: "gcr.io/x", Registry: "azure", Detail: map[string]string{"host": "gcr.io"}},
		{ID: "e2", At: at.Add(time.Second), Kind: "pull.failed", OrganizationID: w.organizationID("acme"), Image: "gcr.io/y"},
		{ID: "e3", At: at, Kind: "pull.anonymous", ExecutionID: mine.ID},
		{ID: "e4", At: at, Kind: "pull.failed", ExecutionID: "exe_gone"},
		{ID: "e5", At: at, Kind: "pull.failed", OrganizationID: "org_gone"},
	}
	for range 2 {
		w.must(w.DeliverEvents(w.ctx, w.node, events))
	}
	events[0].OrganizationID = w.organizationID("acme")
	got, err := w.Events(w.ctx, w.alice, store.EventFilter{Organization: "acme"})
	w.must(err)
	if want := []pierhead.Event{events[1], events[0]}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, c := range []struct {
		filter store.EventFilter
		want   string
	}{
		{store.EventFilter{Organization: "acme", Kind: "credential.used"}, "e1"}, {store.EventFilter{Organization: "acme", Registry: "azure"}, "e1"},
		{store.EventFilter{Organization: "acme", Limit: 1}, "e2"}, {store.EventFilter{Organization: "acme", Before: "e2"}, "e1"},
		{store.EventFilter{ExecutionID: x.ID}, "e1"},
	} {
		got, err := w.Events(w.ctx, w.alice, c.filter)
		w.must(err)
		if len(got) != 1 || got[0].ID != c.want {
			t.Errorf("%+v gives %+v, want %s", c.filter, got, c.want)
		}
	}
	for _, bad := range []pierhead.Event{{}, {ID: "e9"}, {ID: "e9", Kind: "x"}} {
		w.wants(w.DeliverEvents(w.ctx, w.node, []pierhead.Event{{ID: "e8", At: at, Kind: "x", ExecutionID: x.ID}, bad}), pierhead.ErrBadInput)
	}
	if got, _ := w.Events(w.ctx, w.alice, store.EventFilter{ExecutionID: x.ID}); len(got) != 1 {
		t.Errorf("half of a bad delivery was taken: %+v", got)
	}
}

func testEventsVisible(t *testing.T, w *world) {
	x, mine := w.run(w.bob, "acme", "train"), w.run(w.bob, "bob", "play")
	_, text, err := w.EnsureNode(w.ctx, pierhead.System(), "other")
	w.must(err)
	w.take()
	event := []pierhead.Event{{ID: "e1", At: time.Now(), Kind: "x", ExecutionID: x.ID}}
	w.wants(w.DeliverEvents(w.ctx, w.login(text), event), pierhead.ErrNotFound) // another node's execution
	w.wants(w.DeliverEvents(w.ctx, w.alice, event), pierhead.ErrNotAllowed)
	w.must(w.DeliverEvents(w.ctx, w.node, event))
	for _, c := range []pierhead.Caller{w.bob, w.robot, w.root} {
		_, err := w.Events(w.ctx, c, store.EventFilter{Organization: "acme"})
		w.wants(err, pierhead.ErrNotAllowed)
	}
	_, err = w.Events(w.ctx, w.eve, store.EventFilter{Organization: "acme"})
	w.wants(err, pierhead.ErrNotFound)
	if got, err := w.Events(w.ctx, w.bob, store.EventFilter{ExecutionID: x.ID}); err != nil || len(got) != 1 {
		t.Errorf("a member sees %+v, %v of an execution", got, err)
	}
	_, err = w.Events(w.ctx, w.alice, store.EventFilter{ExecutionID: mine.ID})
	w.wants(err, pierhead.ErrNotFound)
	_, err = w.Events(w.ctx, w.alice, store.EventFilter{})
	w.wants(err, pierhead.ErrBadInput)
}

func auditFilter(organization, action, before string) audit.Filter {
	return audit.Filter{Organization: organization, Action: action, Before: before}
}

func testAudit(t *testing.T, w *world) {
	_, err := w.CreateRegistry(w.ctx, w.alice, "acme", registry("azure", "myregistry.azurecr.io/*"))
	w.must(err)
	e := w.lastEntry(w.alice, "acme", "registry.create")
	want := audit.Entry{
		ID: e.ID, At: e.At, Caller: "alice", TokenID: w.alice.TokenID, Action: "registry.create", Object: "registry acme/azure",
		OrganizationID: w.organizationID("acme"), Outcome: audit.OK,
		Detail: map[string]string{"match": "myregistry.azurecr.io/*", "enabled": "true", "projects": "all"},
	}
	if !reflect.DeepEqual(e, want) || e.ID == "" || e.At.IsZero() {
		t.Errorf("got %+v, want %+v", e, want)
	}
	_, err = w.CreateRegistry(w.ctx, w.bob, "acme", registry("other", "gcr.io/x"))
	w.wants(err, pierhead.ErrNotAllowed)
	if e := w.lastEntry(w.alice, "acme", "registry.create"); e.Outcome != audit.Refused || e.Caller != "bob" {
		t.Errorf("a refusal is logged as %+v", e)
	}
	_, err = w.CreateRegistry(w.ctx, w.alice, "acme", registry("azure", "gcr.io/x"))
	w.wants(err, pierhead.ErrConflict)
	if e := w.lastEntry(w.alice, "acme", "registry.create"); e.Outcome != audit.Failed || e.Detail["why"] != "conflict" {
		t.Errorf("a failure is logged as %+v", e)
	}
	_, err = w.Registries(w.ctx, w.alice, "acme")
	w.must(err)
	if e := w.lastEntry(w.alice, "acme", "registry.list"); e.Outcome != audit.OK {
		t.Errorf("a sensitive read is logged as %+v", e)
	}
	_, err = w.Organization(w.ctx, w.eve, "acme") // a stranger's try is in the log of whom it concerned
	w.wants(err, pierhead.ErrNotFound)
	if e := w.lastEntry(w.alice, "acme", "organization.show"); e.Outcome != audit.Refused || e.Caller != "eve" {
		t.Errorf("a stranger's try is logged as %+v", e)
	}
}

func testAuditVisible(t *testing.T, w *world) {
	w.run(w.bob, "bob", "play") // in no log but bob's
	_, err := w.Project(w.ctx, w.eve, "bob", "play")
	w.wants(err, pierhead.ErrNotFound)
	if e := w.lastEntry(w.bob, "", "project.show"); e.Caller != "eve" || e.OrganizationID != "" {
		t.Errorf("bob is not told of eve's try, but of %+v", e)
	}
	for _, c := range []pierhead.Caller{w.bob, w.robot, w.root, w.node} {
		_, err := w.Audit(w.ctx, c, audit.Filter{Organization: "acme"})
		w.wants(err, pierhead.ErrNotAllowed)
	}
	_, err = w.Audit(w.ctx, w.eve, audit.Filter{Organization: "acme"})
	w.wants(err, pierhead.ErrNotFound)
	acme := w.organizationID("acme")
	for _, c := range []struct {
		caller pierhead.Caller
		may    func(e audit.Entry) bool
	}{
		{w.root, func(e audit.Entry) bool {
			return (e.OrganizationID == "" || e.Caller == "root") && !strings.Contains(e.Object, "bob/play") && e.Action != "execution.create"
		}},
		{w.alice, func(e audit.Entry) bool { return e.OrganizationID == acme || e.Caller == "alice" }},
		{w.bob, func(e audit.Entry) bool { return e.Caller == "bob" || strings.Contains(e.Object, "bob/play") }},
		{w.robot, func(e audit.Entry) bool { return false }},
	} {
		entries, err := w.Audit(w.ctx, c.caller, audit.Filter{Limit: audit.MaxLimit})
		w.must(err)
		if i := slices.IndexFunc(entries, func(e audit.Entry) bool { return !c.may(e) }); i >= 0 {
			t.Errorf("%s sees %+v", c.caller.Name, entries[i])
		}
		if len(entries) == 0 && c.caller.PersonID != "" {
			t.Errorf("%s sees nothing", c.caller.Name)
		}
	}
}

func testAuditFilter(t *testing.T, w *world) {
	for i := range 12 {
		_, err := w.CreateProject(w.ctx, w.bob, "acme", fmt.Sprintf("p%d", i))
		w.must(err)
	}
	var paged []string
	f := audit.Filter{Organization: "acme", Action: "project.", Caller: "bob", Outcome: audit.OK, Limit: 5}
	for {
		page, err := w.Audit(w.ctx, w.alice, f)
		w.must(err)
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			paged = append(paged, strings.TrimPrefix(e.Object, "project acme/"))
			f.Before = e.ID
		}
	}
	if got := strings.Join(paged, " "); got != "p11 p10 p9 p8 p7 p6 p5 p4 p3 p2 p1 p0" {
		t.Errorf("pages give %s", got)
	}
	one, err := w.Audit(w.ctx, w.alice, audit.Filter{Object: "project acme/p3"})
	w.must(err)
	if len(one) != 1 {
		t.Fatalf("got %+v", one)
	}
	between, err := w.Audit(w.ctx, w.alice, audit.Filter{Organization: "acme", Action: "project.create", Since: one[0].At, Until: one[0].At.Add(time.Microsecond)})
	w.must(err)
	if len(between) != 1 || between[0].ID != one[0].ID {
		t.Errorf("got %+v", between)
	}
	_, err = w.Audit(w.ctx, w.alice, audit.Filter{Outcome: "maybe"})
	w.wants(err, pierhead.ErrBadInput)
	_, err = w.Audit(w.ctx, w.eve, audit.Filter{Before: one[0].ID}) // an entry that she does not see
	w.wants(err, pierhead.ErrNotFound)
}

func testRecord(t *testing.T, w *world) {
	var log audit.Log = w.Store
	w.must(log.Record(w.ctx, w.bob, audit.Entry{
		Action: "repository.push", Object: "repository acme/app", OrganizationID: w.organizationID("acme"), Outcome: audit.OK,
		Caller: "somebody else", Detail: map[string]string{"digest": "sha256:abc", "header": "Bearer abcdefghijklmnop"},
	}))
	e := w.lastEntry(w.alice, "acme", "repository.push")
	if e.Caller != "bob" || e.TokenID != w.bob.TokenID || e.Detail["digest"] != "sha256:abc" || strings.Contains(e.Detail["header"], "abcdefgh") {
		t.Errorf("got %+v", e)
	}
	w.wants(w.Record(w.ctx, w.bob, audit.Entry{Action: "x"}), pierhead.ErrBadInput)
	if err := w.Record(w.ctx, pierhead.Caller{}, audit.Entry{Action: "x", Outcome: audit.OK}); err == nil {
		t.Error("nobody wrote to the log")
	}
}

// What is asked again and again leaves no entries.
func testQuietReads(t *testing.T, w *world) {
	x := w.run(w.bob, "acme", "train")
	w.take()
	count := func() int {
		t.Helper()
		entries, err := w.Audit(w.ctx, w.alice, audit.Filter{Organization: "acme", Limit: audit.MaxLimit})
		w.must(err)
		return len(entries)
	}
	before := count()
	for range 3 {
		for _, read := range []func() error{
			func() error { _, err := w.Execution(w.ctx, w.bob, x.ID); return err },
			func() error { _, err := w.ExecutionLog(w.ctx, w.bob, x.ID, 0, 0); return err },
			func() error { _, err := w.Executions(w.ctx, w.bob, store.ExecutionFilter{}); return err },
			func() error { _, err := w.TakeWork(w.ctx, w.node, 1); return err },
			func() error { _, err := w.NodeExecutions(w.ctx, w.node); return err },
			func() error { _, err := w.Snapshot(w.ctx, w.node); return err },
			func() error { _, err := w.NamespaceActions(w.ctx, w.bob, "acme"); return err },
			func() error { _, err := w.Projects(w.ctx, w.bob, ""); return err },
			func() error {
				_, err := w.Report(w.ctx, w.node, x.ID, pierhead.Progress{State: pierhead.ExecutionQueued})
				return err
			},
		} {
			w.must(read())
		}
	}
	if after := count(); after != before+1 { // the first count itself
		t.Errorf("%d entries became %d", before, after)
	}
}

func testAllowCollection(t *testing.T, w *world) {
	for _, c := range []pierhead.Caller{w.alice, w.bob, w.robot, w.node, w.read} {
		w.wants(w.AllowCollection(w.ctx, c, true), pierhead.ErrNotAllowed, "administrator")
	}
	w.must(w.AllowCollection(w.ctx, w.root, true))
	if e := w.lastEntry(w.root, "", "garbage.collect"); e.Outcome != audit.OK || e.Caller != "root" || e.Detail["dry_run"] != "true" {
		t.Errorf("logged as %+v", e)
	}
}
