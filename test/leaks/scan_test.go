package leaks

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func TestRefusesWhatCannotBeSearched(t *testing.T) {
	for _, secret := range []string{"", "1234567", "aaaaaaaaab", strings.Repeat("0123456789", 900)} {
		if _, err := NewNeedle([]byte(secret)); !errors.Is(err, ErrSecret) || secret != "" && strings.Contains(err.Error(), secret) {
			t.Errorf("a secret of %d bytes: %v", len(secret), err)
		}
	}
}

func TestNeedleIsNotPrinted(t *testing.T) {
	n := needleOf(t, secrets["plain"])
	for _, printed := range []string{fmt.Sprint(n), fmt.Sprintf("%+v %#v %x %q", n, n, n, n), n.hide("open /tmp/" + std("user:"+secrets["plain"]) + ": no such file")} {
		if len(n.find(printed)) > 0 || strings.Contains(printed, "horse") {
			t.Errorf("printed: %s", printed)
		}
	}
}

// The offset is right, and one place in the stream is one finding, on either side of a window's border.
func TestOffsets(t *testing.T) {
	secret := secrets["plain"]
	n := needleOf(t, secret)
	for _, at := range []int{0, 1, windowSize - 8, windowSize, windowSize + n.overlap - 5, windowSize + n.overlap, 2*windowSize - 1, 3<<20 - len(secret)} {
		stream := make([]byte, 3<<20)
		copy(stream[at:], secret)
		findings, err := n.Scan(bytes.NewReader(stream), "it")
		if want := []Finding{{"it", "text", int64(at)}}; err != nil || !slices.Equal(findings, want) {
			t.Errorf("at %d: %v, %v", at, findings, err)
		}
	}
}

func TestNamesTheForm(t *testing.T) {
	n := needleOf(t, secrets["escaping"])
	for _, one := range []struct{ encode, form string }{
		{"raw", "text"}, {"JSON", "text, JSON-escaped"}, {"HTML", "text, HTML-escaped"}, {"query", "text, URL-escaped"},
		{"query of JSON", "text, JSON-escaped, URL-escaped"}, {"base64", "base64, alignment 0"},
		{"base64, YAML", "base64, alignment 0, with breaks in it"}, {"UTF-16LE", "UTF-16LE"}, {"HEX", "hex"},
	} {
		which := slices.IndexFunc(forms, func(f form) bool { return f.name == one.encode })
		findings, err := n.ScanBytes([]byte(forms[which].encode(secrets["escaping"])), "it")
		if err != nil || len(findings) == 0 || findings[0].Form != one.form {
			t.Errorf("%s: %v, %v", one.encode, findings, err)
		}
	}
}

// noise has no order, but packed it is shorter: else its bytes would be in the packed stream as they are.
func noise(size int) string { return string(haystack("hex", size)) }

// Packed things begin anywhere in a stream, cross windows, and hold others.
func TestFindsInPackedStreams(t *testing.T) {
	secret := secrets["escaping"]
	n := needleOf(t, secret)
	long := noise(500<<10) + secret + noise(200<<10)
	archive := packed(func(b *bytes.Buffer) {
		w := tar.NewWriter(b)
		for _, content := range []string{gzipped(noise(1000)), gzipped("x" + secret), noise(2000)} {
			_ = w.WriteHeader(&tar.Header{Name: "file", Mode: 0o600, Size: int64(len(content))})
			_, _ = io.WriteString(w, content)
		}
		_ = w.Close()
	})
	for name, stream := range map[string]string{
		"gzip in the middle":    noise(270<<10) + gzipped(long) + noise(270<<10),
		"zlib in the middle":    noise(270<<10) + zlibbed(long) + noise(270<<10),
		"the second of two":     gzipped(noise(300<<10)) + gzipped(long),
		"one in another":        noise(100) + gzipped(noise(300<<10)+gzipped(long)+noise(99)),
		"tar.gz with a gzip":    gzipped(archive),
		"cut off":               gzipped(long)[:350<<10],
		"after false beginning": strings.Repeat("\x1f\x8b\x08\x00x\x9cH4sISDRzS", 20) + gzipped(long),
		"a false one inside":    gzipped("\x1f\x8b\x08\x00\x00\x00" + long),
		"five times over":       gzipped(zlibbed(gzipped(zlibbed(gzipped(secret))))),
	} {
		findings, err := n.Scan(iotest.HalfReader(strings.NewReader(stream)), "it")
		if err != nil || len(findings) == 0 || !strings.Contains(findings[0].Place, " > ") {
			t.Errorf("%s: %v, %v", name, findings, err)
		}
	}
}

// What is not searched is said.
func TestTellsWhatWasNotUnpacked(t *testing.T) {
	n := needleOf(t, secrets["plain"])
	n.limit = 10 << 20
	bomb := gzipped(strings.Repeat("\x00", 11<<20) + secrets["plain"])
	if findings, err := n.ScanBytes([]byte(bomb), "it"); !errors.Is(err, errTooMuch) || len(findings) > 0 {
		t.Errorf("a bomb: %v, %v", findings, err)
	}
	deep := secrets["plain"]
	for range mostLayers + 1 {
		deep = gzipped(deep)
	}
	if _, err := n.ScanBytes([]byte(deep), "it"); !errors.Is(err, errTooDeep) {
		t.Errorf("packed too often: %v", err)
	}
	// Members whose headers are 64 KiB long: whether they are any is known only then.
	endless := strings.Repeat("\x1f\x8b\x08\x04......\xff\xff", mostOpen+1)
	if _, err := n.ScanBytes([]byte(endless), "it"); !errors.Is(err, errTooMany) {
		t.Errorf("packed side by side: %v", err)
	}
}

func TestPassesTheReadersError(t *testing.T) {
	n := needleOf(t, secrets["plain"])
	for _, broken := range []error{io.ErrUnexpectedEOF, errors.New("no disk")} {
		findings, err := n.Scan(io.MultiReader(strings.NewReader(secrets["plain"]), iotest.ErrReader(broken)), "it")
		if !errors.Is(err, broken) || len(findings) != 1 {
			t.Errorf("%v: %v, %v", broken, findings, err)
		}
	}
}

// Bytes of all kinds hold no secret, and finding none in them takes no long.
func TestCleanStreams(t *testing.T) {
	for name, secret := range secrets {
		n := needleOf(t, secret)
		for _, kind := range haystacks {
			if findings, err := n.Scan(bytes.NewReader(haystack(kind, 256<<10)), kind); err != nil || len(findings) > 0 {
				t.Errorf("%s: %v, %v", name, findings, err)
			}
		}
	}
}
