package projectfile

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A ParameterType says what values a parameter takes.
type ParameterType string

// The types.
const (
	StringParameter  ParameterType = "string" // the default
	IntegerParameter ParameterType = "integer"
	FloatParameter   ParameterType = "float"
	FlagParameter    ParameterType = "flag" // there or not
)

// A MultipleMode says how several values of one parameter are passed.
type MultipleMode string

// The modes.
const (
	MultipleNone     MultipleMode = "none"     // one value only; the default
	MultipleRepeat   MultipleMode = "repeat"   // pass-as once for each value
	MultipleSeparate MultipleMode = "separate" // pass-as once, the values joined by multiple-separator
)

// A Parameter is one of a step's parameters.
type Parameter struct {
	Name        string
	Type        ParameterType
	Optional    bool // it need not have a value; always so for a flag
	Multiple    MultipleMode
	Description string

	separator                   string
	defaults                    []scalar // nil: no default
	hasDefault                  bool
	choices                     []scalar // nil: any
	min, max                    scalar   // nil: none
	passAs, passTrue, passFalse template // nil: not set
}

// Default is the default value, several where the parameter takes several, and whether there is one. The default of a
// flag never counts: a flag that is not given is not passed.
func (p Parameter) Default() ([]string, bool) { return texts(p.defaults), p.hasDefault }

// Choices are the allowed values; nil means any.
func (p Parameter) Choices() []string { return texts(p.choices) }

func texts(scalars []scalar) []string {
	var out []string
	for _, s := range scalars {
		out = append(out, text(s))
	}
	return out
}

// cast checks what was given for the parameter, as text, and makes it of the parameter's type.
func (p Parameter) cast(given []string) ([]scalar, error) {
	if p.Multiple == MultipleNone && len(given) != 1 {
		return nil, fmt.Errorf("takes one value, not %d", len(given))
	}
	var values []scalar
	for _, s := range given {
		if strings.ContainsRune(s, 0) {
			return nil, errors.New("cannot have a NUL character in its value")
		}
		value, err := p.castOne(s)
		if err == nil {
			err = p.check(value)
		}
		if err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	return values, nil
}

func (p Parameter) castOne(s string) (scalar, error) {
	if s == "" && p.Type != StringParameter {
		return nil, errors.New("has an empty value")
	}
	switch p.Type {
	case IntegerParameter:
		if n, ok := toInt(s); ok {
			return n, nil
		}
		return nil, fmt.Errorf("takes an integer, not %q", clip(s))
	case FloatParameter:
		if f, ok := toFloat(s); ok {
			return f, nil
		}
		return nil, fmt.Errorf("takes a number, not %q", clip(s))
	case FlagParameter:
		switch strings.ToLower(strings.TrimSpace(s)) {
		case "true", "yes", "on", "1", "t", "y":
			return true, nil
		case "false", "no", "off", "0", "f", "n":
			return false, nil
		}
		return nil, fmt.Errorf("is a flag and takes true or false, not %q", clip(s))
	}
	return s, nil
}

// check compares a value with min, max and choices. A text has no order: min and max do not touch it.
func (p Parameter) check(value scalar) error {
	if order, ok := compare(value, p.min); ok && order < 0 {
		return fmt.Errorf("must be at least %s, and %s is less", text(p.min), clip(text(value)))
	}
	if order, ok := compare(value, p.max); ok && order > 0 {
		return fmt.Errorf("must be at most %s, and %s is more", text(p.max), clip(text(value)))
	}
	if p.choices == nil || slices.ContainsFunc(p.choices, func(c scalar) bool {
		return equal(c, value) || p.Type == StringParameter && text(c) == text(value)
	}) {
		return nil
	}
	return fmt.Errorf("must be one of %s, not %q", quoteList(p.Choices()), clip(text(value)))
}

// arguments is what is passed for values; nil values mean that there is none.
func (p Parameter) arguments(values []scalar, given bool) []string {
	if !given {
		return nil
	}
	pass := p.passAs
	if p.Type == FlagParameter {
		if on, _ := values[0].(bool); p.passTrue != nil || p.passFalse != nil {
			pass = p.passFalse
			if on {
				pass = p.passTrue
			}
		} else if !on {
			return nil
		}
	}
	switch {
	case p.Multiple == MultipleSeparate && len(values) > 0:
		return pass.expand(p.Name, strings.Join(texts(values), p.separator))
	case p.Multiple == MultipleSeparate:
		return nil // no "--name=" without a value
	}
	var out []string
	for _, value := range values {
		out = append(out, pass.expand(p.Name, text(value))...)
	}
	return out
}

// value is the bare value of {parameter-value:NAME}.
func (p Parameter) value(values []scalar) string { return strings.Join(texts(values), p.separator) }

// A template is a pass-as: words, each a row of texts and places.
type template [][]piece

type piece struct {
	text  string
	place byte // 0: text; 'n': the parameter's name; 'v': its value
}

// parseTemplate splits a pass-as at spaces and reads each word as Python's str.format does, but for its format
// specifications. It is nil when there is no word.
func parseTemplate(s string) (template, error) {
	var out template
	for word := range strings.FieldsSeq(s) {
		pieces, err := parseWord(word)
		if err != nil {
			return nil, err
		}
		out = append(out, pieces)
	}
	return out, nil
}

func parseWord(word string) ([]piece, error) {
	pieces := []piece{}
	literal := func(s string) { pieces = append(pieces, piece{text: s}) }
	for word != "" {
		at := strings.IndexAny(word, "{}")
		if at < 0 {
			literal(word)
			break
		}
		literal(word[:at])
		if strings.HasPrefix(word[at:], "{{") || strings.HasPrefix(word[at:], "}}") {
			literal(word[at : at+1])
			word = word[at+2:]
			continue
		}
		end := strings.IndexByte(word[at:], '}')
		if word[at] == '}' || end < 0 {
			return nil, fmt.Errorf("%q has a brace without its pair; write {{ or }} for the brace itself", clip(word))
		}
		switch name := word[at+1 : at+end]; name {
		case "name":
			pieces = append(pieces, piece{place: 'n'})
		case "value", "v":
			pieces = append(pieces, piece{place: 'v'})
		default:
			return nil, fmt.Errorf("%q is none of {name}, {value} and {v}", clip("{"+name+"}"))
		}
		word = word[at+end+1:]
	}
	return pieces, nil
}

func (t template) expand(name, value string) []string {
	var out []string
	for _, word := range t {
		var b strings.Builder
		for _, p := range word {
			switch p.place {
			case 'n':
				b.WriteString(name)
			case 'v':
				b.WriteString(value)
			default:
				b.WriteString(p.text)
			}
		}
		out = append(out, b.String())
	}
	return out
}
