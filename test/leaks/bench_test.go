package leaks

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"testing"
)

// haystack is what much of a data directory looks like; the same each time.
func haystack(kind string, size int) []byte {
	random := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(random)
	switch kind {
	case "base64":
		return []byte(base64.StdEncoding.EncodeToString(random))[:size]
	case "hex":
		return []byte(hex.EncodeToString(random))[:size]
	case "JSON":
		return []byte(strings.Repeat(`{"time":"2026-01-02T03:04:05Z","level":"INFO","msg":"pulled \"a/b:v1\"","bytes":12345,"url":"http://h/v2/a%2Fb"},`, size/100))[:size]
	case "escapes":
		return []byte(strings.Repeat(`\u0041%41&#65;`, size/10))[:size]
	case "zeros":
		return make([]byte, size)
	}
	return random
}

var haystacks = []string{"random", "base64", "hex", "JSON", "escapes", "zeros"}

// BenchmarkScan wants more than 17 MB/s of everything: 1 GB in a minute.
func BenchmarkScan(b *testing.B) {
	for _, name := range []string{"plain", "escaping"} {
		n := needleOf(b, secrets[name])
		for _, kind := range haystacks {
			stack := haystack(kind, 8<<20)
			b.Run(name+"/"+kind, func(b *testing.B) {
				b.SetBytes(int64(len(stack)))
				for b.Loop() {
					if findings, err := n.Scan(bytes.NewReader(stack), "it"); err != nil || len(findings) > 0 {
						b.Fatal(findings, err)
					}
				}
			})
		}
	}
}
