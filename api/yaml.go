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

// parseYAML reads every document of a YAML file. Anchors, aliases, merge keys and tags are refused: no key of ours
// needs them, and they make a small file a large one.
func parseYAML(data []byte) ([]*value, error) {
	if err := plainYAML(data); err != nil {
		return nil, err
	}
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, brokenYAML(err)
	}
	var documents []*value
	for _, document := range file.Docs {
		if document.Body == nil {
			continue
		}
		v, err := fromNode(document.Body, 0)
		if err != nil {
			return nil, err
		}
		if v.kind != isNull {
			documents = append(documents, v)
		}
	}
	return documents, nil
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

func brokenYAML(err error) error {
	line, text := 0, "this is not YAML"
	var syntax *yaml.SyntaxError
	if errors.As(err, &syntax) {
		if syntax.Token != nil && syntax.Token.Position != nil {
			line = syntax.Token.Position.Line
		}
		first, _, _ := strings.Cut(syntax.Message, "\n")
		text = fmt.Sprintf("this is not YAML: %s", first)
	}
	return badLine(line, text, "indent with spaces, the same number for every key of one object")
}

func lineOf(node ast.Node) int {
	if token := node.GetToken(); token != nil && token.Position != nil {
		return token.Position.Line
	}
	return 0
}

// fromNode turns one node of the parser's tree into ours.
func fromNode(node ast.Node, depth int) (*value, error) {
	v := &value{line: lineOf(node)}
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
		return v, fromSequence(v, n, depth)
	case *ast.MappingNode:
		return v, fromMapping(v, n.Values, depth)
	case *ast.MappingValueNode:
		return v, fromMapping(v, []*ast.MappingValueNode{n}, depth)
	default:
		return nil, badLine(v.line, "anchors, aliases, tags and merge keys are not supported here", "write the value out")
	}
	return v, nil
}

func fromSequence(v *value, n *ast.SequenceNode, depth int) error {
	v.kind = isList
	for _, item := range n.Values {
		converted, err := fromNode(item, depth+1)
		if err != nil {
			return err
		}
		v.items = append(v.items, converted)
	}
	return nil
}

func fromMapping(v *value, pairs []*ast.MappingValueNode, depth int) error {
	v.kind = isObject
	for _, pair := range pairs {
		key, err := fromNode(pair.Key, depth+1)
		if err != nil {
			return err
		}
		if key.kind == isList || key.kind == isObject {
			return badLine(key.line, "a key must be a word", "")
		}
		m := member{key: key.text, line: key.line}
		if m.value, err = fromNode(pair.Value, depth+1); err != nil {
			return err
		}
		if err := v.add(m); err != nil {
			return err
		}
	}
	return nil
}
