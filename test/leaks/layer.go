package leaks

import (
	"bufio"
	"compress/gzip"
	"compress/zlib"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
)

// How far unpacking goes.
const (
	mostLayers = 6   // in one another
	mostOpen   = 256 // of one Scan at the same time; each has a window
)

// Why something packed was not searched, or not to its end.
var (
	errTooMuch = errors.New("too much to unpack")
	errTooDeep = fmt.Errorf("packed more than %d times over", mostLayers)
	errTooMany = fmt.Errorf("more than %d packed things at the same time", mostOpen)
)

// A layer is a way to pack bytes that is known by how it begins.
type layer struct {
	name   string
	starts []string
	open   func(r io.Reader) (io.Reader, error)
}

// layers are opened wherever they begin. Gzip in base64 is how Helm keeps what it installed, and Kubernetes prints it in
// base64 again. These are opened down to the gzip at once: what is base64 and no gzip may go on for gigabytes.
var layers = []*layer{
	{"gzip", []string{"\x1f\x8b\x08"}, openGzip},
	{"zlib", []string{"\x78\x01", "\x78\x5e", "\x78\x9c", "\x78\xda"}, func(r io.Reader) (io.Reader, error) { return zlib.NewReader(r) }},
	{"base64 of gzip", []string{"H4sI"}, func(r io.Reader) (io.Reader, error) { return openGzip(decode(r)) }},
	{"base64 of base64 of gzip", []string{"SDRzS"}, func(r io.Reader) (io.Reader, error) { return openGzip(decode(decode(r))) }},
}

func layerPatterns() []*pattern {
	var patterns []*pattern
	for _, l := range layers {
		for _, start := range l.starts {
			p := literal(l.name, start)
			p.layer = l
			patterns = append(patterns, p)
		}
	}
	return patterns
}

// openGzip opens one member; the next is found by its own beginning.
func openGzip(r io.Reader) (io.Reader, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	z.Multistream(false)
	return z, nil
}

func decode(r io.Reader) io.Reader {
	return base64.NewDecoder(base64.RawStdEncoding, &symbols{r: bufio.NewReader(r)})
}

// symbols reads base64 in either alphabet up to its end, without what breaks its lines.
type symbols struct{ r *bufio.Reader }

func (s *symbols) Read(b []byte) (int, error) {
	for n := 0; n < len(b); {
		c, err := s.r.ReadByte()
		if c == '\\' && err == nil { // of JSON: \n, \r or \/
			if c, err = s.r.ReadByte(); c == 'n' || c == 'r' {
				c = '\n'
			}
		}
		switch {
		case err != nil:
			return n, err
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			continue
		case c == '-':
			c = '+'
		case c == '_':
			c = '/'
		case !isSymbol(c):
			return n, io.EOF
		}
		b[n] = c
		n++
	}
	return len(b), nil
}

func isSymbol(c byte) bool {
	return 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '+' || c == '/'
}

// bounded ends a reader when a scan has unpacked as much as it may.
type bounded struct {
	r      io.Reader
	result *result
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if !b.result.take(n) {
		return n, errTooMuch
	}
	return n, err
}
