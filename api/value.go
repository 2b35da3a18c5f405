package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"pierhead.dev/pierhead"
)

// maxDepth is how deep objects and lists may be nested.
const maxDepth = 32

// A kind says what a value is; its text is how errors name it.
type kind string

const (
	isNull   kind = "nothing"
	isBool   kind = "true or false"
	isNumber kind = "a number"
	isText   kind = "text"
	isList   kind = "a list"
	isObject kind = "an object"
)

// A value is a parsed document, JSON or YAML alike, that remembers its lines.
type value struct {
	kind    kind
	line    int               // from 1
	text    string            // of a scalar; numbers as written
	members []member          // of an object, in order
	items   []*value          // of a list
	index   map[string]*value // the members by key
}

type member struct {
	key   string
	line  int
	value *value
}

func (v *value) member(key string) *value { return v.index[key] }

// add appends a member and refuses a key that is there already: of two, one would be dropped in silence.
func (v *value) add(m member) error {
	if v.member(m.key) != nil {
		return badLine(m.line, fmt.Sprintf("key %q is there twice", m.key), "keep one of them")
	}
	if v.index == nil {
		v.index = map[string]*value{}
	}
	v.index[m.key] = m.value
	v.members = append(v.members, m)
	return nil
}

func badLine(line int, text, hint string) error {
	if line > 0 {
		text = fmt.Sprintf("line %d: %s", line, text)
	}
	return pierhead.NewProblem(pierhead.ErrBadInput, text, hint)
}

// jsonParser reads JSON token by token, because encoding/json drops doubled keys and lines.
type jsonParser struct {
	data    []byte
	decoder *json.Decoder
	lines   bool // whether errors should name lines
	counted int  // bytes of data in which lines are counted already
	line    int
}

func newJSONParser(data []byte, lines bool) *jsonParser {
	p := &jsonParser{data: data, decoder: json.NewDecoder(bytes.NewReader(data)), lines: lines, line: 1}
	p.decoder.UseNumber()
	return p
}

// here is the line of the token that was read last, or 0.
func (p *jsonParser) here() int {
	if !p.lines {
		return 0
	}
	offset := int(p.decoder.InputOffset())
	p.line += bytes.Count(p.data[p.counted:offset], []byte{'\n'})
	p.counted = offset
	return p.line
}

// next reads one whole value; io.EOF at the end of the data.
func (p *jsonParser) next(depth int) (*value, error) {
	token, err := p.decoder.Token()
	if err != nil {
		if err == io.EOF && depth == 0 {
			return nil, io.EOF
		}
		return nil, p.broken(err)
	}
	if depth > maxDepth {
		return nil, badLine(p.here(), "objects and lists are nested too deep", "")
	}
	v := &value{line: p.here()}
	switch t := token.(type) {
	case nil:
		v.kind = isNull
	case bool:
		v.kind, v.text = isBool, fmt.Sprint(t)
	case json.Number:
		v.kind, v.text = isNumber, t.String()
	case string:
		v.kind, v.text = isText, t
	case json.Delim:
		if t == '{' {
			return v, p.object(v, depth)
		}
		return v, p.list(v, depth)
	}
	return v, nil
}

func (p *jsonParser) object(v *value, depth int) error {
	v.kind = isObject
	for p.decoder.More() {
		key, err := p.decoder.Token()
		if err != nil {
			return p.broken(err)
		}
		m := member{key: key.(string), line: p.here()} // the decoder allows nothing else as a key
		if m.value, err = p.next(depth + 1); err != nil {
			return err
		}
		if err := v.add(m); err != nil {
			return err
		}
	}
	return p.end()
}

func (p *jsonParser) list(v *value, depth int) error {
	v.kind = isList
	for p.decoder.More() {
		item, err := p.next(depth + 1)
		if err != nil {
			return err
		}
		v.items = append(v.items, item)
	}
	return p.end()
}

func (p *jsonParser) end() error {
	if _, err := p.decoder.Token(); err != nil {
		return p.broken(err)
	}
	return nil
}

// broken keeps encoding/json's words only where they cannot quote content.
func (p *jsonParser) broken(err error) error {
	var syntax *json.SyntaxError
	line := 0
	if p.lines {
		line = p.here()
	}
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return badLine(line, "the JSON ends too early", "close every brace, bracket and quote")
	}
	if ok := asSyntax(err, &syntax); ok && p.lines {
		line = 1 + bytes.Count(p.data[:min(int(syntax.Offset), len(p.data))], []byte{'\n'})
	}
	return badLine(line, "this is not JSON", "keys and text stand in double quotes, and nothing follows the last item of a list")
}
