package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/internal/suggest"
)

// Decode reads one JSON object into a wire type, strictly: an unknown key, a doubled key, a value of the wrong kind
// and anything after the object are refused, with the key's name and, where one is near, the key that was probably
// meant. Errors are of kind pierhead.ErrBadInput.
func Decode(data []byte, into any) error {
	p := newJSONParser(data, false)
	v, err := p.next(0)
	if errors.Is(err, io.EOF) {
		return pierhead.NewProblem(pierhead.ErrBadInput, "the request has no body", "send a JSON object")
	}
	if err != nil {
		return err
	}
	if _, err := p.next(0); !errors.Is(err, io.EOF) {
		return pierhead.NewProblem(pierhead.ErrBadInput, "something follows the JSON object", "send one object")
	}
	return bind(v, reflect.ValueOf(into).Elem(), "")
}

// laterKeys is implemented by wire types that know keys which this version does not support yet.
type laterKeys interface{ laterKeys() []string }

// bind puts a parsed value into a Go value; path names the place in errors.
func bind(v *value, to reflect.Value, path string) error {
	if v.kind == isNull {
		return nil // as if the key were not there
	}
	if to.Kind() == reflect.Pointer {
		to.Set(reflect.New(to.Type().Elem()))
		return bind(v, to.Elem(), path)
	}
	if own, ok := to.Addr().Interface().(json.Unmarshaler); ok {
		if err := own.UnmarshalJSON(v.json()); err != nil {
			return badLine(v.line, fmt.Sprintf("%s: %s", name(path), ownWords(err)), pierhead.HintOf(err))
		}
		return nil
	}
	return bindKind(v, to, path)
}

func bindKind(v *value, to reflect.Value, path string) error {
	switch to.Kind() {
	case reflect.Struct:
		return bindStruct(v, to, path)
	case reflect.Map:
		return bindMap(v, to, path)
	case reflect.Slice:
		return bindSlice(v, to, path)
	case reflect.String:
		if v.kind != isText {
			return wrongKind(v, path, isText)
		}
		to.SetString(v.text)
	case reflect.Bool:
		if v.kind != isBool {
			return wrongKind(v, path, isBool)
		}
		to.SetBool(v.text == "true")
	case reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(v.text, 10, 64)
		if v.kind != isNumber || err != nil {
			return wrongKind(v, path, "a whole number")
		}
		to.SetInt(n)
	default:
		panic("api: no binding for " + to.Type().String()) // a wire type with such a field cannot be decoded at all
	}
	return nil
}

func bindStruct(v *value, to reflect.Value, path string) error {
	if v.kind != isObject {
		return wrongKind(v, path, isObject)
	}
	fields := fieldsOf(to.Type())
	for _, m := range v.members {
		index, known := fields[m.key]
		if !known {
			return unknownKey(m, to, fields, path)
		}
		if err := bind(m.value, to.FieldByIndex(index), join(path, m.key)); err != nil {
			return err
		}
	}
	return nil
}

// fieldsOf maps JSON keys to fields, embedded structs included.
func fieldsOf(t reflect.Type) map[string][]int {
	fields := map[string][]int{}
	for _, f := range reflect.VisibleFields(t) {
		key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if key != "" && key != "-" {
			fields[key] = f.Index
		}
	}
	return fields
}

func unknownKey(m member, to reflect.Value, fields map[string][]int, path string) error {
	if later, ok := to.Addr().Interface().(laterKeys); ok {
		for _, key := range later.laterKeys() {
			if key == m.key {
				return badLine(m.line, fmt.Sprintf("key %q%s is not supported by this version", m.key, in(path)), "leave it out")
			}
		}
	}
	known := make([]string, 0, len(fields))
	for key := range fields {
		known = append(known, key)
	}
	hint := "the keys here are " + list(known)
	if near := suggest.Nearest(m.key, known); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	return badLine(m.line, fmt.Sprintf("unknown key %q%s", m.key, in(path)), hint)
}

func bindMap(v *value, to reflect.Value, path string) error {
	if v.kind != isObject {
		return wrongKind(v, path, isObject)
	}
	to.Set(reflect.MakeMapWithSize(to.Type(), len(v.members)))
	for _, m := range v.members {
		item := reflect.New(to.Type().Elem()).Elem()
		if err := bind(m.value, item, join(path, m.key)); err != nil {
			return err
		}
		to.SetMapIndex(reflect.ValueOf(m.key), item)
	}
	return nil
}

func bindSlice(v *value, to reflect.Value, path string) error {
	if v.kind != isList {
		return wrongKind(v, path, isList)
	}
	to.Set(reflect.MakeSlice(to.Type(), len(v.items), len(v.items)))
	for i, item := range v.items {
		if err := bind(item, to.Index(i), fmt.Sprintf("%s[%d]", path, i)); err != nil {
			return err
		}
	}
	return nil
}
