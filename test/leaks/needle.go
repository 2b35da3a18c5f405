// Package leaks searches for secrets in every form that it may hide in: in files, SQLite databases, processes and
// the answers of an API. It is for the tests and the demo, which prove with it that a registry's password stayed where
// it belongs, so it is built to miss nothing rather than to be quiet.
//
// A Needle is made once from the secrets, mostly one. It knows a secret as it is, escaped for JSON, addresses, HTML and shells
// (also only in part, or twice over), in hex and as a list of numbers, in UTF-16, in base64 and base64url at all three
// alignments and with line breaks, and in base64 and hex of such forms; gzip and zlib are opened wherever they begin.
// What it finds it names by place, form and offset; nothing that this package returns or prints holds the secret.
//
// It does not look into zip, zstd, xz or bzip2, nor into images' pixels; base64 inside base64 is found when the inner
// one has no line breaks; pages that SQLite freed are searched as bytes only.
package leaks

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
)

// The lengths of a secret that can be searched, in bytes: a shorter one is found by accident, and a longer one is no
// password or key.
const (
	MinSecret = 8
	MaxSecret = 8 << 10
)

// windowSize is how many bytes are looked at together, beside the overlap.
const windowSize = 256 << 10

// inflateLimit is how many bytes one Scan unpacks at most, all layers together.
const inflateLimit = 4 << 30

// ErrSecret is what NewNeedle answers to a secret that cannot be searched.
var ErrSecret = errors.New("a secret that cannot be searched")

// A Needle is one or more secrets in all their forms. Its methods may be called at the same time. It prints as "[needle]".
type Needle struct {
	patterns [][]*pattern    // each the patterns that may begin with the same two bytes; the first is empty
	first    [1 << 16]uint32 // two bytes, big-endian, to an index of patterns
	overlap  int             // bytes of the longest match
	window   int             // bytes
	limit    int64           // bytes that one Scan unpacks
	buffers  sync.Pool       // of *[]byte with window+overlap bytes
}

// NewNeedle computes the forms of secrets of MinSecret to MaxSecret bytes; of others, and of those with fewer than three
// different bytes, it returns an ErrSecret. Of several, findings tell the number, from 0 on.
func NewNeedle(secrets ...[]byte) (*Needle, error) {
	n := &Needle{patterns: [][]*pattern{nil}, window: windowSize, limit: inflateLimit}
	patterns := layerPatterns()
	for number, secret := range secrets {
		if err := searchable(secret); err != nil {
			return nil, err
		}
		for _, p := range formsOf(string(secret)) {
			if len(secrets) > 1 {
				p.form = fmt.Sprintf("secret %d, %s", number, p.form)
			}
			patterns = append(patterns, p)
		}
	}
	byPrefix := map[uint16][]*pattern{}
	for _, p := range patterns {
		n.overlap = max(n.overlap, p.longest())
		for _, prefix := range p.prefixes() {
			byPrefix[prefix] = append(byPrefix[prefix], p)
		}
	}
	for prefix, patterns := range byPrefix {
		n.first[prefix] = uint32(len(n.patterns))
		n.patterns = append(n.patterns, patterns)
	}
	n.window = max(n.window, n.overlap)
	n.buffers.New = func() any { b := make([]byte, n.window+n.overlap); return &b }
	return n, nil
}

func searchable(secret []byte) error {
	switch {
	case len(secret) < MinSecret:
		return fmt.Errorf("%w: it has fewer than %d bytes", ErrSecret, MinSecret)
	case len(secret) > MaxSecret:
		return fmt.Errorf("%w: it has more than %d bytes", ErrSecret, MaxSecret)
	case different(secret) < 3:
		return fmt.Errorf("%w: it has fewer than 3 different bytes", ErrSecret)
	}
	return nil
}

func different(secret []byte) int {
	sorted := slices.Sorted(slices.Values(secret))
	return len(slices.Compact(sorted))
}

// Format prints no more than that this is a needle.
func (n *Needle) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[needle]") }

// A hit is a pattern's match that begins at a position.
type hit struct {
	at   int
	form string
	open *layer // where not nil, this is no finding but something that can be unpacked
}

// each calls found for every match in b that begins before end.
func (n *Needle) each(b []byte, end int, found func(hit)) {
	end = min(end, len(b)-1)
	for at := 0; at < end; at++ {
		bucket := n.first[uint16(b[at])<<8|uint16(b[at+1])]
		if bucket == 0 {
			continue
		}
		for _, p := range n.patterns[bucket] {
			if how, ok := p.match(b, at); ok {
				found(hit{at: at, form: p.name(how), open: p.layer})
			}
		}
	}
}

// find returns the matches in a short text, without unpacking anything.
func (n *Needle) find(text string) []hit {
	var hits []hit
	n.each([]byte(text), len(text), func(h hit) {
		if h.open == nil {
			hits = append(hits, h)
		}
	})
	return hits
}

// hide returns text up to where the secret begins in it: names of files and words of errors may hold it too.
func (n *Needle) hide(text string) string {
	if hits := n.find(text); len(hits) > 0 {
		return text[:hits[0].at] + "[the secret, and what follows]"
	}
	return text
}
