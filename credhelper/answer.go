package credhelper

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
)

// maxHeader bounds the header of an answer, in bytes.
const maxHeader = 8 << 10

// errAnswer says that what came back is not HTTP as the agent speaks it.
var errAnswer = errors.New("not an answer of the agent's")

// readAnswer reads one answer with a Content-Length: the only form that the agent has. Errors: errAnswer, the reader's own,
// and io.ErrUnexpectedEOF when it broke off.
func readAnswer(r io.Reader, limit int) (status int, body []byte, err error) {
	text := make([]byte, 0, 4<<10)
	end := -1
	for end < 0 {
		if len(text) > maxHeader {
			return 0, nil, errAnswer
		}
		before := max(len(text)-3, 0)
		if text, err = more(r, text); err != nil {
			return 0, nil, err
		}
		if at := bytes.Index(text[before:], []byte("\r\n\r\n")); at >= 0 {
			end = before + at
		}
	}
	status, length, err := readHeader(string(text[:end]))
	if err != nil || length > limit {
		return 0, nil, errAnswer
	}
	body = text[end+4:]
	if len(body) > length {
		return 0, nil, errAnswer
	}
	rest := make([]byte, length-len(body))
	if _, err := io.ReadFull(r, rest); err != nil {
		return 0, nil, ended(err)
	}
	return status, append(body, rest...), nil
}

// more appends what one read gives, which is something or an error.
func more(r io.Reader, text []byte) ([]byte, error) {
	var part [4 << 10]byte
	for range 100 {
		n, err := r.Read(part[:])
		if n > 0 {
			return append(text, part[:n]...), nil
		}
		if err != nil {
			return text, ended(err)
		}
	}
	return text, io.ErrNoProgress
}

func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// readHeader takes status and length out of the lines before the body.
func readHeader(text string) (status, length int, err error) {
	line, rest, _ := strings.Cut(text, "\r\n")
	if strings.Count(text, "\n") != strings.Count(text, "\r\n") { // some take a lone one for the end of a line, some do not
		return 0, 0, errAnswer
	}
	if len(line) < 12 || !strings.HasPrefix(line, "HTTP/1.") || line[8] != ' ' || len(line) > 12 && line[12] != ' ' {
		return 0, 0, errAnswer
	}
	if status, err = digits(line[9:12]); err != nil || status < 200 || status > 599 {
		return 0, 0, errAnswer
	}
	length = -1
	for rest != "" {
		line, rest, _ = strings.Cut(rest, "\r\n")
		name, value, colon := strings.Cut(line, ":")
		switch {
		case !colon || strings.EqualFold(name, "Transfer-Encoding"):
			return 0, 0, errAnswer
		case !strings.EqualFold(name, "Content-Length"):
			continue
		case length >= 0: // which of the two?
			return 0, 0, errAnswer
		}
		if length, err = digits(strings.Trim(value, " \t")); err != nil {
			return 0, 0, errAnswer
		}
	}
	if length < 0 {
		return 0, 0, errAnswer
	}
	return status, length, nil
}

// digits reads a number without a sign.
func digits(text string) (int, error) {
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return 0, errAnswer
		}
	}
	return strconv.Atoi(text)
}
