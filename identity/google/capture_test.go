package google_test

import (
	"io"
	"os"
	"testing"
)

// capture takes what is written to stderr from now on, until its answer is asked for.
func capture(t *testing.T) func() string {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	kept := os.Stderr
	os.Stderr = write
	text := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(read)
		text <- string(b)
	}()
	return func() string {
		os.Stderr = kept
		_ = write.Close()
		return <-text
	}
}
