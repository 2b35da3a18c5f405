package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"

	"pierhead.dev/pierhead"
)

// wrongKind names what a key must be and what it is, never its content: the key may be one for a password.
func wrongKind(v *value, path string, want kind) error {
	hint := ""
	if want == isText && (v.kind == isNumber || v.kind == isBool) {
		hint = "put it in quotes"
	}
	return badLine(v.line, fmt.Sprintf("%s must be %s, not %s", name(path), want, v.kind), hint)
}

// ownWords is the text of an error of a type's own decoding, where that cannot quote content.
func ownWords(err error) string {
	var problem *pierhead.Problem
	var parse *time.ParseError
	switch {
	case errors.As(err, &problem):
		return problem.Text
	case errors.As(err, &parse):
		return "not a time such as 2026-01-31T12:00:00Z"
	}
	return "not of the right kind"
}

func asSyntax(err error, to **json.SyntaxError) bool { return errors.As(err, to) }

func name(path string) string {
	if path == "" {
		return "the document"
	}
	return path
}

func in(path string) string {
	if path == "" {
		return ""
	}
	return " in " + path
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func list(words []string) string {
	sort.Strings(words)
	return strings.Join(words, ", ")
}

// json prints a value again, for types that decode themselves.
func (v *value) json() []byte {
	data, err := json.Marshal(v.plain())
	if err != nil {
		return []byte("null") // plain returns nothing that does not marshal, but for a number that YAML alone allows
	}
	return data
}

func (v *value) plain() any {
	switch v.kind {
	case isBool:
		return v.text == "true"
	case isNumber:
		return json.Number(v.text)
	case isText:
		return v.text
	case isList:
		return mapped(v.items, (*value).plain)
	case isObject:
		object := make(map[string]any, len(v.members))
		for _, m := range v.members {
			object[m.key] = m.value.plain()
		}
		return object
	}
	return nil
}
