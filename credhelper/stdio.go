package credhelper

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
)

// ReadInput reads all of in, at most so many bytes, until ctx ends. The error is for people.
func ReadInput(ctx context.Context, in io.Reader, most int) ([]byte, error) {
	type result struct {
		text []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		text, err := io.ReadAll(io.LimitReader(in, int64(most)+1))
		done <- result{text, err}
	}()
	select {
	case r := <-done:
		if r.err == nil && len(r.text) > most {
			return nil, errors.New("it is longer than " + strconv.Itoa(most>>10) + " KiB")
		}
		return r.text, r.err
	case <-ctx.Done():
		return nil, errors.New("it did not come to an end in time")
	}
}

// OneLine puts a text that others wrote parts of on one line, without what a terminal could take for a command.
func OneLine(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 }), " ")
}
