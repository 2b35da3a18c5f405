package resolve

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pierhead.dev/pierhead/image"
)

func TestRefusals(t *testing.T) {
	personal := func(q Question) Question { q.Personal = true; return q }
	project := func(q Question, name string) Question { q.Project = name; return q }
	for _, c := range []struct {
		q     Question
		match string
		rule  Rule
		says  string
	}{
		{ask(t, "gcr.io/x"), "gcr.io:8443/x", RuleHostPort, "gcr.io:8443"},
		{ask(t, "gcr.io:8443/x"), "gcr.io", RuleHostPort, "the port must match"},
		{ask(t, "a.azurecr.io:8443/x"), "*.azurecr.io", RuleHostPort, "the port must match"},
		{ask(t, "us.gcr.io/x"), "gcr.io", RuleHostLabels, "us.gcr.io"},
		{ask(t, "a.eastus.geo.azurecr.io/x"), "*.azurecr.io", RuleHostLabels, "every label"},
		{ask(t, "gcr.io/x"), "gcr.io/y", RulePath, "not x"},
		{ask(t, "gcr.io/x"), "gcr.io/y/*", RulePath, "below y"},
		{ask(t, "gcr.io/xy/z"), "gcr.io/x/*", RulePath, "xy/z"},
		{ask(t, "gcr.io/x/y"), "gcr.io/x", RulePathBelow, "/*"},
		{ask(t, "gcr.io/x"), "gcr.io/x/*", RulePathAbove, "without /*"},
		{ask(t, "gcr.io/x:v2"), "gcr.io/x:v1*", RuleTag, "has v2"},
		{ask(t, "gcr.io/x@sha256:"+hex64), "gcr.io/x:v1*", RuleTagMissing, "digest"},
		{personal(ask(t, "gcr.io/x")), "gcr.io", RulePersonal, "personal"},
		{askName(t, "gcr.io/x"), "gcr.io/x:v1", RuleTagUnknown, "not known"},
		{Question{Host: "gcr.io"}, "gcr.io/x", RuleRepositoryUnknown, "only the host"},
	} {
		refusals := table(t, registry("a", c.match)).Refusals(c.q)
		if len(refusals) != 1 || refusals[0].Rule != c.rule || !strings.Contains(refusals[0].Text, c.says) || refusals[0].Lost {
			t.Errorf("%+v against %s: %+v, want %s", c.q, c.match, refusals, c.rule)
		}
	}
	some := table(t, listing("a", "q", "gcr.io"), disabled(registry("b", "gcr.io")))
	for name, want := range map[string][]Rule{"p": {RuleProjectNotListed, RuleDisabled}, "": {RuleProjectUnknown, RuleDisabled}, "q": {RuleDisabled}} {
		if got := rules(some.Refusals(project(ask(t, "gcr.io/x"), name))); !slices.Equal(got, want) {
			t.Errorf("project %q: %v, want %v", name, got, want)
		}
	}
	if got := table(t, registry("a", "quay.io", "evilgcr.io", "gcr.io.evil.com")).Refusals(ask(t, "gcr.io/x")); len(got) != 0 {
		t.Errorf("another host's patterns are told: %v", got)
	}
}

func TestRefusalsOfTheOthers(t *testing.T) {
	table := table(t,
		registry("a", "gcr.io/x/*", "gcr.io:443/x/*", "gcr.io"),
		listing("b", "p", "gcr.io/x/*"),
		registry("c", "gcr.io/x/y:v1"),
	)
	got := table.Refusals(ask(t, "gcr.io/x/y"))
	if want := []Rule{RuleTag, RuleOpenToAll, RuleOpenToAll, RuleLessSpecific}; !slices.Equal(rules(got), want) {
		t.Errorf("%v, want %v", rules(got), want)
	}
	if got[1].Text != "registry b (gcr.io/x/*) has an equally specific pattern and lists the project" || !got[1].Lost || got[0].Lost {
		t.Errorf("%+v", got)
	}
	q := ask(t, "gcr.io/x/y")
	q.Project = "other"
	if got, want := rules(table.Refusals(q)), []Rule{RuleProjectNotListed, RuleTag, RuleDuplicate, RuleLessSpecific}; !slices.Equal(sorted(got), sorted(want)) {
		t.Errorf("%v, want %v", got, want)
	}
	if r := table.Registry("b"); r == nil || r.Name != "b" || table.Registry("z") != nil {
		t.Error("Registry")
	}
}

func sorted(list []Rule) []Rule {
	slices.Sort(list)
	return list
}

func rules(refusals []Refusal) []Rule {
	var list []Rule
	for _, r := range refusals {
		list = append(list, r.Rule)
	}
	return list
}

// Of every pattern of the host, either it won or there is one refusal, and the refusal agrees with the naive reading.
func TestRefusalsAreComplete(t *testing.T) {
	for seed := range *seeds / 2 {
		v := vocabulary{Rand: rand.New(rand.NewPCG(3, seed)), crowded: seed%10 == 0}
		registries := v.registries()
		table, err := Compile(registries)
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			q := v.question()
			answer, refusals := table.Match(q), table.Refusals(q)
			count := map[Candidate]int{}
			for _, r := range refusals {
				count[Candidate{r.Registry, r.Pattern}]++
				if r.Text == "" {
					t.Fatalf("seed %d, %+v: no text for %+v", seed, q, r)
				}
				usable := r.Registry.Enabled && !q.Personal && (r.Registry.Projects.All || q.Project != "" && slices.Contains(r.Registry.Projects.Names, q.Project))
				p, _ := image.ParsePattern(r.Pattern)
				covers := usable && p.MatchesHost(q.Host) && p.MatchesRepository(q.Repository) && p.MatchesTag(q.Tag, q.TagKnown) == image.Yes
				if r.Lost && q.Repository != "" && q.TagKnown && !covers || covers && !r.Lost && r.Rule != RuleTie && answer.Outcome != Ambiguous {
					t.Fatalf("seed %d, %+v: %s: %v (%s)", seed, q, r.Candidate, r.Rule, r.Text)
				}
			}
			for i := range registries {
				r := table.Registry(registries[i].Name)
				want := map[string]int{}
				for _, text := range r.Match {
					if p, _ := image.ParsePattern(text); p.MatchesHost(q.Host) {
						want[text]++
					}
				}
				for text, n := range want {
					if answer.Outcome == Matched && answer.Candidate == (Candidate{r, text}) {
						n--
					}
					if got := count[Candidate{r, text}]; got != n {
						t.Fatalf("seed %d, %+v: %d refusals of %s %s, want %d; %s; among %s", seed, q, got, r.Name, text, n, answer.Explain(), told(registries))
					}
				}
			}
		}
	}
}
