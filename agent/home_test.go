package agent

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
)

// The doors answer for the organization that is named, or for the first by name.
func TestHome(t *testing.T) {
	s, err := OpenSnapshot(filepath.Join(t.TempDir(), "snapshot.json"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := s.home(over, ""); !errors.Is(err, pierhead.ErrUnreachable) || pierhead.HintOf(err) == "" {
		t.Errorf("before there is a snapshot: %v", err)
	}
	if err := s.use(pierhead.Snapshot{}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.home(t.Context(), ""); !errors.Is(err, pierhead.ErrNotFound) || pierhead.HintOf(err) == "" {
		t.Errorf("without an organization: %v", err)
	}
	of := func(name string) pierhead.OrganizationSnapshot {
		return pierhead.OrganizationSnapshot{Organization: pierhead.Organization{ID: "org_" + name, Name: name},
			Registries: []pierhead.Registry{{ID: "reg_" + name, Name: name, Enabled: true, Match: []string{name + ".example/*"}, Projects: pierhead.ProjectScope{All: true}}}}
	}
	if err := s.use(pierhead.Snapshot{Organizations: []pierhead.OrganizationSnapshot{of("zeta"), of("beta"), of("mu")}}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"": "beta", "beta": "beta", "zeta": "zeta"} {
		organization, table, err := s.home(t.Context(), name)
		if err != nil || organization.Name != want || table.Size() != 1 {
			t.Errorf("%q is %+v, %v", name, organization, err)
		}
	}
	if _, _, err := s.home(t.Context(), "gamma"); !errors.Is(err, pierhead.ErrNotFound) || !strings.Contains(pierhead.HintOf(err), "--node-organization") {
		t.Errorf("an organization that is not served: %v", err)
	}
}

// The log says at the start for whom the doors answer, and when another organization comes first.
func TestHomeIsSaid(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.start(t.TempDir())
	k.until("acme is said", func() bool {
		return k.log.has("INFO the doors of this node answer for one organization organization=acme")
	})
	if _, err := k.admin.CreateOrganization(t.Context(), api.NewOrganization{Name: "aardvark"}); err != nil {
		t.Fatal(err)
	}
	k.until("aardvark is said", func() bool {
		return k.log.has("WARN the doors of this node answer for another organization now organization=aardvark before=acme")
	})
}
