package store

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"pierhead.dev/pierhead"
)

// A log ends at LogLimit: what would go past it is refused whole, and what is there can be read.
func TestLogLimit(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "pierhead.db"))
	texts := fill(t, s)
	ctx := t.Context()
	alice, err := s.Authenticate(ctx, texts[1])
	must(t, err)
	node, err := s.Authenticate(ctx, texts[3])
	must(t, err)
	x, err := s.CreateExecution(ctx, alice, "acme", "train", pierhead.Spec{Step: "s", Image: "alpine"})
	must(t, err)
	_, err = s.TakeWork(ctx, node, 1)
	must(t, err)
	chunk := bytes.Repeat([]byte("0123456789abcdef"), AppendMost/16)
	_, err = s.AppendLog(ctx, node, x.ID, 0, append(chunk, 'x'))
	if !errors.Is(err, pierhead.ErrBadInput) {
		t.Errorf("more than AppendMost at once gave %v", err)
	}
	for size := int64(0); size < LogLimit; {
		size, err = s.AppendLog(ctx, node, x.ID, size, chunk)
		must(t, err)
	}
	if _, err = s.AppendLog(ctx, node, x.ID, LogLimit, []byte("x")); !errors.Is(err, pierhead.ErrConflict) || !strings.Contains(err.Error(), "64 MiB") {
		t.Errorf("a byte past the limit gave %v", err)
	}
	for offset := int64(0); offset < LogLimit; {
		data, err := s.ExecutionLog(ctx, alice, x.ID, offset, 0)
		must(t, err)
		if len(data) != ReadMost || !bytes.Equal(data, chunk) {
			t.Fatalf("at %d: %d bytes", offset, len(data))
		}
		offset += int64(len(data))
	}
}
