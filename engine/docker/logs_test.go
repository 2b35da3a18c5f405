package docker

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pierhead.dev/pierhead/engine"
)

func frame(stream byte, content string) string {
	header := [8]byte{stream}
	binary.BigEndian.PutUint32(header[4:], uint32(len(content)))
	return string(header[:]) + content
}

func TestDemultiplex(t *testing.T) {
	for in, want := range map[string]string{
		"":                                       "",
		frame(1, "out\n") + frame(2, "err\n"):    "out\nerr\n",
		frame(0, "in") + frame(1, ""):            "in",
		frame(1, strings.Repeat("x", 1_000_000)): strings.Repeat("x", 1_000_000),
	} {
		var got strings.Builder
		if err := demultiplex(&got, strings.NewReader(in)); err != nil || got.String() != want {
			t.Errorf("%.40q gives %.40q, %v", in, got.String(), err)
		}
	}
	for in, want := range map[string]error{
		frame(1, "abc")[:9]: io.ErrUnexpectedEOF,
		frame(1, "abc")[:8]: io.ErrUnexpectedEOF,
		frame(1, "abc")[:3]: io.ErrUnexpectedEOF,
		"no frames at all":  errFrame,
		frame(7, "x"):       errFrame,
		frame(1, "abc\n") + "\x01\x02\x00\x00\x00\x00\x00\x00": errFrame,
	} {
		if err := demultiplex(io.Discard, strings.NewReader(in)); !errors.Is(err, want) {
			t.Errorf("%q gives %v", in, err)
		}
	}
	if err := demultiplex(io.Discard, strings.NewReader(frame(3, "driver broken"))); err == nil || !strings.Contains(err.Error(), "driver broken") {
		t.Errorf("the engine's error gives %v", err)
	}
}

func FuzzDemultiplex(f *testing.F) {
	f.Add([]byte(frame(1, "out\n") + frame(2, "err\n")))
	f.Add([]byte(frame(3, "x")))
	f.Fuzz(func(t *testing.T, in []byte) {
		var out bytes.Buffer
		err := demultiplex(&out, bytes.NewReader(in))
		if out.Len() > max(0, len(in)-8) || err == nil && len(in) > 0 && (len(in)-out.Len())%8 != 0 {
			t.Errorf("%d bytes from %d, %v", out.Len(), len(in), err)
		}
	})
}

func FuzzLogContent(f *testing.F) {
	f.Add("2026-01-02T03:04:05.6+00:00 stdout F hello world\n")
	f.Add("2026-01-02T03:04:05.6+00:00 stderr P part\n")
	f.Add("x\n")
	f.Fuzz(func(t *testing.T, line string) {
		if !strings.HasSuffix(line, "\n") {
			return // the reader gives whole lines only
		}
		content, err := logContent([]byte(line))
		if err == nil && !strings.Contains(line, string(content)) {
			t.Errorf("%q gives %q", line, content)
		}
	})
}

func TestLogContent(t *testing.T) {
	for line, want := range map[string]string{
		"2026-01-02T03:04:05.6+00:00 stdout F hello  world \r\n": "hello  world \r\n",
		"2026-01-02T03:04:05.6+00:00 stdout P part\n":            "part",
		"2026-01-02T03:04:05.6+00:00 stdout F \n":                "\n",
		"2026-01-02T03:04:05.6+00:00 stdout P \n":                "",
	} {
		if got, err := logContent([]byte(line)); err != nil || string(got) != want {
			t.Errorf("%q gives %q, %v", line, got, err)
		}
	}
	for _, line := range []string{"\n", "a b\n", "a stdout X x\n", "a stdout  x\n"} {
		if _, err := logContent([]byte(line)); !errors.Is(err, errFrame) {
			t.Errorf("%q gives %v", line, err)
		}
	}
}

func TestFileLogGrows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ctr.log")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	reading, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	log := &fileLog{file: reading}
	defer log.Close()
	var out strings.Builder
	for _, step := range []struct{ written, want string }{
		{"", ""},
		{"t stdout F one\nt stdout P tw", "one\n"},
		{"o \nt std", "one\ntwo "},
		{"err F three\n", "one\ntwo three\n"},
	} {
		if _, err := file.WriteString(step.written); err != nil {
			t.Fatal(err)
		}
		if err := log.more(t.Context(), &out, false); err != nil || out.String() != step.want {
			t.Errorf("after %q: %q, %v", step.written, out.String(), err)
		}
	}
	if err := log.more(t.Context(), failing{}, true); err != nil {
		t.Errorf("nothing new is written, so nothing fails: %v", err)
	}
	if _, err := file.WriteString("t stdout F four\n"); err != nil {
		t.Fatal(err)
	}
	if err := log.more(t.Context(), failing{}, true); !errors.Is(err, errFailing) {
		t.Errorf("a reader that is gone gives %v", err)
	}
}

var errFailing = errors.New("the reader is gone")

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errFailing }

// Readings of a log that cannot be followed: its end may be half a line that comes whole the next time.
func TestAskedLogGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var frames []string
		took := time.Millisecond
		log := &askedLog{read: func(_ context.Context, to io.Writer) error {
			time.Sleep(took)
			for _, f := range frames {
				if _, err := to.Write([]byte(f)); err != nil {
					return err
				}
			}
			return nil
		}}
		var out strings.Builder
		for i, step := range []struct {
			frames []string
			last   bool
			want   string
		}{
			{nil, false, ""},
			{[]string{"one\n", "tw\n"}, false, "one\n"},
			{[]string{"one\n", "two\n"}, false, "one\n"},
			{[]string{"one\n", "two\n"}, false, "one\ntwo\n"}, // it stayed the end
			{[]string{"one\n", "two\n"}, false, "one\ntwo\n"},
			{[]string{"one\n", "two\n", "three\n"}, false, "one\ntwo\n"},
			{[]string{"one\n", "two\n", "three\n", "four\n"}, true, "one\ntwo\nthree\nfour\n"},
		} {
			frames = step.frames
			if err := log.more(t.Context(), &out, step.last); err != nil || out.String() != step.want {
				t.Errorf("step %d: %q, %v; want %q", i, out.String(), err, step.want)
			}
			time.Sleep(time.Second)
		}
		// A log that takes a minute to read is asked for every eleven.
		readings := 0
		read := log.read
		log.read = func(ctx context.Context, to io.Writer) error { readings++; return read(ctx, to) }
		took = time.Minute
		for begun := time.Now(); time.Since(begun) < 110*time.Minute; time.Sleep(logInterval) {
			if err := log.more(t.Context(), &out, false); err != nil {
				t.Fatal(err)
			}
		}
		if readings > 10 {
			t.Errorf("it was read %d times", readings)
		}
	})
}

func TestDockerLogs(t *testing.T) {
	f := newDocker(t)
	f.text("GET /v1.41/containers/ended/logs", frame(1, "one\n")+frame(2, "two\n"))
	f.answer("POST /v1.41/containers/ended/wait", http.StatusOK, map[string]any{"StatusCode": 0})
	f.answer("GET /v1.41/containers/ended/json", http.StatusOK, map[string]any{"Id": "ended", "State": map[string]any{"Status": "exited"}})
	f.HandleFunc("GET /v1.41/containers/broken/logs", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(frame(1, "one\n")))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	f.text("GET /v1.41/containers/cut/logs", frame(1, "one\n")+frame(1, "two\n")[:10])
	f.answer("GET /v1.41/containers/missing/logs", http.StatusNotFound, message("no such container"))
	e := f.engine(t)
	for id, want := range map[string]error{"ended": nil, "broken": engine.ErrUnreachable, "cut": engine.ErrUnreachable, "missing": engine.ErrNotFound} {
		var out strings.Builder
		err := e.Logs(t.Context(), id, true, &out)
		if want == nil && (err != nil || out.String() != "one\ntwo\n") || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: %q, %v", id, out.String(), err)
		}
	}
}

// An engine that is stopped in good order ends the log of a container that runs on.
func TestLogOfRunningEnds(t *testing.T) {
	f := newDocker(t)
	f.text("GET /v1.41/containers/x/logs", frame(1, "one\n"))
	f.HandleFunc("POST /v1.41/containers/x/wait", func(_ http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) })
	if err := f.engine(t).Logs(t.Context(), "x", true, io.Discard); !errors.Is(err, engine.ErrUnreachable) {
		t.Errorf("got %v", err)
	}
}
