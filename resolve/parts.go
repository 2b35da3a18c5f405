package resolve

import (
	"hash/maphash"
	"math/bits"
)

const (
	longestText = 255               // no repository is longer, and no host
	maxParts    = longestText/2 + 1 // of one letter each
	keptHashes  = 16                // the rest is hashed when it is asked for
)

// parts is a repository cut into segments, or a host into labels, each with its hash. It lives on the stack, and is
// small because every question pays for its zeroes.
type parts struct {
	seed maphash.Seed
	text string
	n    int
	end  [maxParts]uint8 // where each ends; the next begins one behind it
	kept [keptHashes]uint64
}

// split cuts a text up. What is no repository or host, being too long or having an empty part, has no parts.
func (p *parts) split(seed maphash.Seed, text string, separator byte) {
	p.seed, p.text, p.n = seed, text, 0
	if text == "" || len(text) > longestText {
		return
	}
	start := 0
	for end := 0; end <= len(text); end++ {
		if end < len(text) && text[end] != separator {
			continue
		}
		if end == start {
			p.n = 0
			return
		}
		p.end[p.n] = uint8(end)
		if p.n < keptHashes {
			p.kept[p.n] = maphash.String(seed, text[start:end])
		}
		p.n++
		start = end + 1
	}
}

func (p *parts) at(i int) string {
	start := 0
	if i > 0 {
		start = int(p.end[i-1]) + 1
	}
	return p.text[start:p.end[i]]
}

func (p *parts) hash(i int) uint64 {
	if i < keptHashes {
		return p.kept[i]
	}
	return maphash.String(p.seed, p.at(i))
}

// mix is a folded multiplication: fast, and good enough where every hit is verified.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^0x9e3779b97f4a7c15, b^0xd1b54a32d192ed03)
	return hi ^ lo
}
