package resolve

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/image"
)

func TestConflicts(t *testing.T) {
	for _, c := range []struct {
		name       string
		registries []pierhead.Registry
		want       string // the two, or nothing
	}{
		{"the same pattern", []pierhead.Registry{registry("a", "gcr.io/x/*"), registry("b", "gcr.io/x/*")}, "a b"},
		{"written otherwise", []pierhead.Registry{registry("a", "docker.io/ubuntu"), registry("b", "https://INDEX.docker.io/library/ubuntu")}, "a b"},
		{"twice in one registry", []pierhead.Registry{registry("a", "gcr.io", "gcr.io/*")}, ""},
		{"one lists projects, one is open", []pierhead.Registry{registry("a", "gcr.io"), listing("b", "p", "gcr.io")}, ""},
		{"other projects", []pierhead.Registry{listing("a", "p", "gcr.io"), listing("b", "q", "gcr.io")}, ""},
		{"a project in both", []pierhead.Registry{listing("a", "p,q", "gcr.io"), listing("b", "q,r", "gcr.io")}, "a b"},
		{"one is disabled", []pierhead.Registry{registry("a", "gcr.io"), disabled(registry("b", "gcr.io"))}, ""},
		{"other tags", []pierhead.Registry{registry("a", "gcr.io/x:v1"), registry("b", "gcr.io/x:v2")}, ""},
		{"tags that meet", []pierhead.Registry{registry("a", "gcr.io/x:v*"), registry("b", "gcr.io/x:*1")}, "a b"},
		{"segments that meet", []pierhead.Registry{registry("a", "gcr.io/team-*/app"), registry("b", "gcr.io/*-team/app")}, "a b"},
		{"segments that do not", []pierhead.Registry{registry("a", "gcr.io/team-a*/app"), registry("b", "gcr.io/team-b*/app")}, ""},
		{"one more specific than the other", []pierhead.Registry{registry("a", "gcr.io/team-*/app"), registry("b", "gcr.io/team-a*/app")}, ""},
		{"hosts that meet", []pierhead.Registry{registry("a", "a*.azurecr.io"), registry("b", "*a.azurecr.io")}, "a b"},
		{"other ports", []pierhead.Registry{registry("a", "a*.azurecr.io:1"), registry("b", "*a.azurecr.io:2")}, ""},
	} {
		conflicts, err := Conflicts(c.registries)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, x := range conflicts {
			got = append(got, x.A.Registry.Name+" "+x.B.Registry.Name)
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s: %v, want %q", c.name, conflicts, c.want)
		}
	}
	conflicts, _ := Conflicts([]pierhead.Registry{listing("b", "p,q", "gcr.io/team-*/app"), listing("a", "q", "gcr.io/*-team/app")})
	if want := "registry a (gcr.io/*-team/app) and registry b (gcr.io/team-*/app) would both cover gcr.io/team-x-team/app for project q, and nothing decides between them"; len(conflicts) != 1 || conflicts[0].String() != want {
		t.Errorf("%v, want %s", conflicts, want)
	}
	if _, err := Conflicts([]pierhead.Registry{registry("a", "gcr.io/**")}); err == nil {
		t.Error("a pattern that does not parse is no error")
	}
}

// Where very many patterns begin alike, they are told apart by their ends.
func TestConflictsAmongMany(t *testing.T) {
	registries := []pierhead.Registry{registry("odd", "gcr.io/x*team-007/app")}
	for i := range 200 {
		registries = append(registries, registry(fmt.Sprintf("r%03d", i), fmt.Sprintf("gcr.io/*-team-%03d/app", i)))
	}
	conflicts, err := Conflicts(registries)
	if err != nil || len(conflicts) != 1 || conflicts[0].A.Registry.Name != "odd" || conflicts[0].B.Registry.Name != "r007" {
		t.Errorf("%v, %v", conflicts, err)
	}
}

// Registries without conflicts never tie, and the image of a conflict is covered by both.
func TestConflictsForeseeTies(t *testing.T) {
	with, without := 0, 0
	for seed := range *seeds {
		v := vocabulary{Rand: rand.New(rand.NewPCG(4, seed)), crowded: seed%20 == 0}
		registries := v.registries()
		conflicts, err := Conflicts(registries)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range conflicts {
			checkConflict(t, seed, c)
		}
		if len(conflicts) > 0 {
			with++
			continue
		}
		without++
		table, _ := Compile(registries)
		for range 30 {
			if q := v.question(); table.Match(q).Reason == ReasonTie {
				t.Fatalf("seed %d: no conflict, and yet %+v: %s", seed, q, table.Match(q).Explain())
			}
		}
	}
	if uint64(with) < *seeds/10 || uint64(without) < *seeds/10 {
		t.Errorf("%d with conflicts, %d without", with, without)
	}
}

func checkConflict(t *testing.T, seed uint64, c Conflict) {
	t.Helper()
	r, err := image.Parse(c.Image)
	if err != nil {
		t.Fatalf("seed %d: %v: %v", seed, c, err)
	}
	var tuples [][]int
	for _, side := range []Candidate{c.A, c.B} {
		p, _ := image.ParsePattern(side.Pattern)
		host, path, _ := strings.Cut(c.Image, "/") // the pattern's host, which as text of a reference could be a namespace
		repository, _, _ := strings.Cut(path, ":")
		if !p.MatchesHost(host) || !p.MatchesRepository(repository) || p.MatchesTag(r.Tag(), true) != image.Yes {
			t.Errorf("seed %d: %v does not cover %s", seed, side, c.Image)
		}
		tuples = append(tuples, naiveTuple(p, !side.Registry.Projects.All))
	}
	for i := range tuples[0] {
		if tuples[0][i] != tuples[1][i] {
			t.Errorf("seed %d: %v: %v", seed, c, tuples)
		}
	}
}
