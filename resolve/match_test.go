package resolve

import (
	"strings"
	"testing"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/image"
)

var hex64 = strings.Repeat("0123456789abcdef", 4)

// registry makes one that is open to all.
func registry(name string, match ...string) pierhead.Registry {
	return pierhead.Registry{ID: "reg_" + name, Name: name, Enabled: true, Match: match, Projects: pierhead.ProjectScope{All: true}}
}

// listing makes one that lists projects, as "a,b".
func listing(name, projects string, match ...string) pierhead.Registry {
	r := registry(name, match...)
	r.Projects = pierhead.ProjectScope{Names: strings.Split(projects, ",")}
	return r
}

func disabled(r pierhead.Registry) pierhead.Registry {
	r.Enabled = false
	return r
}

func table(t testing.TB, registries ...pierhead.Registry) *Table {
	t.Helper()
	table, err := Compile(registries)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// ask makes a question as an execution of project p does.
func ask(t testing.TB, text string) Question {
	t.Helper()
	r, err := image.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	q := Ask(r)
	q.Project = "p"
	return q
}

// askName makes a question as kubelet's plugin does: the tag is not known.
func askName(t testing.TB, text string) Question {
	t.Helper()
	r, err := image.ParseName(text)
	if err != nil {
		t.Fatal(err)
	}
	q := Ask(r)
	q.Project = "p"
	return q
}

// The winners among the seeds' patterns and what they leave open.
func TestV5Winners(t *testing.T) {
	patterns := []string{
		"docker.io/myusername/*", "docker.io/*", "docker.io/library/*", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/*",
		"*.dkr.ecr.*.amazonaws.com/*", "gcr.io/my-project/*", "gcr.io/my-project/my-registry:*", "gcr.io/my-project/my-registry:v1",
		"gcr.io", "myregistry.azurecr.io/*", "*.azurecr.io/*", "gcr.io/my-project/team-*/app", "myreg/*",
	}
	var registries []pierhead.Registry
	for _, p := range patterns {
		registries = append(registries, registry(p, p))
	}
	table := table(t, registries...)
	digest := "@sha256:" + hex64
	for in, want := range map[string]string{
		"docker.io/myusername/name:tag":                      "docker.io/myusername/*",
		"myusername/name:tag":                                "docker.io/myusername/*",
		"index.docker.io/myusername/a/b":                     "docker.io/myusername/*",
		"registry-1.docker.io/myusername/x":                  "docker.io/myusername/*",
		"DOCKER.IO/myusername/x":                             "docker.io/myusername/*",
		"myusername2/name":                                   "docker.io/*",
		"ubuntu":                                             "docker.io/library/*",
		"docker.io/myusername":                               "docker.io/library/*",
		"123456789012.dkr.ecr.eu-west-1.amazonaws.com/app:1": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/*",
		"123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app" + digest: "123456789012.dkr.ecr.eu-west-1.amazonaws.com/*",
		"999999999999.dkr.ecr.us-east-1.amazonaws.com/app":               "*.dkr.ecr.*.amazonaws.com/*",
		"123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.com/app":      "",
		"gcr.io/my-project/x:1":                                          "gcr.io/my-project/*",
		"gcr.io/my-project/my-registry/sub:v1":                           "gcr.io/my-project/*",
		"gcr.io:443/my-project/x":                                        "gcr.io/my-project/*",
		"gcr.io/my-project/my-registry:v1":                               "gcr.io/my-project/my-registry:v1",
		"gcr.io/my-project/my-registry":                                  "gcr.io/my-project/my-registry:*",
		"gcr.io/my-project/my-registry" + digest:                         "gcr.io/my-project/my-registry:*",
		"gcr.io/my-project/team-a/app":                                   "gcr.io/my-project/team-*/app",
		"gcr.io/my-project2/x":                                           "gcr.io",
		"us.gcr.io/my-project/x":                                         "",
		"gcr.io:8443/my-project/x":                                       "",
		"myregistry.azurecr.io/ml-training:v2.0":                         "myregistry.azurecr.io/*",
		"notmyregistry.azurecr.io/ml":                                    "*.azurecr.io/*",
		"myregistry.eastus.geo.azurecr.io/ml":                            "",
		"docker.io:443/ubuntu":                                           "docker.io/library/*",
		"Docker.io/ubuntu":                                               "docker.io/library/*",
		"MyReg/app":                                                      "myreg/*",
		"myreg:443/app":                                                  "myreg/*",
		"myreg/app":                                                      "docker.io/*",
		"docker.io.evil.com/myusername/x":                                "",
	} {
		a := table.Match(ask(t, in))
		got := ""
		if a.Outcome == Matched {
			got = a.Pattern
		}
		if got != want || a.Outcome == Ambiguous {
			t.Errorf("%s: %v, want %q", in, a.Explain(), want)
		}
	}
}

// Which of two patterns wins, for each place of the order.
func TestSpecificity(t *testing.T) {
	for _, c := range []struct{ image, wins, loses string }{
		{"a.azurecr.io/x", "a.azurecr.io", "*.azurecr.io/x:latest"},
		{"ab.azurecr.io/x", "a*.azurecr.io", "*.azurecr.io/x"},
		{"gcr.io/a/b/c", "gcr.io/a/b/*", "gcr.io/a/*"},
		{"gcr.io/a/b/c", "gcr.io/*/b/c", "gcr.io/a/*"},
		{"gcr.io/abc/d", "gcr.io/abc/*", "gcr.io/*/d"},
		{"gcr.io/a/b", "gcr.io/a/b", "gcr.io/a/b*"},
		{"gcr.io/a/b", "gcr.io/a/b*", "gcr.io/a/*"},
		{"gcr.io/a/b/c", "gcr.io/a/*/c", "gcr.io/a/b/*"},
		{"gcr.io/a/b/c", "gcr.io/a/*/*", "gcr.io/a/*"},
		{"gcr.io/a:v1", "gcr.io/a:v1", "gcr.io/a:v1*"},
		{"gcr.io/a:v1", "gcr.io/a:v1*", "gcr.io/a:v*"},
		{"gcr.io/a:v1", "gcr.io/a:v*", "gcr.io/a:*"},
		{"gcr.io/a:v1", "gcr.io/a:*", "gcr.io/a"},
	} {
		for _, registries := range [][]pierhead.Registry{
			{registry("a", c.wins), registry("b", c.loses)},
			{registry("a", c.loses), registry("b", c.wins)},
			{registry("a", c.wins), listing("b", "p", c.loses)}, // listing the project helps only among equals
		} {
			if a := table(t, registries...).Match(ask(t, c.image)); a.Pattern != c.wins {
				t.Errorf("%s: %s; want %s before %s", c.image, a.Explain(), c.wins, c.loses)
			}
		}
	}
}

// A caller's project decides what he may use, inside the match.
func TestV2WhoMayUse(t *testing.T) {
	table := table(t,
		registry("everyone", "gcr.io/*"),
		listing("some", "p,q", "gcr.io/*"),
		listing("others", "r", "gcr.io/team/*"),
		disabled(registry("gone", "gcr.io/team/app")),
	)
	for project, want := range map[string]string{"p": "some", "q": "some", "r": "others", "s": "everyone", "": "everyone"} {
		q := ask(t, "gcr.io/team/app")
		q.Project = project
		if a := table.Match(q); a.Outcome != Matched || a.Registry.Name != want {
			t.Errorf("project %q: %s, want %s", project, a.Explain(), want)
		}
	}
	q := ask(t, "gcr.io/team/app")
	q.Personal = true
	if a := table.Match(q); a.Outcome != None || a.Registry != nil {
		t.Errorf("a personal project: %s", a.Explain())
	}
}

func TestTie(t *testing.T) {
	table := table(t, registry("b", "GCR.io/x/*"), registry("a", "gcr.io:443/x/*"), registry("c", "gcr.io/*"))
	a := table.Match(ask(t, "gcr.io/x/y"))
	if a.Outcome != Ambiguous || a.Reason != ReasonTie || a.Either[0].Registry.Name != "a" || a.Either[1].Registry.Name != "b" || a.Hint() == "" {
		t.Fatalf("%+v", a)
	}
	if want := "registry a (gcr.io:443/x/*) and registry b (GCR.io/x/*) cover it equally, and nothing decides between them"; a.Explain() != want {
		t.Errorf("%s", a.Explain())
	}
}

// An unknown tag is not "latest": where it would decide, the answer is ambiguous, and else it does not matter.
func TestTagUnknown(t *testing.T) {
	for _, c := range []struct {
		name       string
		registries []pierhead.Registry
		want       string // the winner, or the two, or nothing
	}{
		{"nothing is said of tags", []pierhead.Registry{registry("a", "gcr.io/x")}, "a"},
		{"any tag", []pierhead.Registry{registry("a", "gcr.io/x:*"), registry("b", "gcr.io/*")}, "a"},
		{"the tag would decide between two", []pierhead.Registry{registry("a", "gcr.io/x:v1"), registry("b", "gcr.io/*")}, "a|b"},
		{"the tag would decide between one and none", []pierhead.Registry{registry("a", "gcr.io/x:v1*")}, "a|"},
		{"one registry whatever the tag", []pierhead.Registry{registry("a", "gcr.io/x:v1", "gcr.io/*"), registry("b", "gcr.io/y:v1")}, "a"},
		{"the tag pattern is less specific than a sure one", []pierhead.Registry{registry("a", "gcr.io/x/y"), registry("b", "gcr.io/x/*:v1")}, "a"},
		{"every tag that b wants, a takes", []pierhead.Registry{registry("a", "gcr.io/x:v*", "gcr.io/*"), registry("b", "gcr.io/*:v1*")}, "a"},
		{"the other may not be used", []pierhead.Registry{registry("a", "gcr.io/*"), listing("b", "q", "gcr.io/x:v1"), disabled(registry("c", "gcr.io/x:v1"))}, "a"},
		{"the other lists the project", []pierhead.Registry{registry("a", "gcr.io/*"), listing("b", "p", "gcr.io/x:v1")}, "b|a"},
		{"a host with a wildcard does not matter", []pierhead.Registry{registry("a", "a.azurecr.io/*"), registry("b", "*.azurecr.io/x:v1")}, "a"},
		{"a host with a wildcard matters", []pierhead.Registry{registry("a", "*.azurecr.io/*"), registry("b", "a.azurecr.io/x:v1")}, "b|a"},
	} {
		table := table(t, c.registries...)
		host := c.registries[0].Match[0]
		q := askName(t, "gcr.io/x")
		if strings.Contains(host, "azurecr") {
			q = askName(t, "a.azurecr.io/x")
		}
		if strings.Contains(host, "x/y") {
			q = askName(t, "gcr.io/x/y")
		}
		if got := short(table.Match(q)); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// short is the winner's name, or both names of an ambiguous answer.
func short(a Answer) string {
	name := func(c Candidate) string {
		if c.Registry == nil {
			return ""
		}
		return c.Registry.Name
	}
	if a.Outcome == Ambiguous {
		return name(a.Either[0]) + "|" + name(a.Either[1])
	}
	return name(a.Candidate)
}

// Very many tag patterns on one repository: more than are kept for a closer look.
func TestTagUnknownMany(t *testing.T) {
	var match []string
	for _, c := range "abcdefghijklmnopqrstuvwxyz" {
		match = append(match, "gcr.io/x:"+string(c), "gcr.io/x:"+string(c)+"*")
	}
	q := askName(t, "gcr.io/x")
	if a := table(t, registry("a", append(match, "gcr.io/*")...), registry("b", "gcr.io/y")).Match(q); short(a) != "a" {
		t.Errorf("all of one registry: %s", a.Explain())
	}
	if a := table(t, registry("a", match...), registry("b", "gcr.io/x:zz", "gcr.io/*")).Match(q); short(a) != "a|b" {
		t.Errorf("of another registry: %s", a.Explain())
	}
}

// Docker's credential helper knows the host alone.
func TestRepositoryUnknown(t *testing.T) {
	for _, c := range []struct {
		name       string
		registries []pierhead.Registry
		want       string
	}{
		{"one covers the whole host", []pierhead.Registry{registry("a", "gcr.io")}, "a"},
		{"and has more specific ones itself", []pierhead.Registry{registry("a", "gcr.io", "gcr.io/x:v1")}, "a"},
		{"another is more specific", []pierhead.Registry{registry("a", "gcr.io"), registry("b", "gcr.io/x")}, "b|a"},
		{"the other may not be used", []pierhead.Registry{registry("a", "gcr.io"), listing("b", "q", "gcr.io/x")}, "a"},
		{"no one covers the whole host", []pierhead.Registry{registry("a", "gcr.io/x/*")}, "a|"},
		{"the whole host, but only a tag", []pierhead.Registry{registry("a", "gcr.io/*:v1")}, "a|"},
		{"by a wildcard", []pierhead.Registry{registry("a", "*.io")}, "a"},
		{"a literal host against a wildcard", []pierhead.Registry{registry("a", "gcr.io"), registry("b", "*.io/x")}, "a"},
		{"a wildcard against a literal host", []pierhead.Registry{registry("a", "*.io"), registry("b", "gcr.io/x")}, "b|a"},
		{"of equals, the one that lists the project", []pierhead.Registry{registry("a", "gcr.io"), listing("b", "p", "gcr.io")}, "b"},
		{"a tie", []pierhead.Registry{registry("a", "gcr.io"), registry("b", "gcr.io")}, "a|b"},
		{"another host", []pierhead.Registry{registry("a", "ghcr.io")}, ""},
	} {
		if a := table(t, c.registries...).Match(Question{Project: "p", Host: "gcr.io"}); short(a) != c.want {
			t.Errorf("%s: %s, want %q", c.name, a.Explain(), c.want)
		}
	}
}

// Foreign text in a question is no reason to fall over.
func TestMatchForeignText(t *testing.T) {
	table := table(t, registry("a", "gcr.io", "gcr.io/a/*", "gcr.io/*/b*/*:v*"), registry("b", "*.example.com"))
	for _, host := range []string{"", "gcr.io", ".", "..example.com", ".example.com", "[", "[]", "a:b:c", strings.Repeat("a.", 200) + "example.com", strings.Repeat("x", 70_000)} {
		for _, repository := range []string{"", "/", "//", "a/", strings.Repeat("/", 255), strings.Repeat("a/", 40_000), strings.Repeat("a/", 127) + "a"} {
			table.Match(Question{Host: host, Repository: repository})
			table.Refusals(Question{Host: host, Repository: repository, TagKnown: true})
		}
	}
	deep := Question{Host: "gcr.io", Repository: strings.Repeat("a/", 127) + "a", TagKnown: true}
	if a := table.Match(deep); a.Outcome != Matched || a.Pattern != "gcr.io/a/*" {
		t.Errorf("128 segments: %s", a.Explain())
	}
}

func TestCompileRefuses(t *testing.T) {
	_, err := Compile([]pierhead.Registry{registry("good", "gcr.io"), registry("bad", "gcr.io/**", "gcr.io/X")})
	if err == nil || !strings.Contains(err.Error(), "registry bad") || strings.Contains(err.Error(), "good") {
		t.Fatal(err)
	}
	if empty := table(t); empty.Match(ask(t, "ubuntu")).Outcome != None || empty.Size() != 0 {
		t.Error("an empty table matches")
	}
}

func TestMatchAllocatesNothing(t *testing.T) {
	table := table(t, registry("a", "gcr.io", "gcr.io/a*/x:v*", "gcr.io/b:v1", "*.azurecr.io", "a*b.azurecr.io/x"), listing("b", "p,q", "gcr.io/a/*", "gcr.io/b"))
	for _, q := range []Question{
		ask(t, "gcr.io/ab/x:v1"), ask(t, "gcr.io/a/b"), ask(t, "x.azurecr.io/x"), ask(t, "gcr.io/b:v1"), ask(t, "ubuntu"),
		askName(t, "gcr.io/b"), askName(t, "gcr.io/ab/x"), {Host: "gcr.io", Project: "p"},
	} {
		if n := testing.AllocsPerRun(100, func() { sink = table.Match(q) }); n != 0 {
			t.Errorf("%+v: %v allocations", q, n)
		}
	}
}
