package dialect

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A jsonValue is a value in a text, by where it stands; JSON is changed in the text itself, so that all the rest stays as
// somebody wrote it.
type jsonValue struct {
	start, end int
	members    []jsonMember // of an object
	items      []jsonValue  // of an array
}

type jsonMember struct {
	key   string
	at    int // of the key's quote
	value jsonValue
}

// errNotObject and its neighbours are what no tool would read either.
var (
	errNotObject = errors.New("it is no JSON object")
	errTwice     = errors.New("it has a key twice")
)

// deepestJSON is more than any configuration has.
const deepestJSON = 100

// readJSON reads an object. Text that is only space has none.
func readJSON(text []byte) (jsonValue, error) {
	if !json.Valid(text) {
		var v any
		err := json.Unmarshal(text, &v)
		return jsonValue{}, fmt.Errorf("it is not JSON: %w", err)
	}
	r := jsonReader{text: text}
	v, err := r.value(0)
	if err == nil && text[v.start] != '{' {
		err = errNotObject
	}
	return v, err
}

// A jsonReader walks over text that is known to be valid.
type jsonReader struct {
	text []byte
	at   int
}

func (r *jsonReader) space() {
	for r.at < len(r.text) && strings.IndexByte(" \t\r\n", r.text[r.at]) >= 0 {
		r.at++
	}
}

func (r *jsonReader) value(depth int) (v jsonValue, err error) {
	if depth > deepestJSON {
		return v, errors.New("it is nested too deep")
	}
	r.space()
	v.start = r.at
	switch r.text[r.at] {
	case '{':
		err = r.object(&v, depth)
	case '[':
		err = r.array(&v, depth)
	case '"':
		r.string()
	default:
		for r.at < len(r.text) && strings.IndexByte(",]} \t\r\n", r.text[r.at]) < 0 {
			r.at++
		}
	}
	v.end = r.at
	return v, err
}

// next steps over a comma; false at the end.
func (r *jsonReader) next(end byte) bool {
	r.space()
	if r.text[r.at] == ',' {
		r.at++
		r.space()
	}
	if r.text[r.at] == end {
		r.at++
		return false
	}
	return true
}

func (r *jsonReader) object(v *jsonValue, depth int) error {
	for r.at++; r.next('}'); {
		m := jsonMember{at: r.at}
		r.string()
		if err := json.Unmarshal(r.text[m.at:r.at], &m.key); err != nil {
			return err
		}
		r.space()
		r.at++ // the colon
		var err error
		if m.value, err = r.value(depth + 1); err != nil {
			return err
		}
		v.members = append(v.members, m)
	}
	return nil
}

func (r *jsonReader) array(v *jsonValue, depth int) error {
	for r.at++; r.next(']'); {
		item, err := r.value(depth + 1)
		if err != nil {
			return err
		}
		v.items = append(v.items, item)
	}
	return nil
}

func (r *jsonReader) string() {
	for r.at++; r.text[r.at] != '"'; r.at++ {
		if r.text[r.at] == '\\' {
			r.at++
		}
	}
	r.at++
}

// member finds a key as Go's programs do, whatever its case; twice is nobody's intention.
func (v jsonValue) member(key string) (*jsonMember, error) {
	var found *jsonMember
	for i := range v.members {
		if strings.EqualFold(v.members[i].key, key) {
			if found != nil {
				return nil, fmt.Errorf("%w: %s", errTwice, key)
			}
			found = &v.members[i]
		}
	}
	return found, nil
}

// A setting is a member to add: its value is JSON of one line.
type setting struct{ key, value string }

// insert writes members at the end of an object, in the manner of those that it has.
func insert(text []byte, object jsonValue, settings []setting) []byte {
	if len(settings) == 0 {
		return text
	}
	lead, colon, tail := manner(text, object)
	var added bytes.Buffer
	for i, s := range settings {
		if i > 0 || len(object.members) > 0 {
			added.WriteByte(',')
		}
		key, _ := json.Marshal(s.key) // a string always is
		added.WriteString(lead + string(key) + colon + s.value)
	}
	at, until := object.start+1, object.end-1 // whatever space was between the braces
	if n := len(object.members); n > 0 {
		at = object.members[n-1].value.end
		until, tail = at, ""
	}
	return slices.Concat(text[:at], added.Bytes(), []byte(tail), text[until:])
}

// manner is what stands before a key, between key and value, and before the closing brace.
func manner(text []byte, object jsonValue) (lead, colon, tail string) {
	if len(object.members) > 0 {
		last := object.members[len(object.members)-1]
		from := object.start + 1
		if n := len(object.members); n > 1 {
			from = object.members[n-2].value.end
		}
		between := bytes.TrimPrefix(bytes.TrimLeft(text[from:last.at], " \t\r\n"), []byte(","))
		if len(object.members) == 1 {
			between = text[from:last.at]
		}
		keyEnd := last.at + len(jsonKey(text[last.at:]))
		return string(between), string(text[keyEnd:last.value.start]), ""
	}
	indent := lineIndent(text, object.start)
	unit := "\t"
	if indent != "" && indent[0] == ' ' {
		unit = "  "
	}
	return "\n" + indent + unit, ": ", "\n" + indent
}

// jsonKey is the string that text begins with, quotes included.
func jsonKey(text []byte) []byte {
	r := jsonReader{text: text}
	r.string()
	return text[:r.at]
}

// lineIndent is the space at the beginning of the line of a place.
func lineIndent(text []byte, at int) string {
	line := text[bytes.LastIndexByte(text[:at], '\n')+1 : at]
	return string(line[:len(line)-len(bytes.TrimLeft(line, " \t"))])
}
