package credhelper

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
)

const answerOfAgent = "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 4\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{} \n"

func TestReadAnswerInPieces(t *testing.T) {
	for name, r := range map[string]io.Reader{
		"at once": strings.NewReader(answerOfAgent), "by the byte": iotest.OneByteReader(strings.NewReader(answerOfAgent)),
		"with its end": iotest.DataErrReader(strings.NewReader(answerOfAgent)),
	} {
		if status, body, err := readAnswer(r, 100); status != 200 || string(body) != "{} \n" || err != nil {
			t.Errorf("%s: %d %q %v", name, status, body, err)
		}
	}
	for i := range len(answerOfAgent) {
		if _, _, err := readAnswer(strings.NewReader(answerOfAgent[:i]), 100); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut after %d bytes: %v", i, err)
		}
	}
}

func TestReadAnswerRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"another protocol": "SSH-2.0-OpenSSH_9.2\r\n\r\n", "no length": "HTTP/1.1 200 OK\r\n\r\n{}", "in chunks": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
		"two lengths": "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}", "negative": "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}",
		"too long": "HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n" + strings.Repeat(" ", 101), "beyond all numbers": "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"more than it says": "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{}", "no status": "HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n", "interim": "HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n",
		"no colon": "HTTP/1.1 200 OK\r\nContent-Length 2\r\n\r\n{}", "endless header": "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", 2000),
	} {
		if _, _, err := readAnswer(strings.NewReader(text), 100); !errors.Is(err, errAnswer) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whoever sends without end is left soon.
func TestReadAnswerIsBounded(t *testing.T) {
	endless := &counted{r: iotest.OneByteReader(strings.NewReader(strings.Repeat("x", 1<<20)))}
	if _, _, err := readAnswer(endless, 100); !errors.Is(err, errAnswer) || endless.read > 2*maxHeader {
		t.Errorf("%v after %d bytes", err, endless.read)
	}
	if _, _, err := readAnswer(iotest.ErrReader(io.ErrClosedPipe), 100); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("%v", err)
	}
	if _, _, err := readAnswer(silent{}, 100); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("%v", err)
	}
}

type counted struct {
	r    io.Reader
	read int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.read += n
	return n, err
}

// silent reads nothing, and says nothing about it.
type silent struct{}

func (silent) Read([]byte) (int, error) { return 0, nil }

// What is taken for an answer is the one that net/http reads.
func FuzzReadAnswer(f *testing.F) {
	f.Add([]byte(answerOfAgent))
	f.Add([]byte("HTTP/1.0 404 Not Found\r\ncontent-length:\t2 \r\nA:\r\n\r\n{}"))
	f.Add([]byte("HTTP/1.0 200 \n\r\nContent-Length:4\r\n\r\n0000")) // the header ends at the lone line feed, for net/http
	f.Add([]byte("HTTP/1.1 502\r\nContent-Length: 0\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		status, body, err := readAnswer(bytes.NewReader(text), 1<<10)
		if err != nil || status == http.StatusNoContent || status == http.StatusNotModified {
			return
		}
		response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(text)), nil)
		if err != nil {
			if strings.Contains(err.Error(), "malformed") || strings.Contains(err.Error(), "bad Content-Length") {
				return // names and versions that net/http looks at more closely; nothing here hangs on them
			}
			t.Fatalf("%q: taken, and net/http says %v", text, err)
		}
		defer response.Body.Close()
		standard, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != status || !bytes.Equal(standard, body) {
			t.Fatal(fmt.Sprintf("%q: %d %q, and net/http has", text, status, body), response.StatusCode, string(standard), err)
		}
	})
}
