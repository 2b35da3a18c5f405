package projectfile

import (
	"fmt"
	"math/big"
	"slices"
	"strings"

	"pierhead.dev/pierhead/internal/suggest"
)

// Parse reads a project file. The notes name what Valohai knows and what has no use here; they are no errors. An
// empty file has no steps. Error: ErrFile, with the line; of several mistakes the first.
func Parse(content []byte) (File, []Note, error) {
	tree, err := readTree(content)
	if err != nil || tree == nil {
		return File{}, nil, err
	}
	if tree.kind != listNode {
		return File{}, nil, fileError(tree.line, "begin each step with \"- step:\"", "the project file must be a list of steps, and is %s", tree.what())
	}
	r := reader{}
	for _, item := range tree.items {
		if err := r.item(item); err != nil {
			return File{}, nil, err
		}
	}
	return r.file, r.notes, nil
}

// otherItems are the things beside steps that Valohai's files have.
var otherItems = map[string]string{
	"endpoint":   "end-points are not run here",
	"pipeline":   "pipelines are not run here",
	"blueprint":  "pipelines are not run here",
	"task":       "tasks are not run here",
	"deployment": "deployments are not run here",
}

// unusedStepKeys are those that have no use here, with what to say.
var unusedStepKeys = map[string]string{
	"inputs":                      "inputs are not downloaded here",
	"outputs":                     "outputs are not collected here",
	"cache-volumes":               "cache volumes are not made here",
	"environment":                 "the machine is not chosen by the project file here",
	"runtime-config-preset":       "presets of machines are not used here",
	"environment-variable-groups": "groups of variables are not used here",
	"no-output-timeout":           "silence does not stop an execution here",
	"upload-store":                "outputs are not collected here",
	"stop-condition":              "there is no metadata here that could meet a condition",
	"resources":                   "resources are not set by the project file here",
	"icon":                        "it is decoration",
	"category":                    "it is decoration",
}

// A reader turns nodes into a File.
type reader struct {
	file  File
	notes []Note
	step  string // the name of the step being read
}

func (r *reader) note(line int, key, format string, args ...any) {
	r.notes = append(r.notes, Note{Line: line, Step: r.step, Key: key, Text: fmt.Sprintf(format, args...)})
}

// keys are what a mapping may have: by name, what reads the value.
type keys map[string]func(*node) error

// mapping reads a mapping: known keys, keys that are known and not used, and others, which are errors.
func (r *reader) mapping(n *node, what string, known keys, unused map[string]string) error {
	if n.kind != mappingNode {
		return fileError(n.line, "", "%s must be a mapping, and is %s", what, n.what())
	}
	for _, f := range n.fields {
		if read := known[f.key]; read != nil {
			if err := read(f.value); err != nil {
				return err
			}
		} else if why, ok := unused[f.key]; ok {
			r.note(f.line, f.key, "%s: %s is not used: %s", what, f.key, why)
		} else {
			return unknownKey(f, what, known, unused)
		}
	}
	return nil
}

func unknownKey(f field, what string, known keys, unused map[string]string) error {
	var have []string
	for key := range known {
		have = append(have, key)
	}
	for key := range unused {
		have = append(have, key)
	}
	slices.Sort(have)
	hint := "it can have " + strings.Join(have, ", ")
	if near := suggest.Nearest(f.key, have); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	return fileError(f.line, hint, "%s has the unknown key %q", what, clip(f.key))
}

// item reads one item of the file.
func (r *reader) item(n *node) error {
	r.step = ""
	if step := n.get("step"); step != nil && step.kind == scalarNode && step.scalar == nil && len(n.fields) > 1 {
		return fileError(n.line, "indent the step's keys by two more spaces", "the keys of this step are not indented under \"step:\"")
	}
	known := keys{"step": r.readStep}
	return r.mapping(n, "an item of the project file", known, otherItems)
}

func (r *reader) readStep(n *node) error {
	what := "the step"
	if name := n.get("name"); name != nil {
		if s, ok := name.scalar.(string); ok && s != "" {
			r.step, what = s, fmt.Sprintf("step %q", clip(s))
		}
	}
	s := Step{Line: n.line}
	err := r.mapping(n, what, keys{
		"name":                  textInto(&s.Name, what+": name"),
		"image":                 textInto(&s.Image, what+": image"),
		"description":           textInto(&s.Description, what+": description"),
		"source-path":           textInto(&s.SourcePath, what+": source-path"),
		"command":               commandInto(&s.Command, what+": command"),
		"time-limit":            durationInto(&s, what),
		"parameters":            each(what+": parameters", func(item *node) error { return r.readParameter(&s, item, what) }),
		"environment-variables": each(what+": environment-variables", func(item *node) error { return r.readVariable(&s, item, what) }),
		"mounts":                each(what+": mounts", func(item *node) error { return r.readMount(&s, item, what) }),
	}, unusedStepKeys)
	if err != nil {
		return err
	}
	switch {
	case s.Name == "":
		return fileError(n.line, "", "%s has no name", what)
	case s.Image == "":
		return fileError(n.line, "write its full name, as in image: docker.io/library/python:3.13", "%s has no image", what)
	case len(s.Command) == 0:
		return fileError(n.line, "", "%s has no command", what)
	}
	if replace(&r.file.Steps, s, func(other Step) bool { return other.Name == s.Name }) {
		r.note(s.Line, "step", "%s is there twice; the last one counts", what)
	}
	return nil
}

// replace puts item in the place of its namesake, or at the end; it tells whether there was a namesake. Valohai's
// library does the same without a word.
func replace[T any](list *[]T, item T, namesake func(T) bool) bool {
	at := slices.IndexFunc(*list, namesake)
	if at < 0 {
		*list = append(*list, item)
		return false
	}
	(*list)[at] = item
	return true
}

func textInto(into *string, what string) func(*node) error {
	return func(n *node) error {
		s, ok := n.scalar.(string)
		if !ok || n.kind != scalarNode {
			return fileError(n.line, quotesHint(n), "%s must be a text, and is %s", what, n.what())
		}
		if strings.ContainsRune(s, 0) {
			return fileError(n.line, "", "%s has a NUL character in it", what)
		}
		*into = s
		return nil
	}
}

// quotesHint is for values that YAML took for something else than the text that was meant.
func quotesHint(n *node) string {
	if n.kind == mappingNode || n.kind == scalarNode && n.scalar != nil {
		return "put it into quotes"
	}
	return ""
}

func boolInto(into *bool, what string) func(*node) error {
	return func(n *node) error {
		b, ok := n.scalar.(bool)
		if !ok {
			return fileError(n.line, "", "%s must be true or false, and is %s", what, n.what())
		}
		*into = b
		return nil
	}
}

func commandInto(into *[]string, what string) func(*node) error {
	return func(n *node) error {
		lines := []*node{n}
		if n.kind == listNode {
			lines = n.items
		}
		for _, line := range lines {
			var s string
			if err := textInto(&s, what)(line); err != nil {
				return err
			}
			*into = append(*into, s)
		}
		return nil
	}
}

func durationInto(s *Step, what string) func(*node) error {
	return func(n *node) error {
		limit, err := durationOf(n.scalar)
		if err != nil {
			return fileError(n.line, "", "%s: time-limit: %v", what, err)
		}
		s.TimeLimit = limit
		return nil
	}
}

func each(what string, read func(*node) error) func(*node) error {
	return func(n *node) error {
		if n.kind != listNode {
			return fileError(n.line, "", "%s must be a list, and is %s", what, n.what())
		}
		for _, item := range n.items {
			if err := read(item); err != nil {
				return err
			}
		}
		return nil
	}
}

func (r *reader) readVariable(s *Step, n *node, step string) error {
	what := step + ": environment variable"
	v := Variable{Optional: true}
	var value string
	hasDefault := false
	err := r.mapping(n, what, keys{
		"name":        textInto(&v.Name, what+": name"),
		"optional":    boolInto(&v.Optional, what+": optional"),
		"description": textInto(&v.Description, what+": description"),
		"default": func(n *node) error {
			hasDefault = true
			return textInto(&value, what+": default")(n)
		},
	}, nil)
	if err != nil {
		return err
	}
	if v.Name == "" || strings.ContainsRune(v.Name, '=') {
		return fileError(n.line, "", "%s has no name, or '=' in its name", what)
	}
	if hasDefault {
		v.Default = &value
	}
	if replace(&s.Variables, v, func(other Variable) bool { return other.Name == v.Name }) {
		r.note(n.line, "environment-variables", "%s %q is there twice; the last one counts", what, clip(v.Name))
	}
	return nil
}

func (r *reader) readMount(s *Step, n *node, step string) error {
	what := step + ": mount"
	var m Mount
	if short, ok := n.scalar.(string); ok && n.kind == scalarNode {
		m.Source, m.Destination, _ = strings.Cut(short, ":")
		if !strings.HasPrefix(m.Source, "/") || len(m.Source) < 2 {
			return fileError(n.line, "write it as /on/the/machine:/in/the/container", "%s must have an absolute source", what)
		}
	} else {
		err := r.mapping(n, what, keys{
			"source":      textInto(&m.Source, what+": source"),
			"destination": textInto(&m.Destination, what+": destination"),
			"readonly":    boolInto(&m.ReadOnly, what+": readonly"),
			"type":        textInto(&m.Type, what+": type"),
			"options": func(n *node) error {
				r.note(n.line, "options", "%s: options are not used: only directories of the machine are mounted", what)
				return nil
			},
		}, nil)
		if err != nil {
			return err
		}
	}
	if m.Source == "" || !strings.HasPrefix(m.Destination, "/") || len(m.Destination) < 2 {
		return fileError(n.line, "write it as /on/the/machine:/in/the/container", "%s must have a source and an absolute destination", what)
	}
	m.Type = strings.ToLower(m.Type)
	s.Mounts = append(s.Mounts, m)
	return nil
}

// isNumber tells whether a scalar is an integer or a float.
func isNumber(s scalar) bool {
	switch s.(type) {
	case *big.Int, float64:
		return true
	}
	return false
}
