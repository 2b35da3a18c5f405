package store

import (
	"context"
	"testing"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/audit"
)

func TestSmoke(t *testing.T) {
	ctx := context.Background()
	s, err := Open(ctx, "sqlite:"+t.TempDir()+"/p.db", Options{URL: "http://127.0.0.1:7070"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, text, created, err := s.Bootstrap(ctx, "root")
	if err != nil || !created {
		t.Fatal(err)
	}
	c, err := s.Authenticate(ctx, text)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.CreateOrganization(ctx, c, "acme"); err != nil {
		t.Fatal(err)
	}
	c, _ = s.Authenticate(ctx, text)
	if _, err := s.CreateProject(ctx, c, "acme", "train"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.CreateRegistry(ctx, c, "acme", pierhead.Registry{Name: "azure", Enabled: true, Match: []string{"myregistry.azurecr.io/*"}, Projects: pierhead.ProjectScope{Names: []string{"train"}}}); err != nil {
		t.Fatal(err)
	}
	x, err := s.CreateExecution(ctx, c, "acme", "train", pierhead.Spec{Step: "a", Image: "alpine"})
	if err != nil {
		t.Fatal(err)
	}
	_, nt, err := s.EnsureNode(ctx, pierhead.System(), "local")
	if err != nil {
		t.Fatal(err)
	}
	n, err := s.Authenticate(ctx, nt)
	if err != nil {
		t.Fatal(err)
	}
	w, err := s.TakeWork(ctx, n, 5)
	if err != nil || len(w) != 1 {
		t.Fatal(w, err)
	}
	if _, err := s.Report(ctx, n, x.ID, pierhead.Progress{State: pierhead.ExecutionRunning}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.AppendLog(ctx, n, x.ID, 0, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	d, err := s.ExecutionLog(ctx, c, x.ID, 2, 2)
	if err != nil || string(d) != "ll" {
		t.Fatal(string(d), err)
	}
	snap, err := s.Snapshot(ctx, n)
	t.Logf("%+v %v", snap, err)
	es, err := s.Audit(ctx, c, audit.Filter{})
	for _, e := range es {
		t.Logf("%+v", e)
	}
	if err != nil {
		t.Fatal(err)
	}
}
