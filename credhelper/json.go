package credhelper

import (
	"errors"
	"unicode/utf16"
	"unicode/utf8"
)

// errJSON says that a text is not JSON, or is nested too deeply.
var errJSON = errors.New("not JSON")

// maxDepth is how deep values may be nested; what the agent says is two deep.
const maxDepth = 16

// A value is a JSON value as far as helpers need it: a string, a number as it is written, or an object. Of everything else
// it is only known that it was there.
type value struct {
	text   string
	number string
	fields map[string]value // nil unless it is an object
}

// field is a field of an object, or the zero value.
func (v value) field(name string) value { return v.fields[name] }

// parse reads one JSON text. It agrees with encoding/json, which a helper has no time to start.
func parse(text []byte) (value, error) {
	p := parser{text: text}
	v := p.value(0)
	p.space()
	if p.failed || p.at != len(text) {
		return value{}, errJSON
	}
	return v, nil
}

type parser struct {
	text   []byte
	at     int
	failed bool
}

// peek is the next byte, or 0 at the end and after a failure.
func (p *parser) peek() byte {
	if p.failed || p.at >= len(p.text) {
		return 0
	}
	return p.text[p.at]
}

// take steps over a byte if it is the next.
func (p *parser) take(c byte) bool {
	if p.peek() != c || c == 0 {
		return false
	}
	p.at++
	return true
}

func (p *parser) fail() value {
	p.failed = true
	return value{}
}

func (p *parser) space() {
	for c := p.peek(); c == ' ' || c == '\t' || c == '\n' || c == '\r'; c = p.peek() {
		p.at++
	}
}

func (p *parser) value(depth int) value {
	p.space()
	switch c := p.peek(); {
	case depth > maxDepth:
		return p.fail()
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.array(depth)
	case c == '"':
		return value{text: p.string()}
	case c == '-' || '0' <= c && c <= '9':
		return value{number: p.number()}
	}
	for _, word := range []string{"true", "false", "null"} {
		if len(p.text)-p.at >= len(word) && string(p.text[p.at:p.at+len(word)]) == word {
			p.at += len(word)
			return value{}
		}
	}
	return p.fail()
}

func (p *parser) object(depth int) value {
	v := value{fields: map[string]value{}}
	p.at++
	p.space()
	if p.take('}') {
		return v
	}
	for !p.failed {
		p.space()
		if p.peek() != '"' {
			return p.fail()
		}
		name := p.string()
		p.space()
		if !p.take(':') {
			return p.fail()
		}
		v.fields[name] = p.value(depth + 1)
		p.space()
		if p.take('}') {
			return v
		}
		if !p.take(',') {
			return p.fail()
		}
	}
	return value{}
}

func (p *parser) array(depth int) value {
	p.at++
	p.space()
	if p.take(']') {
		return value{}
	}
	for !p.failed {
		p.value(depth + 1)
		p.space()
		if p.take(']') {
			return value{}
		}
		if !p.take(',') {
			return p.fail()
		}
	}
	return value{}
}

func (p *parser) number() string {
	begin := p.at
	p.take('-')
	if !p.take('0') && !p.digits() {
		p.fail()
	}
	if p.take('.') && !p.digits() {
		p.fail()
	}
	if p.take('e') || p.take('E') {
		if !p.take('+') {
			p.take('-')
		}
		if !p.digits() {
			p.fail()
		}
	}
	return string(p.text[begin:p.at])
}

func (p *parser) digits() bool {
	begin := p.at
	for c := p.peek(); '0' <= c && c <= '9'; c = p.peek() {
		p.at++
	}
	return p.at > begin
}

func (p *parser) string() string {
	p.at++
	var out []byte
	for {
		c := p.peek()
		switch {
		case c < ' ': // the end too
			p.fail()
			return ""
		case c == '"':
			p.at++
			return string(out)
		case c == '\\':
			p.at++
			out = p.escape(out)
		default:
			r, size := utf8.DecodeRune(p.text[p.at:])
			out = utf8.AppendRune(out, r)
			p.at += size
		}
	}
}

// escape reads what follows a backslash.
func (p *parser) escape(out []byte) []byte {
	c := p.peek()
	p.at++
	switch c {
	case '"', '\\', '/':
		return append(out, c)
	case 'b':
		return append(out, '\b')
	case 'f':
		return append(out, '\f')
	case 'n':
		return append(out, '\n')
	case 'r':
		return append(out, '\r')
	case 't':
		return append(out, '\t')
	case 'u':
		r := p.hex()
		if utf16.IsSurrogate(r) {
			r = p.pair(r)
		}
		return utf8.AppendRune(out, r)
	}
	p.fail()
	return out
}

// pair is the rune of two surrogates; a single one is the replacement character, and what follows it stands by itself.
func (p *parser) pair(first rune) rune {
	if p.at+1 < len(p.text) && p.text[p.at] == '\\' && p.text[p.at+1] == 'u' {
		before := p.at
		p.at += 2
		if r := utf16.DecodeRune(first, p.hex()); r != utf8.RuneError {
			return r
		}
		p.at = before
	}
	return utf8.RuneError
}

func (p *parser) hex() rune {
	var r rune
	for range 4 {
		c := rune(p.peek())
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			p.fail()
			return 0
		}
		r = r<<4 | c
		p.at++
	}
	return r
}

// Quote appends a text as a JSON string in one line.
func Quote(to []byte, text string) []byte {
	const hex = "0123456789abcdef"
	to = append(to, '"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			to = append(to, '\\', byte(r))
		case r < ' ' || r == 0x7f || r == 0x2028 || r == 0x2029:
			to = append(to, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
		default:
			to = utf8.AppendRune(to, r)
		}
	}
	return append(to, '"')
}
