package projectfile

import (
	"fmt"
	"slices"
)

// parameterText is what a parameter has in the file, before its parts are looked at together.
type parameterText struct {
	kind, multiple, passAs, passTrue, passFalse, separator string
}

func (r *reader) readParameter(s *Step, n *node, step string) error {
	what := step + ": parameter"
	if name := n.get("name"); name != nil {
		if text, ok := name.scalar.(string); ok {
			what = fmt.Sprintf("%s: parameter %q", step, clip(text))
		}
	}
	p, raw := Parameter{}, parameterText{}
	err := r.mapping(n, what, keys{
		"name":               textInto(&p.Name, what+": name"),
		"type":               textInto(&raw.kind, what+": type"),
		"optional":           boolInto(&p.Optional, what+": optional"),
		"description":        textInto(&p.Description, what+": description"),
		"multiple":           textInto(&raw.multiple, what+": multiple"),
		"multiple-separator": textInto(&raw.separator, what+": multiple-separator"),
		"pass-as":            textInto(&raw.passAs, what+": pass-as"),
		"pass-true-as":       textInto(&raw.passTrue, what+": pass-true-as"),
		"pass-false-as":      textInto(&raw.passFalse, what+": pass-false-as"),
		"category":           textInto(new(string), what+": category"), // for a form; there is none here
		"widget":             func(*node) error { return nil },         // likewise
		"default":            func(n *node) error { return defaultInto(&p, n, what) },
		"choices":            scalarsInto(&p.choices, what+": choices"),
		"min":                numberInto(&p.min, what+": min"),
		"max":                numberInto(&p.max, what+": max"),
	}, nil)
	if err == nil && p.Name == "" {
		err = fileError(n.line, "", "%s has no name", what)
	}
	if err == nil {
		err = p.finish(raw, n, what)
	}
	if err != nil {
		return err
	}
	r.lintParameter(p, raw, n, what)
	if replace(&s.Parameters, p, func(other Parameter) bool { return other.Name == p.Name }) {
		r.note(n.line, "parameters", "%s is there twice; the last one counts", what)
	}
	return nil
}

func defaultInto(p *Parameter, n *node, what string) error {
	if n.kind == scalarNode && n.scalar == nil {
		return nil // as if it were not there
	}
	p.hasDefault = true
	if n.kind == scalarNode {
		p.defaults = []scalar{n.scalar}
		return nil
	}
	return scalarsInto(&p.defaults, what+": default")(n)
}

func scalarsInto(into *[]scalar, what string) func(*node) error {
	return func(n *node) error {
		return each(what, func(item *node) error {
			if item.kind != scalarNode || item.scalar == nil {
				return fileError(item.line, quotesHint(item), "%s must be texts, numbers, or true and false; one is %s", what, item.what())
			}
			*into = append(*into, item.scalar)
			return nil
		})(n)
	}
}

func numberInto(into *scalar, what string) func(*node) error {
	return func(n *node) error {
		if n.kind != scalarNode || !isNumber(n.scalar) {
			return fileError(n.line, "", "%s must be a number, and is %s", what, n.what())
		}
		*into = n.scalar
		return nil
	}
}

// finish puts the parts together: types, defaults of the file format, templates.
func (p *Parameter) finish(raw parameterText, n *node, what string) error {
	types := []string{string(StringParameter), string(IntegerParameter), string(FloatParameter), string(FlagParameter)}
	if p.Type = ParameterType(raw.kind); n.get("type") == nil {
		p.Type = StringParameter
	}
	if !slices.Contains(types, string(p.Type)) {
		return fileError(n.get("type").line, "it can be "+quoteList(types), "%s has the unknown type %q", what, clip(raw.kind))
	}
	modes := []string{string(MultipleNone), string(MultipleRepeat), string(MultipleSeparate)}
	if p.Multiple = MultipleMode(raw.multiple); n.get("multiple") == nil {
		p.Multiple = MultipleNone
	}
	if !slices.Contains(modes, string(p.Multiple)) {
		return fileError(n.get("multiple").line, "it can be "+quoteList(modes), "%s: multiple is %q", what, clip(raw.multiple))
	}
	if p.Type == FlagParameter && p.Multiple != MultipleNone {
		return fileError(n.line, "", "%s is a flag and cannot be multiple", what)
	}
	if value := n.get("default"); value != nil && value.kind == listNode && p.Multiple == MultipleNone {
		return fileError(value.line, "say multiple: repeat or multiple: separate", "%s has a list as its default, but takes one value", what)
	}
	p.separator = raw.separator
	if p.separator == "" {
		p.separator = ","
	}
	if p.Type == FlagParameter {
		p.Optional, p.choices = true, nil
	} else {
		raw.passTrue, raw.passFalse = "", ""
	}
	return p.readTemplates(raw, n, what)
}

func (p *Parameter) readTemplates(raw parameterText, n *node, what string) error {
	if raw.passAs == "" && p.Type == FlagParameter {
		raw.passAs = "--{name}"
	} else if raw.passAs == "" {
		raw.passAs = "--{name}={value}"
	}
	for _, t := range []struct {
		key, text string
		into      *template
	}{
		{"pass-as", raw.passAs, &p.passAs}, {"pass-true-as", raw.passTrue, &p.passTrue}, {"pass-false-as", raw.passFalse, &p.passFalse},
	} {
		parsed, err := parseTemplate(t.text)
		if err != nil {
			return fileError(n.get(t.key).line, "", "%s: %s: %v", what, t.key, err)
		}
		*t.into = parsed
	}
	return nil
}

// lintParameter notes what has no effect and defaults that the parameter would not take, as Valohai's lint does.
func (r *reader) lintParameter(p Parameter, raw parameterText, n *node, what string) {
	ineffective := func(key, why string) {
		if value := n.get(key); value != nil {
			r.note(value.line, key, "%s: %s has no effect %s", what, key, why)
		}
	}
	if p.Type != FlagParameter {
		ineffective("pass-true-as", "on a parameter that is no flag")
		ineffective("pass-false-as", "on a parameter that is no flag")
	} else {
		ineffective("optional", "on a flag")
		ineffective("default", "on a flag: a flag that is not given is not passed")
		if raw.passTrue != "" || raw.passFalse != "" {
			ineffective("pass-as", "beside pass-true-as or pass-false-as")
		}
		return
	}
	for _, value := range p.defaults {
		cast, err := p.castOne(text(value))
		if err == nil {
			err = p.check(cast)
		}
		if err != nil {
			r.note(n.get("default").line, "default", "%s %v, and its default does not fit", what, err)
		}
	}
}
