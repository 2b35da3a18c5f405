package api

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/internal/suggest"
)

// MaxFile is how many bytes a file of objects may have.
const MaxFile = 1 << 20

// The kinds of object in a file.
const (
	kindRegistry     = "Registry"
	kindOrganization = "Organization"
	kindProject      = "Project"
)

// An Object is one document of a file; exactly one of the pointers is set.
type Object struct {
	Line         int // where it begins, from 1
	Registry     *Registry
	Organization *NewOrganization
	Project      *NewProject
}

// DecodeFile reads the documents of a file for `pier apply -f`: YAML or JSON, one object each, told apart by kind. It
// is strict like Decode, errors name the line, and a file without any object is an error.
func DecodeFile(r io.Reader) ([]Object, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxFile+1))
	if err != nil {
		return nil, &pierhead.Problem{Kind: pierhead.ErrBadInput, Cause: err, Text: fmt.Sprintf("the file of objects cannot be read: %v", err), Hint: "-f names one file, or - for standard input"}
	}
	if len(data) > MaxFile {
		return nil, pierhead.NewProblem(pierhead.ErrBadInput, "the file is larger than 1 MiB", "split it")
	}
	parse := parseYAML
	if trimmed := bytes.TrimLeft(data, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '{' {
		parse = parseJSON
	}
	documents, err := parse(data)
	if err != nil {
		return nil, err
	}
	if len(documents) == 0 {
		return nil, pierhead.NewProblem(pierhead.ErrBadInput, "the file has no object in it", "write kind: Registry and its fields")
	}
	var objects []Object
	for _, document := range documents {
		object, err := objectOf(document)
		if err != nil {
			return nil, err
		}
		objects = append(objects, object)
	}
	return objects, nil
}

func parseJSON(data []byte) ([]*value, error) {
	var documents []*value
	for p := newJSONParser(data, true); ; {
		v, err := p.next(0)
		if errors.Is(err, io.EOF) {
			return documents, nil
		}
		if err != nil {
			return nil, err
		}
		documents = append(documents, v)
	}
}

func objectOf(v *value) (Object, error) {
	if v.kind != isObject {
		return Object{}, badLine(v.line, fmt.Sprintf("a document must be an object with a kind, not %s", v.kind), "write kind: Registry and its fields")
	}
	object := Object{Line: v.line}
	written := v.member("kind")
	if written == nil || written.kind != isText {
		return object, badLine(v.line, "the object has no kind", "write kind: Registry")
	}
	var into any
	switch written.text {
	case kindRegistry:
		object.Registry = &Registry{}
		into = object.Registry
	case kindOrganization:
		object.Organization = &NewOrganization{}
		into = object.Organization
	case kindProject:
		object.Project = &NewProject{}
		into = object.Project
	default:
		kinds := []string{kindRegistry, kindOrganization, kindProject}
		hint := "the kinds are " + list(kinds)
		if near := suggest.Nearest(written.text, kinds); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		return object, badLine(written.line, fmt.Sprintf("unknown kind %q", written.text), hint)
	}
	if err := bind(v, reflect.ValueOf(into).Elem(), ""); err != nil {
		return object, err
	}
	if object.Registry != nil { // a file may be what was shown once; it is not the state that an update starts from
		object.Registry.CreatedAt, object.Registry.UpdatedAt = nil, nil
	}
	return object, object.check()
}

// check refuses early what every kind needs, so that nothing of a file is applied before all of it is readable.
func (o Object) check() error {
	missing := ""
	switch {
	case o.Registry != nil:
		if _, err := o.Registry.Noun(); err != nil {
			var problem *pierhead.Problem
			if errors.As(err, &problem) {
				return badLine(o.Line, problem.Text, problem.Hint)
			}
			return err
		}
		missing = firstMissing("name", o.Registry.Name)
	case o.Organization != nil:
		missing = firstMissing("name", o.Organization.Name)
	case o.Project != nil:
		missing = firstMissing("owner", o.Project.Owner, "name", o.Project.Name)
	}
	if missing != "" {
		return badLine(o.Line, fmt.Sprintf("the object has no %s", missing), "")
	}
	return nil
}

// firstMissing takes pairs of key and value and returns the first key without a value.
func firstMissing(pairs ...string) string {
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			return pairs[i]
		}
	}
	return ""
}
