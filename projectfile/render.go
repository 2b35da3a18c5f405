package projectfile

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"pierhead.dev/pierhead/internal/suggest"
)

// Rendered is a step with its parameters and variables filled in.
type Rendered struct {
	Command     []string          // lines, each for a shell, without spaces at their ends; some may be empty
	Environment map[string]string // of the container; never nil
}

// maxRendered bounds the command, in bytes: Linux takes no longer argument.
const maxRendered = 128 << 10

// Render fills parameters and variables in. params has, by parameter, the values that were given as text (one, unless
// the parameter takes several); env has variables, which need not be in the file. Error: ErrValue, which names the
// parameter or the variable, but not a variable's value.
func (s Step) Render(params map[string][]string, env map[string]string) (Rendered, error) {
	values, err := s.values(params)
	if err != nil {
		return Rendered{}, err
	}
	environment, err := s.environment(env)
	if err != nil {
		return Rendered{}, err
	}
	out := Rendered{Environment: environment}
	size := 0
	for _, line := range s.Command {
		line = strings.TrimSpace(s.interpolate(line, values))
		if size += len(line) + 1; size > maxRendered {
			return Rendered{}, &Error{Kind: ErrValue, Text: fmt.Sprintf("the command of step %q is longer than %d KiB with its parameters", clip(s.Name), maxRendered>>10)}
		}
		out.Command = append(out.Command, line)
	}
	if Join(out.Command) == "" {
		return Rendered{}, &Error{Kind: ErrValue, Text: fmt.Sprintf("the command of step %q is empty", clip(s.Name)), Hint: "write what it runs"}
	}
	return out, nil
}

// values is what each parameter has: what was given, else its default. A flag's default does not count.
func (s Step) values(params map[string][]string) (map[string][]scalar, error) {
	var have []string
	for _, p := range s.Parameters {
		have = append(have, p.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(params)) {
		if !slices.Contains(have, name) {
			e := &Error{Kind: ErrValue, Text: fmt.Sprintf("step %q has no parameter %q", clip(s.Name), clip(name)), Hint: "it has none"}
			if near := suggest.Nearest(name, have); near != "" {
				e.Hint = fmt.Sprintf("did you mean %q?", near)
			} else if len(have) > 0 {
				e.Hint = "it has " + quoteList(have)
			}
			return nil, e
		}
	}
	values := map[string][]scalar{}
	for _, p := range s.Parameters {
		given, isGiven := params[p.Name]
		switch {
		case isGiven:
			cast, err := p.cast(given)
			if err != nil {
				return nil, &Error{Kind: ErrValue, Text: fmt.Sprintf("parameter %q %v", p.Name, err)}
			}
			values[p.Name] = cast
		case p.hasDefault && p.Type != FlagParameter:
			values[p.Name] = p.defaults
		case !p.Optional && p.Multiple == MultipleNone:
			return nil, &Error{Kind: ErrValue, Text: fmt.Sprintf("parameter %q needs a value", p.Name),
				Hint: fmt.Sprintf("give it with --param %s=…, or make it optional or give it a default in the project file", p.Name)}
		case p.Multiple != MultipleNone:
			values[p.Name] = nil // Valohai's default is the empty list
		}
	}
	return values, nil
}

func (s Step) environment(env map[string]string) (map[string]string, error) {
	out := map[string]string{}
	for _, v := range s.Variables {
		if v.Default != nil {
			out[v.Name] = *v.Default
		}
	}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.ContainsRune(env[name], 0) {
			return nil, &Error{Kind: ErrValue, Text: fmt.Sprintf("the environment variable %q has no name, or a NUL character in it", clip(name))}
		}
		out[name] = env[name]
	}
	for _, v := range s.Variables {
		if _, set := out[v.Name]; !set && !v.Optional {
			return nil, &Error{Kind: ErrValue, Text: fmt.Sprintf("environment variable %q needs a value", v.Name),
				Hint: fmt.Sprintf("give it with --env %s=…", v.Name)}
		}
	}
	return out, nil
}

// interpolable is what Valohai looks for in a line. Most of what it finds is the shell's: ${HOME}, {a,b}.
var interpolable = regexp.MustCompile(`\{(.+?)\}`)

func (s Step) interpolate(line string, values map[string][]scalar) string {
	added := 0
	return interpolable.ReplaceAllStringFunc(line, func(found string) string {
		if added > maxRendered {
			return found // it is too long already, and Render will say so
		}
		if replaced, ok := s.replace(found[1:len(found)-1], values); ok {
			added += len(replaced)
			return replaced
		}
		return found
	})
}

// replace is what stands for what is in the braces; false leaves them as they are.
func (s Step) replace(inside string, values map[string][]scalar) (string, bool) {
	arguments := func(p Parameter) []string {
		v, given := values[p.Name]
		return p.arguments(v, given)
	}
	if inside == "source-path" && s.SourcePath != "" {
		return Quote(s.SourcePath), true
	}
	if inside == "parameters" || inside == "params" {
		var all []string
		for _, p := range s.Parameters {
			all = append(all, arguments(p)...)
		}
		return quoteAll(all), true
	}
	if name, ok := strings.CutPrefix(inside, "parameter:"); ok {
		p, known := s.parameter(name)
		return quoteAll(arguments(p)), known
	}
	if name, ok := strings.CutPrefix(inside, "parameter-value:"); ok {
		p, known := s.parameter(name)
		v, given := values[name]
		return Quote(p.value(v)), known && given
	}
	return "", false
}

func (s Step) parameter(name string) (Parameter, bool) {
	for _, p := range s.Parameters {
		if p.Name == name {
			return p, true
		}
	}
	return Parameter{}, false
}

func quoteAll(words []string) string {
	var quoted []string
	for _, w := range words {
		quoted = append(quoted, Quote(w))
	}
	return strings.Join(quoted, " ")
}
