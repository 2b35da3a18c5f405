package api

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxColons is how many colons a document may have: every key has one, and the parser takes time by the square of their
// number.
const maxColons = 5000

// parseYAML reads every document of a YAML file. Anchors, aliases, merge keys and tags are refused: no key of ours
// needs them, and they make a small file a large one.
func parseYAML(data []byte) ([]*value, error) {
	if err := plainYAML(data); err != nil {
		return nil, err
	}
	var documents []*value
	for _, part := range splitYAML(data) {
		v, err := part.parse()
		if err != nil {
			return nil, err
		}
		if v != nil && v.kind != isNull {
			documents = append(documents, v)
		}
	}
	return documents, nil
}

// A yamlPart is one document of a file.
type yamlPart struct {
	text   []byte
	before int // lines of the file before it
}

// splitYAML cuts at the lines that begin with --- or ... and a space or nothing: they do so everywhere, in quotes and
// blocks too (YAML 1.2.2, 9.1.2). The parser is not asked to, since it drops everything that follows a document of
// comments only. Documents without content are left out.
func splitYAML(data []byte) []yamlPart {
	var parts []yamlPart
	var part yamlPart
	empty := true
	end := func(next int) {
		if !empty {
			parts = append(parts, part)
		}
		part, empty = yamlPart{before: next}, true
	}
	for number, line := range bytes.Split(data, []byte{'\n'}) {
		if marker(line) {
			end(number)
			line = append([]byte("   "), line[3:]...) // what follows on the line is the document's
		}
		part.text = append(append(part.text, line...), '\n')
		trimmed := bytes.TrimSpace(line)
		empty = empty && (len(trimmed) == 0 || trimmed[0] == '#' || line[0] == '%') // % begins a directive
	}
	end(0)
	return parts
}

func marker(line []byte) bool {
	return (bytes.HasPrefix(line, []byte("---")) || bytes.HasPrefix(line, []byte("..."))) &&
		(len(line) == 3 || strings.IndexByte(" \t\r", line[3]) >= 0)
}

// parse is the document's value, or nil for none.
func (y yamlPart) parse() (*value, error) {
	if bytes.Count(y.text, []byte{':'}) > maxColons {
		return nil, badLine(y.before+1, "the document has more keys than any object of ours", "take out what is not needed")
	}
	file, err := parser.ParseBytes(y.text, 0)
	if err != nil {
		return nil, y.broken(err)
	}
	if len(file.Docs) == 0 || file.Docs[0].Body == nil {
		return nil, nil
	}
	return y.fromNode(file.Docs[0].Body, 0)
}

// plainYAML refuses what would make the parser, which recurses, go too deep, before it sees it. It counts brackets in
// text too: nobody's name or certificate has that many.
func plainYAML(data []byte) error {
	if !utf8.Valid(data) {
		return badLine(0, "the file is not UTF-8 text", "save it as UTF-8")
	}
	depth := 0
	for number, line := range bytes.Split(data, []byte{'\n'}) {
		depth += count(line, "[{") - count(line, "]}")
		leading := line[:len(line)-len(bytes.TrimLeft(line, "-?!&:[{ \t"))]
		if depth > maxDepth || count(leading, "-?!&:[{") > maxDepth {
			return badLine(number+1, "objects and lists are nested too deep", "")
		}
	}
	return nil
}

// count is how many bytes of line are in set.
func count(line []byte, set string) int {
	n := 0
	for _, b := range line {
		if strings.IndexByte(set, b) >= 0 {
			n++
		}
	}
	return n
}

func (y yamlPart) broken(err error) error {
	line, text := 0, "this is not YAML"
	var syntax *yaml.SyntaxError
	if errors.As(err, &syntax) {
		if syntax.Token != nil && syntax.Token.Position != nil {
			line = y.before + syntax.Token.Position.Line
		}
		first, _, _ := strings.Cut(syntax.Message, "\n")
		text = fmt.Sprintf("this is not YAML: %s", first)
	}
	return badLine(line, text, "indent with spaces, the same number for every key of one object")
}

func (y yamlPart) lineOf(node ast.Node) int {
	if token := node.GetToken(); token != nil && token.Position != nil {
		return y.before + token.Position.Line
	}
	return 0
}

// fromNode turns one node of the parser's tree into ours.
func (y yamlPart) fromNode(node ast.Node, depth int) (*value, error) {
	v := &value{line: y.lineOf(node)}
	if depth > maxDepth {
		return nil, badLine(v.line, "objects and lists are nested too deep", "")
	}
	switch n := node.(type) {
	case *ast.NullNode:
		v.kind = isNull
	case *ast.BoolNode:
		v.kind, v.text = isBool, fmt.Sprint(n.Value)
	case *ast.IntegerNode:
		v.kind, v.text = isNumber, n.GetToken().Value
	case *ast.FloatNode:
		v.kind, v.text = isNumber, n.GetToken().Value
	case *ast.StringNode:
		v.kind, v.text = isText, n.Value
	case *ast.LiteralNode:
		v.kind, v.text = isText, n.Value.Value
	case *ast.SequenceNode:
		return v, y.fromSequence(v, n, depth)
	case *ast.MappingNode:
		return v, y.fromMapping(v, n.Values, depth)
	case *ast.MappingValueNode:
		return v, y.fromMapping(v, []*ast.MappingValueNode{n}, depth)
	default:
		return nil, badLine(v.line, "anchors, aliases, tags and merge keys are not supported here", "write the value out")
	}
	return v, nil
}

func (y yamlPart) fromSequence(v *value, n *ast.SequenceNode, depth int) error {
	v.kind = isList
	for _, item := range n.Values {
		converted, err := y.fromNode(item, depth+1)
		if err != nil {
			return err
		}
		v.items = append(v.items, converted)
	}
	return nil
}

func (y yamlPart) fromMapping(v *value, pairs []*ast.MappingValueNode, depth int) error {
	v.kind = isObject
	for _, pair := range pairs {
		key, err := y.fromNode(pair.Key, depth+1)
		if err != nil {
			return err
		}
		if key.kind == isList || key.kind == isObject {
			return badLine(key.line, "a key must be a word", "")
		}
		m := member{key: key.text, line: key.line}
		if m.value, err = y.fromNode(pair.Value, depth+1); err != nil {
			return err
		}
		if err := v.add(m); err != nil {
			return err
		}
	}
	return nil
}
