package resolve

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pierhead.dev/pierhead"
)

// A crowdCase is many patterns made so that an index could be misled into looking at all of them.
type crowdCase struct {
	name      string
	registry  func(i int) int    // which registry the i-th pattern goes to
	pattern   func(i int) string // the i-th
	question  func(i int) Question
	winner    func(i int) string // the pattern that wins it, or ""
	microsecs float64            // what Match may take among a million
}

func on(host, repository, tag string) Question {
	return Question{Host: host, Repository: repository, Tag: tag, TagKnown: tag != "?", DigestKnown: true}
}

// deepPath is a path of 20 segments whose lowest bits of i say which of two words each is.
func deepPath(i int, zero, one string) string {
	var segments []string
	for bit := range 20 {
		segments = append(segments, map[bool]string{false: zero, true: one}[i>>bit&1 == 1])
	}
	return strings.Join(segments, "/")
}

func crowdCases() []crowdCase {
	one := func(int) int { return 0 }
	each := func(i int) int { return i }
	wide := func(i int) string { return fmt.Sprintf("gcr.io/team-%d/*", i) }
	deep := func(i int) string { return "gcr.io/" + deepPath(i, "a", "b") + fmt.Sprintf("/app-%d", i%7) }
	stairs := func(i int) string {
		return fmt.Sprintf("gcr.io/t%d/%s*", i/100, strings.Repeat("a/", i%100))
	}
	prefix := func(i int) string { return fmt.Sprintf("gcr.io/team-%07d-*/app", i) }
	suffix := func(i int) string { return fmt.Sprintf("gcr.io/*-team-%d/app", i) }
	middle := func(i int) string { return fmt.Sprintf("gcr.io/*-%07d-*/app", i) }
	last := func(i int) string { return fmt.Sprintf("gcr.io/team-*/app-%d", i) }
	tags := func(i int) string { return fmt.Sprintf("gcr.io/x:v%d", i) }
	globTags := func(i int) string { return fmt.Sprintf("gcr.io/x:v%07d-*", i) }
	hosts := func(i int) string { return fmt.Sprintf("reg%07d-*.example.com/*", i) }
	regions := func(i int) string { return fmt.Sprintf("*.dkr.ecr.region-%d.amazonaws.com/*", i) }
	return []crowdCase{
		{"wide", one, wide, func(i int) Question { return on("gcr.io", fmt.Sprintf("team-%d/a/b", i), "v1") }, wide, 2},
		{"deep", one, deep, func(i int) Question { return on("gcr.io", strings.TrimPrefix(deep(i), "gcr.io/"), "v1") }, deep, 5},
		{"stairs", one, stairs, func(i int) Question {
			return on("gcr.io", fmt.Sprintf("t%d/%sx", i/100, strings.Repeat("a/", i%100)), "v1")
		}, stairs, 15},
		{"prefix", one, prefix, func(i int) Question { return on("gcr.io", fmt.Sprintf("team-%07d-z/app", i), "v1") }, prefix, 2},
		{"suffix", one, suffix, func(i int) Question { return on("gcr.io", fmt.Sprintf("z-team-%d/app", i), "v1") }, suffix, 5},
		{"middle", one, middle, func(i int) Question { return on("gcr.io", fmt.Sprintf("z-%07d-z/app", i), "v1") }, middle, 5},
		{"last", one, last, func(i int) Question { return on("gcr.io", fmt.Sprintf("team-z/app-%d", i), "v1") }, last, 2},
		{"tags", one, tags, func(i int) Question { return on("gcr.io", "x", fmt.Sprint("v", i)) }, tags, 2},
		{"tags missed", one, tags, func(i int) Question { return on("gcr.io", "x", fmt.Sprint("w", i)) }, nil, 2},
		{"tag unknown", each, tags, func(int) Question { return on("gcr.io", "x", "?") }, nil, 5},
		{"tag globs", one, globTags, func(i int) Question { return on("gcr.io", "x", fmt.Sprintf("v%07d-z", i)) }, globTags, 2},
		{"host globs", each, hosts, func(i int) Question { return on(fmt.Sprintf("reg%07d-z.example.com", i), "x", "v1") }, hosts, 3},
		{"host regions", each, regions, func(i int) Question { return on(fmt.Sprintf("1.dkr.ecr.region-%d.amazonaws.com", i), "x", "v1") }, regions, 3},
		{"one pattern, a registry for each project", each, func(int) string { return "gcr.io/*" }, func(i int) Question {
			q := on("gcr.io", "x", "v1")
			q.Project = fmt.Sprint("project-", i)
			return q
		}, func(int) string { return "gcr.io/*" }, 12},
		{"one project, other registries' pattern", each, func(int) string { return "gcr.io/*" }, func(int) Question {
			q := on("gcr.io", "x", "v1")
			q.Project = "no such project"
			return q
		}, nil, 3},
	}
}

func (c crowdCase) compile(t testing.TB, n int) *Table {
	t.Helper()
	var registries []pierhead.Registry
	for i := range n {
		number := c.registry(i)
		if number == len(registries) {
			r := registry(fmt.Sprintf("r%07d", number))
			if strings.Contains(c.name, "project") {
				r = listing(r.Name, fmt.Sprint("project-", i))
				r.Match = nil
			}
			registries = append(registries, r)
		}
		registries[number].Match = append(registries[number].Match, c.pattern(i))
	}
	table, err := Compile(registries)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func (c crowdCase) check(t testing.TB, a Answer, i int) {
	t.Helper()
	want := ""
	if c.winner != nil {
		want = c.winner(i)
	}
	if a.Pattern != want {
		t.Fatalf("%s: question %d: %s, want %q", c.name, i, a.Explain(), want)
	}
}

// Shapes that would mislead an index are answered rightly, and with -million quickly too.
func TestCrowds(t *testing.T) {
	n := 500
	if *million {
		n = 1_000_000
	}
	for _, c := range crowdCases() {
		table := c.compile(t, n)
		questions := make([]Question, 0, 2000)
		for i := range cap(questions) {
			at := i * 7919 % n
			questions = append(questions, c.question(at))
			c.check(t, table.Match(questions[i]), at)
		}
		if !*million {
			continue
		}
		var runs []float64
		for range 10 {
			start := time.Now()
			for i := range questions {
				sink = table.Match(questions[i])
			}
			runs = append(runs, float64(time.Since(start).Nanoseconds())/float64(len(questions))/1000)
		}
		slices.Sort(runs)
		t.Logf("%-45s median %.2f µs", c.name, runs[5])
		if runs[5] > c.microsecs {
			t.Errorf("%s: Match takes %.2f µs, the limit is %.2f", c.name, runs[5], c.microsecs)
		}
	}
}

// BenchmarkMatchCrowd is the same with b.N.
func BenchmarkMatchCrowd(b *testing.B) {
	for _, c := range crowdCases() {
		b.Run(strings.ReplaceAll(c.name, " ", "_"), func(b *testing.B) {
			const n = 100_000
			table := c.compile(b, n)
			questions := make([]Question, 2000)
			for i := range questions {
				questions[i] = c.question(i * 7919 % n)
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				sink = table.Match(questions[i%len(questions)])
				i++
			}
		})
	}
}
