package main

import (
	"bytes"
	"io"
	"testing"

	"github.com/vbauerster/mpb/v8"
)

// Lines that came after the pull's bar was gone used to end the watching with mpb's own error.
func TestLinesAfterTheBarIsGone(t *testing.T) {
	var out bytes.Buffer
	bars := mpb.New(mpb.WithOutput(io.Discard))
	bars.Wait()
	w := aboveBar{bars: bars, out: &out}
	if n, err := io.WriteString(w, "epoch 1\n"); n != 8 || err != nil {
		t.Fatalf("Write = %d, %v", n, err)
	}
	if out.String() != "epoch 1\n" {
		t.Errorf("out has %q", out.String())
	}
}
