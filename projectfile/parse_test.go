package projectfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pierhead.dev/pierhead/internal/cputime"
)

// V9 and V17: every key of a step is read, or named.
const fullStep = `# a comment
- step:
    name: train-model
    image: myregistry.azurecr.io/ml-training:v2.0
    description: trains
    command:
      - pip install -r requirements.txt
      - python train.py {parameters}
    source-path: src
    parameters:
      - name: epochs
        type: integer
        default: 5
        description: how long
        category: Training
        widget: {type: slider, settings: {a: [1, 2]}}
    inputs:
      - name: data
        default: s3://bucket/data
    outputs: [{name: model}]
    mounts:
      - /data:/mnt/data
      - {source: "nas:/x", destination: /x, readonly: yes, type: NFS, options: {hot: true}}
    cache-volumes: [pip]
    environment: g2.large
    runtime-config-preset: big
    environment-variables:
      - name: MODE
        default: "1"
        description: how
      - {name: KEY, optional: no}
    environment-variable-groups: [g]
    time-limit: 1h 30m 5s
    no-output-timeout: 300
    upload-store: s
    stop-condition: accuracy > 1
    resources: {cpu: {min: 1}}
    icon: rocket
    category: c
- step: {name: other, image: busybox, command: ls, time-limit: 90}
- endpoint:
    name: greet
    image: python:3.13
- pipeline: {name: p, nodes: [], edges: []}
- task: {name: t, step: other}
`

func TestV17StepKeys(t *testing.T) {
	file, notes := mustParse(t, fullStep)
	if len(file.Steps) != 2 || file.Steps[0].Line != 3 {
		t.Fatalf("%+v", file.Steps)
	}
	s := file.Steps[0]
	if s.Name != "train-model" || s.Image != "myregistry.azurecr.io/ml-training:v2.0" || s.Description != "trains" ||
		len(s.Command) != 2 || s.SourcePath != "src" || s.TimeLimit != 90*time.Minute+5*time.Second {
		t.Errorf("%+v", s)
	}
	if p := s.Parameters[0]; p.Name != "epochs" || p.Type != IntegerParameter || p.Description != "how long" || p.Multiple != MultipleNone {
		t.Errorf("%+v", p)
	} else if d, ok := p.Default(); !ok || !slices.Equal(d, []string{"5"}) {
		t.Errorf("default %q %v", d, ok)
	}
	if want := []Mount{{Source: "/data", Destination: "/mnt/data"}, {Source: "nas:/x", Destination: "/x", ReadOnly: true, Type: "nfs"}}; !slices.Equal(s.Mounts, want) {
		t.Errorf("%+v", s.Mounts)
	}
	if len(s.Variables) != 2 || *s.Variables[0].Default != "1" || !s.Variables[0].Optional || s.Variables[1].Optional || s.Variables[1].Default != nil {
		t.Errorf("%+v", s.Variables)
	}
	if file.Steps[1].TimeLimit != 90*time.Second || !slices.Equal(file.Steps[1].Command, []string{"ls"}) {
		t.Errorf("%+v", file.Steps[1])
	}
	var keys []string
	for _, n := range notes {
		keys = append(keys, n.Key)
		if n.Line == 0 || n.Text == "" || n.Key == "icon" && n.Step != "train-model" || n.Key == "task" && n.Step != "" {
			t.Errorf("%+v", n)
		}
	}
	want := strings.Fields("inputs outputs options cache-volumes environment runtime-config-preset environment-variable-groups no-output-timeout upload-store stop-condition resources icon category endpoint pipeline task")
	if !slices.Equal(keys, want) {
		t.Errorf("notes on\n%q, want\n%q", keys, want)
	}
	if got, want := notes[0].String(), `line 17: step "train-model": inputs is not used: inputs are not downloaded here`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

const okStep = "- step:\n    name: a\n    image: b\n    command: c\n"

func TestParseRefuses(t *testing.T) {
	param := func(s string) string { return okStep + "    parameters:\n      - {name: p, " + s + "}\n" }
	for _, c := range []struct{ content, want, hint string }{
		{"step: {}", "line 1: the project file must be a list of steps, and is a mapping", "- step:"},
		{"hello", "line 1: the project file must be a list of steps, and is a text", ""},
		{"- hello", "an item of the project file must be a mapping", ""},
		{"- setp:\n    name: a\n", `line 1: an item of the project file has the unknown key "setp"`, `"step"`},
		{"- step:\n  name: a\n  image: b\n  command: c\n", "not indented under", "indent"},
		{"- step:\n", "the step must be a mapping, and is empty", ""},
		{"- step:\n    image: b\n    command: c\n", "line 2: the step has no name", ""},
		{"- step:\n    name: a\n    command: c\n", `step "a" has no image`, "full name"},
		{"- step:\n    name: a\n    image: b\n", `step "a" has no command`, ""},
		{"- step:\n    name: a\n    image: b\n    command: []\n", `step "a" has no command`, ""},
		{"- step:\n    name: a\n    image: yes\n    command: c\n", `line 3: step "a": image must be a text, and is true or false`, "quotes"},
		{"- step:\n    name: a\n    image: b\n    command: 8\n", "command must be a text, and is a number", "quotes"},
		{"- step:\n    name: a\n    image: b\n    command:\n      - echo x: y\n", "line 5: step \"a\": command must be a text, and is a mapping", "quotes"},
		{okStep + "    comand: x\n", `line 5: step "a" has the unknown key "comand"`, `"command"`},
		{okStep + "    parameter: x\n", `the unknown key "parameter"`, `"parameters"`},
		{okStep + "    zzzzzzzz: x\n", `the unknown key "zzzzzzzz"`, "it can have cache-volumes"},
		{okStep + "    name: b\n", `line 5`, ""},
		{okStep + "    parameters: {}\n", "parameters must be a list", ""},
		{okStep + "    parameters: [{type: string}]\n", "has no name", ""},
		{okStep + "    time-limit: 5x\n", "time-limit", ""},
		{okStep + "    time-limit: 0\n", "time-limit", ""},
		{okStep + "    time-limit: true\n", "time-limit", ""},
		{okStep + "    mounts: [relative:/x]\n", "absolute source", ""},
		{okStep + "    mounts: [/x]\n", "absolute destination", ""},
		{okStep + "    mounts: [{source: /x, destination: y}]\n", "absolute destination", ""},
		{okStep + "    environment-variables: [{name: A, default: 850}]\n", "default must be a text, and is a number", "quotes"},
		{okStep + "    environment-variables: [{name: A, optional: maybe}]\n", "must be true or false", ""},
		{okStep + "    environment-variables: [{name: A=b}]\n", "'=' in its name", ""},
		{okStep + "    environment-variables: [{name: A, defualt: x}]\n", `unknown key "defualt"`, `"default"`},
		{param("type: int"), `unknown type "int"`, `"integer"`},
		{param("multiple: yes"), "multiple must be a text", ""},
		{param("multiple: often"), `multiple is "often"`, `"repeat"`},
		{param("type: flag, multiple: repeat"), "is a flag and cannot be multiple", ""},
		{param("default: [1, 2]"), "takes one value", "multiple: repeat"},
		{param("multiple: repeat, default: [[1]]"), "default must be texts, numbers", ""},
		{param("default: {a: 1}"), "default must be a list", ""},
		{param("min: low"), "min must be a number", ""},
		{param("choices: 3"), "choices must be a list", ""},
		{param("pass-as: '--x={value:.3f}'"), "{value:.3f}", ""},
		{param("pass-as: '--x={value'"), "brace", ""},
		{param("pass-as: '--x}'"), "brace", ""},
		{"- &a [*a]\n", "alias", ""},
		{"- *nothing\n", "alias", ""},
		{"- !!python/object x\n", "tag", ""},
		{"- step: {<<: 5}\n", "<<", ""},
		{"- a\n---\n- b\n", "more than one document", ""},
		{"- \xff\n", "not UTF-8", ""},
		{"- [\n", "not YAML", ""},
		{"- a: b: c\n", "not YAML", ""},
		{"-\ta: b\n  - c", "", ""},
	} {
		_, _, err := Parse([]byte(c.content))
		if err == nil || !errors.Is(err, ErrFile) || !strings.Contains(err.Error(), c.want) || !strings.Contains(HintOf(err), c.hint) {
			t.Errorf("%q:\n got %v (hint %q)\nwant %s (hint %s)", c.content, err, HintOf(err), c.want, c.hint)
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: the error has more than one line: %v", c.content, err)
		}
	}
}

func TestParseTakesYAML(t *testing.T) {
	for name, content := range map[string]string{
		"empty":             "",
		"comments only":     "# nothing\n",
		"start of document": "---\n" + okStep,
		"windows":           strings.ReplaceAll(okStep, "\n", "\r\n"),
		"byte order mark":   "\ufeff" + okStep,
	} {
		if _, _, err := Parse([]byte(content)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	file, notes := mustParse(t, `
- step: &base
    name: one
    image: &image "python:3"
    command:
      - |
        line one
        line two
      - >-
        folded
        text
      - 'single ''quoted'''
      - plain over
        two lines
- step:
    <<: *base
    name: two
    image: *image
- step:
    name: one
    image: !!str 5
    command: last
`)
	if len(file.Steps) != 2 || file.Steps[0].Image != "5" || file.Steps[0].Command[0] != "last" {
		t.Errorf("%+v", file.Steps)
	}
	if len(notes) != 1 || !strings.Contains(notes[0].Text, "twice") {
		t.Errorf("%v", notes)
	}
	want := []string{"line one\nline two\n", "folded text", "single 'quoted'", "plain over two lines"}
	if two := file.Steps[1]; two.Name != "two" || two.Image != "python:3" || !slices.Equal(two.Command, want) {
		t.Errorf("%q", two.Command)
	}
}

func TestParseNotesMistakes(t *testing.T) {
	_, notes := mustParse(t, okStep+`    parameters:
      - {name: a, type: integer, default: x}
      - {name: b, type: flag, optional: true, default: true, pass-as: x, pass-true-as: y}
      - {name: c, pass-true-as: x}
      - {name: d, type: float, max: 1, default: 2}
      - {name: d, default: 2}
    environment-variables: [{name: A}, {name: A}]
`)
	var got []string
	for _, n := range notes {
		got = append(got, fmt.Sprint(n.Line, n.Key))
	}
	want := strings.Fields("6default 7optional 7default 7pass-as 8pass-true-as 9default 10parameters 11environment-variables")
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q: %v", got, want, notes)
	}
}

// A file from elsewhere may not cost more than a moment. The YAML library's parser would take minutes and gigabytes
// for some of these.
func TestParseIsBounded(t *testing.T) {
	repeat := func(s string, n int) string { return strings.Repeat(s, n) }
	var keys, indented, aliases strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&keys, "k%d: 1\n", i)
	}
	for i := range 1000 {
		fmt.Fprintf(&indented, "%sa:\n", repeat(" ", i))
	}
	aliases.WriteString("- &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := range 20 {
		fmt.Fprintf(&aliases, "- &a%d [%s*a%d]\n", i+1, repeat(fmt.Sprintf("*a%d, ", i), 9), i)
	}
	for name, content := range map[string]string{
		"large": repeat("# x\n", 300_000), "brackets": repeat("[", 100_000), "closed": repeat("[", 1000) + repeat("]", 1000), "dashes": repeat("- ", 100_000),
		"maps": repeat("{a: ", 20_000), "questions": repeat("? ", 20_000), "anchors": repeat("&a ", 100_000), "anchors to the limit": repeat("&a ", 10_000),
		"tags": repeat("!a ", 100_000), "tags to the limit": repeat("!a ", 10_000), "aliases": repeat("*a ", 10_000),
		"keys": keys.String(), "keys to the limit": keys.String()[:110_000], "indented": indented.String(), "bomb": aliases.String(), "documents": repeat("---\n", 19_000),
	} {
		start := cputime.Process()
		if _, _, err := Parse([]byte(content)); !errors.Is(err, ErrFile) {
			t.Errorf("%s: %v", name, err)
		}
		if took := cputime.Process() - start; took > 10*time.Second {
			t.Errorf("%s: took %v", name, took)
		} else {
			t.Log(name, took)
		}
	}
	for name, content := range map[string]string{
		"newlines": repeat("\n", MaxSize), "comments": repeat("# x\n", MaxSize/4), "comment's row": repeat("#", MaxSize), "list to the limit": okStep + "    outputs: [" + repeat("{name: a},", 6000) + "]\n",
		"text": okStep + "    description: " + repeat("x", MaxSize-100), "lines": "- step:\n    name: a\n    image: b\n    command: |\n" + repeat("      echo hi\n", 70_000),
	} {
		start := cputime.Process()
		if _, _, err := Parse([]byte(content)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		t.Log(name, cputime.Process()-start)
	}
}

func TestFindAndRead(t *testing.T) {
	top := t.TempDir()
	deep := filepath.Join(top, "a", "b")
	if err := os.MkdirAll(filepath.Join(deep, "valohai.yaml"), 0o700); err != nil { // a directory does not count
		t.Fatal(err)
	}
	if _, err := Find(deep); !errors.Is(err, ErrNoFile) || HintOf(err) == "" {
		t.Errorf("got %v", err)
	}
	write := func(path, content string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(top, "valohai.yaml"), okStep)
	write(filepath.Join(top, "pier.yaml"), "- x\n")
	if path, err := Find(deep); err != nil || path != filepath.Join(top, "valohai.yaml") {
		t.Errorf("got %s, %v", path, err)
	}
	nearer := filepath.Join(top, "a", "pier.yaml")
	write(nearer, okStep+"    imge: c\n")
	path, err := Find(deep)
	if err != nil || path != nearer {
		t.Errorf("got %s, %v", path, err)
	}
	if _, _, err := Read(path); err == nil || !strings.HasPrefix(err.Error(), nearer+":5: ") || HintOf(err) != `did you mean "image"?` {
		t.Errorf("got %v (%s)", err, HintOf(err))
	}
	if file, _, err := Read(filepath.Join(top, "valohai.yaml")); err != nil || len(file.Steps) != 1 {
		t.Errorf("got %v, %v", file, err)
	}
	write(nearer, strings.Repeat(" ", MaxSize+1))
	if _, _, err := Read(nearer); !errors.Is(err, ErrFile) {
		t.Errorf("got %v", err)
	}
}

func TestStepIsFoundOrListed(t *testing.T) {
	file := File{Steps: []Step{{Name: "train"}, {Name: "evaluate"}}}
	for name, hint := range map[string]string{"trian": `did you mean "train"?`, "zzzzzzzzz": `the steps are "train", "evaluate"`, "": "the steps are"} {
		if _, err := file.Step(name); !errors.Is(err, ErrNoStep) || !strings.Contains(HintOf(err), hint) {
			t.Errorf("%q: %v (%s)", name, err, HintOf(err))
		}
	}
	if _, err := (File{}).Step(""); !errors.Is(err, ErrNoStep) {
		t.Errorf("got %v", err)
	}
	if s, err := (File{Steps: file.Steps[:1]}).Step(""); err != nil || s.Name != "train" {
		t.Errorf("got %v, %v", s, err)
	}
}

// FuzzParse: what is read can be rendered, in bounded time, without a panic; errors have one line and the right kind.
func FuzzParse(f *testing.F) {
	f.Add([]byte(fullStep))
	f.Add([]byte(stepWithChecks))
	f.Add([]byte(okStep))
	f.Add([]byte("- step: &a {<<: [*a], ? [x] : y}\n"))
	f.Add([]byte("- ? &a !!str \"x\\u0000\" : >+\n   a\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		file, _, err := Parse(content)
		if err != nil {
			if !errors.Is(err, ErrFile) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q", err)
			}
			return
		}
		for _, s := range file.Steps {
			if s.Name == "" || s.Image == "" || len(s.Command) == 0 {
				t.Errorf("%+v", s)
			}
			params := map[string][]string{}
			for _, p := range s.Parameters {
				if c := p.Choices(); len(c) > 0 {
					params[p.Name] = c[:1]
				}
			}
			if _, err := s.Render(params, nil); err != nil && !errors.Is(err, ErrValue) {
				t.Error(err)
			}
		}
	})
}
