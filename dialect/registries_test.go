package dialect

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pierhead.dev/pierhead"
)

// mirroredSet are registries that are the whole of a host, and a part of one.
func mirroredSet(t testing.TB) Export {
	t.Helper()
	lab := registry("lab", "10.0.0.7:5000/*")
	lab.PlainHTTP = true
	e, err := RegistriesConf([]pierhead.Registry{registry("quay", "quay.io/acme/*"), registry("gcp", "gcr.io/*"), lab}, Defaults())
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// What somebody wrote for registries.conf is neither lost nor opened.
func TestMergeRegistriesGolden(t *testing.T) {
	e := mirroredSet(t)
	own := ConfFile{Path: "/etc/containers/registries.conf.d/50-pierhead.conf"}
	main := func(text string) []ConfFile {
		return []ConfFile{{Path: "/etc/containers/registries.conf", Text: []byte(text)}}
	}
	later := func(text string) []ConfFile {
		return []ConfFile{{Path: "/etc/containers/registries.conf.d/99-theirs.conf", Text: []byte(text), After: true}}
	}
	var text strings.Builder
	for _, try := range []struct {
		name, found string
		others      []ConfFile
	}{
		{name: "nothing else"},
		{"the same host blocked", "", main("[[registry]]\nlocation = \"gcr.io\"\nblocked = true\n")},
		{"a host blocked, of which ours is a part", "", main("[[registry]]\nprefix = \"quay.io\"\nlocation = \"quay.io\"\nblocked = true\n")},
		{"blocked, but for our part", "", main("[[registry]]\nlocation = \"quay.io\"\nblocked = true\n[[registry]]\nlocation = \"quay.io/acme\"\n")},
		{"blocked in the old way", "", main("[registries.block]\nregistries = [\"gcr.io\"]\n[registries.insecure]\nregistries = [\"10.0.0.7:5000\"]\n")},
		{"all hosts below a domain blocked", "", main("[[registry]]\nprefix = \"*.io\"\nblocked = true\n")},
		{"a mirror and another place", "", main("[[registry]]\nprefix = \"gcr.io\"\nlocation = \"gcr.corp.example/gcr\"\n[[registry.mirror]]\nlocation = \"mirror.example/gcr\"\npull-from-mirror = \"tag-only\"\n")},
		{"insecure", "", main("[[registry]]\nlocation = \"gcr.io\"\ninsecure = true\n[[registry]]\nlocation = \"10.0.0.7\"\ninsecure = true\n")},
		{"nothing to lose", "", main("unqualified-search-registries = [\"docker.io\"]\n[[registry]]\nlocation = \"gcr.io/\"\nblocked = false\n[[registry]]\nlocation = \"quay.io\"\n[[registry]]\nlocation = \"quay.io/acme-else\"\nblocked = true\n")},
		{"read later", "", later("[[registry]]\nlocation = \"gcr.io\"\n")},
		{"a part of ours", "", later("[[registry]]\nlocation = \"gcr.io/blocked\"\nblocked = true\n[[registry]]\nlocation = \"gcr.io/own\"\ninsecure = true\n")},
		{"ours by hand", "", main("[[registry]]\nlocation = \"gcr.io\"\nmirror = [{location = \"127.0.0.1:5050/gcr.io\", insecure = true}]\n")},
		{"another that says it twice", "", append(main("[[registry]]\nlocation = \"gcr.io\"\nblocked = true\n"), later("[[registry]]\nlocation = \"gcr.io\"\n")...)},
		{"changed by hand", "# mine\n[[registry]]\nlocation = \"gcr.io\"\nblocked = true", nil},
		{"everything named by hand", "[[registry]]\nlocation = \"gcr.io\"\n[[registry]]\nlocation = \"quay.io/acme\"\n[[registry]]\nlocation = \"10.0.0.7:5000\"\n", nil},
		{"no TOML", "", main("[[registry\n")},
	} {
		fmt.Fprintf(&text, "==== %s\n", try.name)
		own.Text = []byte(try.found)
		m, err := MergeRegistries(own, e, [][]ConfFile{try.others, try.others})
		if err != nil {
			fmt.Fprintf(&text, "! %v\n", err)
			continue
		}
		fmt.Fprintf(&text, "%s", m.Text)
		for _, f := range m.Findings {
			fmt.Fprintf(&text, "Finding: %v\n  Hint: %s\n", f, f.Hint)
		}
		again, err := MergeRegistries(ConfFile{Path: own.Path, Text: m.Text}, e, [][]ConfFile{try.others})
		if err != nil || string(again.Text) != string(m.Text) {
			t.Errorf("%s: a second time is not the first: %v\n%s", try.name, err, again.Text)
		}
	}
	golden(t, "merge-registries", text.String())
}

// FuzzMergeRegistries: every [[registry]] that somebody wrote, in the drop-in or beside it, holds as it did, and nothing that
// was blocked is open.
func FuzzMergeRegistries(f *testing.F) {
	for _, seed := range []string{"", "[[registry]]\nlocation = \"gcr.io\"\nblocked = true\n", "[[registry]]\nprefix = \"*.io\"\nblocked = true\n", "registry = [{location = \"quay.io/acme\", mirror = [{location = \"x\"}]}]\n",
		"[registries.block]\nregistries = [\"10.0.0.7\"]\n", "x = \"\"\"\n[[registry]]\n\"\"\"", blockBegin + "[[registry]]\nlocation = \"gcr.io\"\n" + blockEnd} {
		f.Add(seed, "")
		f.Add("", seed)
		f.Add(seed, seed)
	}
	e := mirroredSet(f)
	f.Fuzz(func(t *testing.T, found, other string) {
		others := []ConfFile{{Path: "other", Text: []byte(other)}}
		m, err := MergeRegistries(ConfFile{Path: "own", Text: []byte(found)}, e, [][]ConfFile{others})
		if err != nil {
			return
		}
		before, err := registriesOf(others)
		if err != nil {
			t.Fatal(err)
		}
		merged, err := registriesOf(append(others, ConfFile{Path: "own", Text: m.Text}))
		if err != nil {
			t.Fatalf("what came out cannot be read: %v\n%s", err, m.Text)
		}
		kept, err := readRegistries(ConfFile{Path: "own", Text: []byte(withoutBlock(found))})
		if err != nil {
			t.Fatal(err)
		}
		for prefix, r := range kept {
			if now := merged[prefix]; !reflect.DeepEqual(now.more, r.more) || !reflect.DeepEqual(now.mirrors, r.mirrors) || now.location != r.location || now.insecure != r.insecure {
				t.Errorf("%s is not as it was in the drop-in: %v, %v", prefix, r, now)
			}
		}
		if len(kept) > 0 {
			return // somebody's drop-in may open what it likes
		}
		for _, name := range []string{"gcr.io/a", "quay.io/acme/a", "10.0.0.7:5000/a"} {
			was, is := effective(before, name), effective(merged, name)
			if was.blocked() && !is.blocked() || was.prefix != "" && was.file.Path != is.file.Path && was.lost(is) != "" {
				t.Errorf("%s: %v is now %v\n%s", name, was, is, m.Text)
			}
		}
	})
}

func effective(v registriesView, name string) confRegistry {
	r, _ := v.covering(name)
	return r
}
