package projectfile

import (
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds of what is handed to the YAML library, whose parser takes time and memory quadratic in the nesting, in the
// keys of one mapping and in rows of anchors and tags, and of what aliases may unfold to.
const (
	maxTokens = 40_000
	maxDepth  = 32
	maxNodes  = 100_000
)

// A node is a value of the file. An alias is the node of its anchor: it is shared, not copied.
type node struct {
	line   int // from 1
	scalar scalar
	items  []*node // of a list
	fields []field // of a mapping, in the file's order
	kind   nodeKind
	size   int // nodes in it, aliases unfolded
}

type field struct {
	key   string
	line  int
	value *node
}

type nodeKind int

const (
	scalarNode nodeKind = iota
	listNode
	mappingNode
)

// get returns the field of that key, or nil.
func (n *node) get(key string) *node {
	for _, f := range n.fields {
		if f.key == key {
			return f.value
		}
	}
	return nil
}

// what names the kind of a value in an error.
func (n *node) what() string {
	switch {
	case n.kind == listNode:
		return "a list"
	case n.kind == mappingNode:
		return "a mapping"
	}
	switch n.scalar.(type) {
	case nil:
		return "empty"
	case string:
		return "a text"
	case bool:
		return "true or false"
	}
	return "a number"
}

// readTree reads the one document of a YAML file; nil when it is empty.
func readTree(content []byte) (*node, error) {
	if len(content) > MaxSize {
		return nil, fileError(0, "", "the project file is larger than %d MiB", MaxSize>>20)
	}
	if !utf8.Valid(content) {
		return nil, fileError(0, "save it as UTF-8", "the project file is not UTF-8")
	}
	tokens, err := lex(strings.TrimPrefix(string(content), "\ufeff")) // Windows' editors put that mark there
	if err != nil {
		return nil, err
	}
	file, err := parse(tokens)
	if err != nil {
		return nil, err
	}
	var body ast.Node
	for _, document := range file.Docs {
		if _, empty := document.Body.(*ast.CommentGroupNode); empty || document.Body == nil {
			continue
		}
		if body != nil {
			return nil, fileError(lineOf(document.Body), "", "the project file has more than one document")
		}
		body = document.Body
	}
	if body == nil {
		return nil, nil
	}
	c := converter{anchors: map[string]*node{}}
	return c.convert(body, 0)
}

// lex cuts the text into tokens and refuses what the parser could not do in bounded time.
func lex(content string) (tokens token.Tokens, err error) {
	defer guard(&err)
	tokens = lexer.Tokenize(content)
	var depth depthMeter
	values := 0
	for _, t := range tokens {
		if t.Type != token.CommentType {
			values++
		}
		if values > maxTokens {
			return nil, fileError(t.Position.Line, "", "the project file has too many values (more than about %d)", maxTokens/4)
		}
		if depth.see(t) > maxDepth {
			return nil, fileError(t.Position.Line, "", "values are nested deeper than %d levels", maxDepth)
		}
	}
	return tokens, nil
}

// A depthMeter estimates from above how deep the parser nests: brackets, indentations, and marks in a row.
type depthMeter struct {
	columns  []int // of the first tokens of lines, each deeper than the last
	line     int
	brackets int
	row      int // marks with no value between them
}

func (m *depthMeter) see(t *token.Token) int {
	if t.Position.Line != m.line && m.brackets == 0 && t.Type != token.CommentType {
		m.line = t.Position.Line
		for len(m.columns) > 0 && m.columns[len(m.columns)-1] >= t.Position.Column {
			m.columns = m.columns[:len(m.columns)-1]
		}
		m.columns = append(m.columns, t.Position.Column)
	}
	switch t.Type {
	case token.SequenceStartType, token.MappingStartType:
		m.brackets++
	case token.SequenceEndType, token.MappingEndType:
		m.brackets = max(m.brackets-1, 0)
	case token.SequenceEntryType, token.MappingKeyType, token.AnchorType, token.AliasType, token.TagType, token.MappingValueType, token.DocumentHeaderType, token.DocumentEndType:
		m.row++
	case token.CommentType:
	default:
		m.row = 0
	}
	return max(len(m.columns)+m.brackets, m.row/2)
}

func parse(tokens token.Tokens) (file *ast.File, err error) {
	defer guard(&err)
	file, err = parser.Parse(tokens, 0)
	if err == nil {
		return file, nil
	}
	line := 0
	text, _, _ := strings.Cut(err.Error(), "\n")
	var syntax yaml.Error
	if errors.As(err, &syntax) {
		text = syntax.GetMessage()
		if t := syntax.GetToken(); t != nil && t.Position != nil {
			line = t.Position.Line
		}
	}
	return nil, fileError(line, "look at the indentation, and put texts with ':', '#' or braces into quotes", "not YAML: %s", clip(strings.Join(strings.Fields(text), " ")))
}

// guard turns a panic of the YAML library, which foreign text has caused before, into an error.
func guard(err *error) {
	if recover() != nil {
		*err = fileError(0, "", "not YAML that can be read")
	}
}

// A converter makes nodes of the library's tree.
type converter struct {
	anchors map[string]*node
	total   int // nodes, aliases unfolded
}

func (c *converter) convert(from ast.Node, depth int) (*node, error) {
	if depth > 2*maxDepth { // anchors, tags and keys are levels here
		return nil, fileError(lineOf(from), "", "values are nested deeper than %d levels", maxDepth)
	}
	n := &node{line: lineOf(from), size: 1}
	if c.total++; c.total > maxNodes {
		return nil, tooMany(n.line)
	}
	switch v := from.(type) {
	case nil:
		return n, nil
	case *ast.AnchorNode:
		return c.anchor(v, depth)
	case *ast.AliasNode:
		return c.alias(v)
	case *ast.TagNode:
		return c.tag(v, depth)
	case *ast.SequenceNode:
		return n, c.list(n, v, depth)
	case *ast.MappingNode:
		return n, c.mapping(n, v.Values, depth)
	case *ast.MappingValueNode:
		return n, c.mapping(n, []*ast.MappingValueNode{v}, depth)
	case *ast.LiteralNode:
		n.scalar = v.Value.Value
		return n, nil
	case ast.ScalarNode:
		n.scalar = plainOrQuoted(v)
		return n, nil
	}
	return nil, fileError(n.line, "", "not YAML that a project file can have (%s)", from.Type())
}

func tooMany(line int) error {
	return fileError(line, "", "the project file has too many values, or its aliases unfold to too many (more than %d)", maxNodes)
}

func plainOrQuoted(v ast.ScalarNode) scalar {
	t := v.GetToken()
	if s, ok := v.(*ast.StringNode); ok && (t.Type == token.SingleQuoteType || t.Type == token.DoubleQuoteType) {
		return s.Value
	}
	return resolve(strings.TrimSpace(t.Value))
}

func (c *converter) anchor(v *ast.AnchorNode, depth int) (*node, error) {
	n, err := c.convert(v.Value, depth+1)
	if err == nil {
		c.anchors[v.Name.GetToken().Value] = n // after its value: an anchor cannot be used inside itself
	}
	return n, err
}

func (c *converter) alias(v *ast.AliasNode) (*node, error) {
	name := v.Value.GetToken().Value
	n, known := c.anchors[name]
	if !known {
		return nil, fileError(lineOf(v), "", "the alias %q has no anchor before it", clip(name))
	}
	if c.total += n.size; c.total > maxNodes {
		return nil, tooMany(lineOf(v))
	}
	return n, nil
}

// tag takes the tags of YAML's core; what they would convert is not needed here but for !!str.
func (c *converter) tag(v *ast.TagNode, depth int) (*node, error) {
	n, err := c.convert(v.Value, depth+1)
	if err != nil {
		return nil, err
	}
	switch tag := v.Start.Value; tag {
	case "!!str", "!":
		if scalarValue, ok := v.Value.(ast.ScalarNode); ok && n.kind == scalarNode {
			if _, isText := n.scalar.(string); !isText {
				n.scalar = strings.TrimSpace(scalarValue.GetToken().Value)
			}
		}
	case "!!int", "!!float", "!!bool", "!!null", "!!seq", "!!map":
	default:
		return nil, fileError(n.line, "", "the tag %q is not known", clip(tag))
	}
	return n, nil
}

func (c *converter) list(n *node, v *ast.SequenceNode, depth int) error {
	n.kind = listNode
	for _, value := range v.Values {
		item, err := c.convert(value, depth+1)
		if err != nil {
			return err
		}
		n.items = append(n.items, item)
		n.size += item.size
	}
	return nil
}

func (c *converter) mapping(n *node, values []*ast.MappingValueNode, depth int) error {
	n.kind = mappingNode
	seen := map[string]bool{}
	var merged []*node
	for _, v := range values {
		value, err := c.convert(v.Value, depth+1)
		if err != nil {
			return err
		}
		n.size += value.size
		if _, merge := v.Key.(*ast.MergeKeyNode); merge {
			merged = append(merged, value)
			continue
		}
		key, err := c.key(v.Key, depth)
		if err != nil {
			return err
		}
		if seen[key] {
			return fileError(lineOf(v.Key), "", "the key %q is there twice", clip(key))
		}
		seen[key] = true
		n.fields = append(n.fields, field{key: key, line: lineOf(v.Key), value: value})
	}
	return n.merge(merged, seen)
}

func (c *converter) key(k ast.MapKeyNode, depth int) (string, error) {
	var from ast.Node = k
	if explicit, ok := k.(*ast.MappingKeyNode); ok {
		from = explicit.Value
	}
	n, err := c.convert(from, depth+1)
	if err != nil {
		return "", err
	}
	if n.kind != scalarNode {
		return "", fileError(n.line, "", "a key must be a text")
	}
	if s, ok := from.(ast.ScalarNode); ok {
		return strings.TrimSpace(s.GetToken().Value), nil // "on" is a key here, not true
	}
	return text(n.scalar), nil
}

// merge adds the fields of "<<" that the mapping does not have itself; of several, the first that has a key counts.
func (n *node) merge(from []*node, seen map[string]bool) error {
	for _, source := range from {
		mappings := []*node{source}
		if source.kind == listNode {
			mappings = source.items
		}
		for _, m := range mappings {
			if m.kind != mappingNode {
				return fileError(source.line, "", "<< must be a mapping or a list of mappings")
			}
			for _, f := range m.fields {
				if !seen[f.key] {
					seen[f.key] = true
					n.fields = append(n.fields, f)
				}
			}
		}
	}
	return nil
}

func lineOf(n ast.Node) int {
	if n == nil {
		return 0
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 0
}
