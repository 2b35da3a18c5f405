package projectfile

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// testdata was written by Valohai's own library (5f71bb7) and PyYAML 6.0.3.
func readJSON(t *testing.T, name string, into any) {
	t.Helper()
	content, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(content, into); err != nil {
		t.Fatal(err)
	}
}

func mustParse(t *testing.T, content string) (File, []Note) {
	t.Helper()
	file, notes, err := Parse([]byte(content))
	if err != nil {
		t.Fatal(err)
	}
	return file, notes
}

func TestRenderAsValohaiDoes(t *testing.T) {
	var vectors struct {
		File  string
		Cases []struct {
			Step    string
			Given   map[string][]string
			Command []string
		}
	}
	readJSON(t, "render.json", &vectors)
	file, _ := mustParse(t, vectors.File)
	for _, c := range vectors.Cases {
		step, err := file.Step(c.Step)
		if err != nil {
			t.Fatal(err)
		}
		got, err := step.Render(c.Given, nil)
		if err != nil {
			t.Errorf("%s %v: %v", c.Step, c.Given, err)
			continue
		}
		if !slices.Equal(got.Command, c.Command) {
			t.Errorf("%s %v:\n got %q\nwant %q", c.Step, c.Given, got.Command, c.Command)
		}
	}
}

func TestPythonsScalarsDurationsQuotes(t *testing.T) {
	var vectors struct {
		Scalars   [][3]string
		Durations [][2]any
		Quotes    [][2]string
	}
	readJSON(t, "python.json", &vectors)
	for _, v := range vectors.Scalars {
		got := resolve(v[0])
		if text(got) != v[2] || kindOf(got) != v[1] {
			t.Errorf("%s: got %s %s, PyYAML has %s %s", v[0], kindOf(got), text(got), v[1], v[2])
		}
	}
	for _, v := range vectors.Durations {
		seconds, _ := v[1].(float64)
		got, err := ParseDuration(v[0].(string))
		if err != nil || got != time.Duration(seconds*float64(time.Second)) {
			t.Errorf("%q: got %v, %v; Valohai has %v s", v[0], got, err, v[1])
		}
	}
	for _, v := range vectors.Quotes {
		if got := Quote(v[0]); got != v[1] {
			t.Errorf("%q: got %s, shlex.quote has %s", v[0], got, v[1])
		}
	}
}

func kindOf(s scalar) string {
	switch s.(type) {
	case nil:
		return "null"
	case string:
		return "str"
	case bool:
		return "bool"
	case float64:
		return "float"
	}
	return "int"
}

const stepWithChecks = `
- step:
    name: train
    image: busybox
    command: run {parameters} {parameter-value:list}
    parameters:
      - {name: epochs, type: integer, min: 1, max: 10}
      - {name: rate, type: float, max: 0.5, optional: true}
      - {name: color, choices: [red, blue, 3], optional: true}
      - {name: list, multiple: separate, type: integer, choices: [1, 2, 3], multiple-separator: ";"}
      - {name: loud, type: flag}
    environment-variables:
      - {name: MODE, default: fast}
      - {name: KEY, optional: false}
      - {name: FREE}
`

func TestRenderRefuses(t *testing.T) {
	file, _ := mustParse(t, stepWithChecks)
	step, _ := file.Step("")
	env := map[string]string{"KEY": "s3cret"}
	one := func(pairs ...string) map[string][]string {
		params := map[string][]string{"epochs": {"3"}}
		for i := 0; i < len(pairs); i += 2 {
			params[pairs[i]] = append(params[pairs[i]], pairs[i+1])
		}
		return params
	}
	for _, c := range []struct {
		params map[string][]string
		env    map[string]string
		want   string
	}{
		{nil, env, `parameter "epochs" needs a value`},
		{one("epoch", "1"), env, `has no parameter "epoch"`},
		{one("epochs", "4"), env, `parameter "epochs" takes one value, not 2`},
		{map[string][]string{"epochs": {}}, env, `parameter "epochs" takes one value, not 0`},
		{map[string][]string{"epochs": {"0"}}, env, `parameter "epochs" must be at least 1`},
		{map[string][]string{"epochs": {"11"}}, env, `parameter "epochs" must be at most 10`},
		{map[string][]string{"epochs": {"5.3"}}, env, `parameter "epochs" takes an integer, not "5.3"`},
		{map[string][]string{"epochs": {""}}, env, `parameter "epochs" has an empty value`},
		{map[string][]string{"epochs": {"0x5"}}, env, `takes an integer`},
		{one("rate", "0.51"), env, `parameter "rate" must be at most 0.5`},
		{one("rate", "fast"), env, `parameter "rate" takes a number`},
		{one("rate", "0x1p-2"), env, `parameter "rate" takes a number`},
		{one("color", "green"), env, `parameter "color" must be one of "red", "blue", "3", not "green"`},
		{one("list", "2", "list", "4"), env, `parameter "list" must be one of`},
		{one("loud", "maybe"), env, `parameter "loud" is a flag and takes true or false`},
		{one("color", "a\x00"), env, `NUL`},
		{one(), nil, `environment variable "KEY" needs a value`},
		{one(), map[string]string{"KEY": "1", "A=B": "s3cret"}, `the environment variable "A=B"`},
		{one(), map[string]string{"KEY": "s3cret\x00"}, `the environment variable "KEY"`},
	} {
		_, err := step.Render(c.params, c.env)
		if err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, ErrValue) {
			t.Errorf("%v %v: got %v, want %q", c.params, c.env, err, c.want)
		} else if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%v: a variable's value is in the error", err)
		}
	}
}

func TestRenderEnvironmentAndLists(t *testing.T) {
	file, _ := mustParse(t, stepWithChecks)
	step, _ := file.Step("train")
	got, err := step.Render(map[string][]string{"epochs": {"3"}, "color": {"3"}, "list": {"1", "2"}, "loud": {"yes"}},
		map[string]string{"KEY": "", "OTHER": "x"})
	if err != nil {
		t.Fatal(err)
	}
	if want := "run --epochs=3 --color=3 '--list=1;2' --loud '1;2'"; got.Command[0] != want {
		t.Errorf("got %s, want %s", got.Command[0], want)
	}
	want := map[string]string{"MODE": "fast", "KEY": "", "OTHER": "x"}
	if len(got.Environment) != len(want) {
		t.Errorf("environment %v", got.Environment)
	}
	for k, v := range want {
		if has, ok := got.Environment[k]; !ok || has != v {
			t.Errorf("%s is %q", k, has)
		}
	}
}

func TestRenderIsBounded(t *testing.T) {
	file, _ := mustParse(t, "- step: {name: a, image: b, command: \""+strings.Repeat("{params}", 10000)+"\", parameters: [{name: p}]}\n")
	if _, err := file.Steps[0].Render(map[string][]string{"p": {strings.Repeat("x", 100_000)}}, nil); !errors.Is(err, ErrValue) {
		t.Errorf("got %v", err)
	}
}

func TestDurationRefuses(t *testing.T) {
	for _, s := range []string{"72", "1h 30", "5x", "abc", "0s", "-1h", "1.2.3s", "1000000000w", "0.0000000001s", "..s"} {
		if d, err := ParseDuration(s); err == nil {
			t.Errorf("%q gives %v", s, d)
		}
	}
}

func TestJoin(t *testing.T) {
	for _, c := range []struct {
		lines []string
		want  string
	}{
		{[]string{"foo"}, "foo"},
		{[]string{"foo", " ", "bar"}, "foo\nbar"},
		{[]string{"#!/bin/sh", "foo", " ", "bar"}, "#!/bin/sh\nfoo\nbar"},
		{[]string{"#!/bin/sh\nfoo", "", "bar"}, "#!/bin/sh\nfoo\nbar"},
		{nil, ""},
	} {
		if got := Join(c.lines); got != c.want {
			t.Errorf("%q: got %q", c.lines, got)
		}
	}
}

// A step that did nothing used to succeed.
func TestBlankCommandIsRefused(t *testing.T) {
	for _, command := range []string{`"  "`, `["", " "]`, `"{parameters}"`} {
		file, _, err := Parse([]byte("- step: {name: a, image: b, command: " + command + "}"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.Steps[0].Render(nil, nil); !errors.Is(err, ErrValue) {
			t.Errorf("command %s: %v", command, err)
		}
	}
}
