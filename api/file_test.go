package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/internal/cputime"
)

const twoDocuments = `# what acme pulls from
kind: Registry
organization: acme
name: azure-ml
type: generic
enabled: false
match: [myregistry.azurecr.io/*, "docker.io/acme/*:v1"]
credential:
  secret: file:azure
when_refused: fail
projects:
  - vision
  - audio
ca: |
  -----BEGIN CERTIFICATE-----
  AAAA
  -----END CERTIFICATE-----
private_networks: [10.0.0.0/8]
---
kind: Project
owner: acme
name: vision
---
kind: Organization
name: acme
`

func TestDecodeFileReadsDocuments(t *testing.T) {
	objects, err := api.DecodeFile(strings.NewReader(twoDocuments))
	if err != nil {
		t.Fatal(err)
	}
	if len(objects) != 3 || objects[0].Registry == nil || objects[1].Project == nil || objects[2].Organization == nil {
		t.Fatalf("objects are %+v", objects)
	}
	r := objects[0].Registry
	noun, err := r.Noun()
	if err != nil {
		t.Fatal(err)
	}
	want := pierhead.Registry{
		Name: "azure-ml", Type: pierhead.RegistryGeneric, Match: []string{"myregistry.azurecr.io/*", "docker.io/acme/*:v1"},
		Credential: pierhead.RegistryCredential{Secret: "file:azure"}, WhenRefused: pierhead.RefusedFail,
		Projects: pierhead.ProjectScope{Names: []string{"audio", "vision"}}, PrivateNetworks: []string{"10.0.0.0/8"},
		CA: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
	}
	if r.Organization != "acme" || !reflect.DeepEqual(noun, want) {
		t.Errorf("registry is %+v\nnot %+v", noun, want)
	}
	if objects[1].Line != 20 || *objects[1].Project != (api.NewProject{Kind: "Project", Owner: "acme", Name: "vision"}) {
		t.Errorf("project is %+v on line %d", objects[1].Project, objects[1].Line)
	}
}

// Regression: the parser drops all that follows a document of comments only, and pier apply did so in silence.
func TestDecodeFileReadsAllDocuments(t *testing.T) {
	for name, test := range map[string]struct {
		file  string
		lines []int
	}{
		"comments between":  {"kind: Organization\nname: a\n---\n# nothing\n---\nkind: Organization\nname: b\n", []int{1, 6}},
		"comments first":    {"---\n# one\n---\n# two\n---\nkind: Organization\nname: a\n", []int{6}},
		"comment at a mark": {"kind: Organization\nname: a\n---  # nothing\n--- # more\nkind: Organization\nname: b\n", []int{1, 5}},
		"ends":              {"kind: Organization\nname: a\n...\n# nothing\n---\nkind: Organization\nname: b\n...\n", []int{1, 6}},
		"on the mark":       {"--- {kind: Organization, name: a}\n--- {kind: Organization, name: b}", []int{1, 2}},
		"directive":         {"%YAML 1.2\n---\nkind: Organization\nname: a\n", []int{3}},
		"CRLF":              {"kind: Organization\r\nname: a\r\n---\r\n# nothing\r\n---\r\nkind: Organization\r\nname: b\r\n", []int{1, 6}},
		"marks in a block":  {"kind: Registry\nname: a\nca: |\n  ---\n  ...\n---\nkind: Organization\nname: b\n", []int{1, 7}},
	} {
		objects, err := api.DecodeFile(strings.NewReader(test.file))
		var lines []int
		for _, object := range objects {
			lines = append(lines, object.Line)
		}
		if err != nil || !reflect.DeepEqual(lines, test.lines) {
			t.Errorf("%s: objects on lines %v, not %v; error %v", name, lines, test.lines, err)
		}
	}
}

// Regression: the time grew by the square of the keys; a megabyte of them kept a core of the server busy for ten seconds.
func TestManyKeys(t *testing.T) {
	var text strings.Builder
	for i := range 80_000 {
		fmt.Fprintf(&text, `,"k%06d":1`, i)
	}
	began := cputime.Process()
	err := api.Decode([]byte("{"+text.String()[1:]+"}"), new(api.NewProject))
	if !errors.Is(err, pierhead.ErrBadInput) || cputime.Process()-began > 5*time.Second {
		t.Errorf("80,000 keys: %v after %v", err, cputime.Process()-began)
	}
	if _, err = api.DecodeFile(strings.NewReader("kind: Registry\n" + strings.Repeat("a: 1\n", 6000))); !errors.Is(err, pierhead.ErrBadInput) ||
		!strings.Contains(err.Error(), "more keys") {
		t.Errorf("6,000 keys in a file: %v", err)
	}
}

// An absent key has the default that the design gives it; an empty list of projects is nobody.
func TestRegistryDefaults(t *testing.T) {
	for text, want := range map[string]pierhead.ProjectScope{
		"": {All: true}, "projects: all": {All: true}, "projects: []": {}, "projects: [b, a, b]": {Names: []string{"a", "b"}},
	} {
		objects, err := api.DecodeFile(strings.NewReader("kind: Registry\nname: x\n" + text))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		noun, err := objects[0].Registry.Noun()
		if err != nil {
			t.Fatal(err)
		}
		if noun.Projects.All != want.All || fmt.Sprint(noun.Projects.Names) != fmt.Sprint(want.Names) {
			t.Errorf("%q: projects are %+v, not %+v", text, noun.Projects, want)
		}
		if !noun.Enabled || noun.Type != "" || noun.WhenRefused != pierhead.RefusedAnonymous {
			t.Errorf("%q: defaults are %+v", text, noun)
		}
	}
}

func TestDecodeFileRefuses(t *testing.T) {
	for _, test := range []struct{ name, file, text, hint string }{
		{"unknown key", "kind: Registry\nname: x\ncredentail: {}\n", `line 3: unknown key "credentail"`, `did you mean "credential"?`},
		{"unknown key below", "kind: Registry\nname: x\ncredential:\n  secrt: file:x\n", `line 4: unknown key "secrt" in credential`, `did you mean "secret"?`},
		{"unknown key, nothing near", "kind: Organization\nname: x\nzzzzzz: 1\n", `line 3: unknown key "zzzzzz"`, "the keys here are kind, name"},
		{"later key", "kind: Registry\nname: x\nimage_prefix: p\n", `line 3: key "image_prefix" is not supported by this version`, "leave it out"},
		{"doubled key", "kind: Registry\nname: x\nname: y\n", "", ""},
		{"doubled key in JSON", "{\"kind\":\"Registry\",\n\"name\":\"x\",\n\"name\":\"y\"}", `line 3: key "name" is there twice`, "keep one of them"},
		{"wrong kind of value", "kind: Registry\nname: 7\n", "line 2: name must be text, not a number", "put it in quotes"},
		{"wrong kind of bool", "kind: Registry\nname: x\nenabled: 'yes'\n", "line 3: enabled must be true or false, not text", ""},
		{"text for a list", "kind: Registry\nname: x\nmatch: a/*\n", "line 3: match must be a list, not text", ""},
		{"projects", "kind: Registry\nname: x\nprojects: some\n", "line 3: projects: neither the word all nor a list of project names", "write projects: all, or projects: [one, two]"},
		{"two credentials", "kind: Registry\nname: x\ncredential: {secret: file:x, sealed: 'sealed:v1:a:b'}\n", "line 1: credential has secret and sealed at once", "keep one of them"},
		{"two credentials, an identity", "kind: Registry\nname: x\ncredential: {secret: file:x, identity: node}\n", "line 1: credential has secret and identity at once", "keep one of them"},
		{"identity", "kind: Registry\nname: x\ncredential: {identity: me}\n", `line 1: credential.identity is "me"`, "it is node, or absent"},
		{"unknown type", "kind: Registry\nname: x\ntype: genric\n", `line 1: unknown registry type "genric"`, `did you mean "generic"?`},
		{"when_refused", "kind: Registry\nname: x\nwhen_refused: never\n", `line 1: when_refused is "never"`, "it is anonymous or fail"},
		{"no name", "kind: Registry\n", "line 1: the object has no name", ""},
		{"no owner", "kind: Project\nname: x\n", "line 1: the object has no owner", ""},
		{"no kind", "name: x\n", "line 1: the object has no kind", "write kind: Registry"},
		{"unknown kind", "\nkind: registry\n", `line 2: unknown kind "registry"`, `did you mean "Registry"?`},
		{"no object", "# nothing\n---\n", "the file has no object in it", "write kind: Registry and its fields"},
		{"a list", "- kind: Registry\n", "line 1: a document must be an object with a kind, not a list", "write kind: Registry and its fields"},
		{"anchors", "kind: Registry\nname: &x x\n", "line 2: anchors, aliases, tags and merge keys are not supported here", "write the value out"},
		{"merge", "kind: Registry\nname: x\n<<: {type: generic}\n", "line 3: anchors, aliases, tags and merge keys are not supported here", "write the value out"},
		{"depth", "kind: " + strings.Repeat("[", 100), "line 1: objects and lists are nested too deep", ""},
		{"depth in JSON", "{\"kind\":" + strings.Repeat("[", 100), "line 1: objects and lists are nested too deep", ""},
		{"deep dashes", strings.Repeat("- ", 5000), "line 1: objects and lists are nested too deep", ""},
		{"JSON cut short", "{\"kind\":\n\"Registry\"", "line 2: the JSON ends too early", "close every brace, bracket and quote"},
		{"not UTF-8", "kind: \xff\n", "the file is not UTF-8 text", "save it as UTF-8"},
		{"too long", "# " + strings.Repeat("x", api.MaxFile), "the file is larger than 1 MiB", "split it"},
		{"not YAML", "kind: [\n", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			objects, err := api.DecodeFile(strings.NewReader(test.file))
			if !errors.Is(err, pierhead.ErrBadInput) {
				t.Fatalf("read as %+v, error %v", objects, err)
			}
			if test.text != "" && (err.Error() != test.text || pierhead.HintOf(err) != test.hint) {
				t.Errorf("error is %q, hint %q\n    not %q, hint %q", err, pierhead.HintOf(err), test.text, test.hint)
			}
			if !strings.Contains(err.Error(), "line ") && test.text == "" {
				t.Errorf("error %q names no line", err)
			}
		})
	}
}

// A value never appears in an error: it may be a password in the wrong place.
func TestErrorsDoNotRepeatValues(t *testing.T) {
	for _, file := range []string{
		"kind: Registry\nname: x\ncredential: hunter2\n",
		"kind: Registry\nname: x\ncredential:\n  secret: [hunter2]\n",
		"kind: Registry\nname: x\ncredential:\n  sealed: [hunter2]\n",
		"kind: Registry\nname: x\nprojects: hunter2\n",
		"kind: Registry\nname: x\nenabled: hunter2\n",
		"kind: Registry\nname: x\ncreated_at: hunter2\n",
		`{"kind": "Registry", "name": "x", "credential": {"secret": hunter2}}`,
		`{"kind": "Registry", "name": "x", "credential": "hunter2"}`,
	} {
		_, err := api.DecodeFile(strings.NewReader(file))
		if err == nil || strings.Contains(err.Error()+pierhead.HintOf(err), "hunter2") {
			t.Errorf("%q: error %v", file, err)
		}
	}
}

// What is read, printed as JSON and read again is the same.
func FuzzDecodeFile(f *testing.F) {
	for _, seed := range []string{
		twoDocuments, "{}", "kind: Registry\nname: x\nprojects: all\ncredential: {sealed: 'sealed:v1:0011:aa'}", "? [a]\n: b", "- - - a", "&a [*a]",
		`{"kind":"Registry","name":"x","match":["a/*"],"credential":{"sealed":{"key_id":"a","hosts":["b"]}}}`, "kind: Project\nowner: a\nname: b\n---\n...\n",
		"a: |\n b\n", "kind: !!str Registry", "%YAML 1.2\n---\nkind: Organization\nname: x", "kind: Registry\nname: x\ncreated_at: 2026-01-31T12:00:00Z\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		objects, err := api.DecodeFile(strings.NewReader(string(data)))
		if err != nil {
			if !errors.Is(err, pierhead.ErrBadInput) {
				t.Fatalf("the error has no kind: %v", err)
			}
			return
		}
		for _, object := range objects {
			again := reread(t, object)
			again.Line = object.Line
			if first, second := printed(t, object), printed(t, again); first != second {
				t.Fatalf("read as\n%s\nand again as\n%s", first, second)
			}
		}
	})
}

func reread(t *testing.T, object api.Object) api.Object {
	t.Helper()
	objects, err := api.DecodeFile(strings.NewReader(printed(t, object)))
	if err != nil || len(objects) != 1 {
		t.Fatalf("what was printed is not read: %v\n%s", err, printed(t, object))
	}
	return objects[0]
}

func printed(t *testing.T, object api.Object) string {
	t.Helper()
	var document any = object.Registry
	switch {
	case object.Project != nil:
		document = object.Project
	case object.Organization != nil:
		document = object.Organization
	}
	text, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
