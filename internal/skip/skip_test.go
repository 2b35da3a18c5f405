package skip

import (
	"bytes"
	"testing"
)

func TestWriterGoesOnWhereTheStreamStood(t *testing.T) {
	for skip := range int64(12) {
		var got bytes.Buffer
		w := &Writer{To: &got, Skip: skip}
		for _, part := range []string{"abc", "", "defg", "hij"} {
			if n, err := w.Write([]byte(part)); n != len(part) || err != nil {
				t.Fatalf("Write(%q) = %d, %v", part, n, err)
			}
		}
		if w.Passed != int64(got.Len()) {
			t.Errorf("skip %d: %d bytes passed, %d arrived", skip, w.Passed, got.Len())
		}
		if want := "abcdefghij"[min(skip, 10):]; got.String() != want {
			t.Errorf("skip %d: %q, want %q", skip, got.String(), want)
		}
	}
}
