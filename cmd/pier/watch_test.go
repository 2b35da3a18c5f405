package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/vbauerster/mpb/v8"

	"pierhead.dev/pierhead/api"
)

// The bar of a pull whose container had run, or whose watching was given up, used to stay on the terminal.
func TestNothingStaysOfTheBar(t *testing.T) {
	for word, execution := range map[string]string{
		"pulling": `{"id": "exe_1", "state": "pulling", "pulled_bytes": 300, "image_bytes": 1000}`,
		"queued":  `{"id": "exe_1", "state": "queued"}`,
	} {
		t.Run(word, func(t *testing.T) { nothingStays(t, word, execution) })
	}
}

func nothingStays(t *testing.T, word, execution string) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, execution)
	}))
	defer server.Close()
	client, err := api.NewClient(api.ClientConfig{URL: server.URL, Token: "t"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	screen := &screen{word: word, drawn: make(chan struct{})}
	_, drawn := drawing(ctx, client, "exe_1", screen)
	<-screen.drawn
	cancel()
	<-drawn
	if last := screen.text[strings.LastIndex(screen.text, "\x1b["):]; strings.Contains(last, word) {
		t.Errorf("the last that was drawn is %q", last)
	}
}

// A screen keeps what is drawn on it, and tells when the word was there for the first time.
type screen struct {
	text  string
	word  string
	drawn chan struct{}
}

func (s *screen) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(s.word)) && !strings.Contains(s.text, s.word) {
		defer close(s.drawn)
	}
	s.text += string(p)
	return len(p), nil
}

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
