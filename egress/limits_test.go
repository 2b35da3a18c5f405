package egress_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pierhead.dev/pierhead/egress"
	"pierhead.dev/pierhead/egress/egresstest"
)

func TestP10BodiesAreBounded(t *testing.T) {
	w := egresstest.New(t)
	endless := func(status int, length bool) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if length {
				w.Header().Set("Content-Length", "1000000000")
			}
			w.WriteHeader(status)
			for {
				if _, err := w.Write(make([]byte, 32<<10)); err != nil {
					return
				}
			}
		})
	}
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, _ = z.Write(make([]byte, 10<<20))
	_ = z.Close()
	w.HTTPS("r.example.com", routes(map[string]http.Handler{
		"/told": endless(200, true), "/chunked": endless(200, false), "/error": endless(500, false), "/fits": ok,
		"/bomb": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Accept-Encoding") != "identity" {
				t.Error("it was asked for")
			}
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb.Bytes())
		}),
	}))
	c := newClient(t, w, egress.Rules{Host: "r.example.com"})
	ask := func(path string) (string, int, error) {
		r, err := c.Do(t.Context(), egress.Request{Method: "GET", URL: address(t, "https://r.example.com"+path+"?q="+marker), MaxBody: 1 << 20})
		if err != nil {
			return "", 0, err
		}
		defer r.Body.Close()
		body, err := io.ReadAll(r.Body)
		return string(body), r.Status, err
	}
	for _, path := range []string{"/told", "/chunked"} {
		_, _, err := ask(path)
		if e := fault(t, err); !errors.Is(err, egress.ErrTooLarge) || err.Error() != "GET https://r.example.com"+path+": the answer is too large: its body" || e.Evidence.Last().Status != 200 {
			t.Errorf("%s: %v", path, err)
		}
	}
	if body, status, err := ask("/error"); err != nil || status != 500 || len(body) != 64<<10 {
		t.Errorf("%d bytes, %d, %v", len(body), status, err)
	}
	if body, _, err := ask("/fits"); err != nil || body != "fine" {
		t.Errorf("%q, %v", body, err)
	}
	if body, _, err := ask("/bomb"); err != nil || body != bomb.String() {
		t.Errorf("a bomb of %d bytes became %d, %v", bomb.Len(), len(body), err)
	}
}

// A pipe is a network in memory, whose time is the test's.
func pipe(t *testing.T, handler http.Handler) (*egress.Client, func()) {
	t.Helper()
	connections := make(chan net.Conn)
	server := &http.Server{Handler: handler}
	go server.Serve(pipeListener{connections})
	c, err := egress.New(egress.Rules{Host: "r.example.com", PlainHTTP: true}, egress.Network{
		Resolve: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("20.0.0.1")}, nil
		},
		Dial: func(context.Context, netip.AddrPort, func(netip.AddrPort) error) (net.Conn, error) {
			ours, theirs := net.Pipe()
			connections <- theirs
			return ours, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c, func() { c.Close(); _ = server.Close(); synctest.Wait() }
}

type pipeListener struct{ connections chan net.Conn }

func (l pipeListener) Accept() (net.Conn, error) {
	c, open := <-l.connections
	if !open {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (l pipeListener) Close() error   { close(l.connections); return nil }
func (l pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

func drip(every time.Duration, piece string, flushHeader bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if flushHeader {
			w.(http.Flusher).Flush()
		}
		for r.Context().Err() == nil {
			select {
			case <-time.After(every):
			case <-r.Context().Done():
				return
			}
			if _, err := io.WriteString(w, piece); err != nil {
				return
			}
			w.(http.Flusher).Flush()
		}
	})
}

func TestP10TimesAreBounded(t *testing.T) {
	for name, test := range map[string]struct {
		handler http.Handler
		maxBody int64
		after   time.Duration
		text    string
	}{
		"no answer":             {drip(time.Hour, "", false), 0, 30 * time.Second, "timed out: waiting for the answer"},
		"a body that stops":     {drip(time.Hour, "", true), 0, 30 * time.Second, "timed out: the transfer stalled"},
		"a body by single byte": {drip(time.Second, "x", true), 0, 30 * time.Second, "timed out: the transfer stalled"},
		"a slow small answer":   {drip(time.Second, strings.Repeat("x", 512), true), 1 << 20, time.Minute, "timed out: the answer took too long in all"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, stop := pipe(t, test.handler)
				defer stop()
				start := time.Now()
				r, err := c.Do(t.Context(), egress.Request{Method: "GET", URL: address(t, "http://r.example.com/x?"+marker), MaxBody: test.maxBody})
				if err == nil {
					_, err = io.Copy(io.Discard, r.Body)
					r.Body.Close()
				}
				if !errors.Is(err, egress.ErrTimeout) || fault(t, err).Error() != "GET http://r.example.com/x: "+test.text {
					t.Errorf("%v", err)
				}
				if took := time.Since(start); took != test.after {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// A long body that comes steadily has no deadline, and a reader who takes his time is not the server's fault.
func TestSteadyBodiesHaveNoDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, stop := pipe(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			for range 100 {
				time.Sleep(20 * time.Second)
				_, _ = w.Write(make([]byte, 2<<10))
				w.(http.Flusher).Flush()
			}
		}))
		defer stop()
		r, err := c.Do(t.Context(), egress.Request{Method: "GET", URL: address(t, "http://r.example.com/")})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		for total := 0; ; {
			n, err := r.Body.Read(make([]byte, 2<<10))
			total += n
			if err == io.EOF && total == 200<<10 {
				break
			} else if err != nil {
				t.Fatalf("after %d bytes: %v", total, err)
			}
			time.Sleep(5 * time.Minute)
		}
	})
}

// An upload that the server does not take, and one that it takes slowly.
func TestStalledUploads(t *testing.T) {
	upload := func(t *testing.T, c *egress.Client) error {
		size := int64(64 << 10)
		r, err := c.Do(t.Context(), egress.Request{Method: "PUT", URL: address(t, "http://r.example.com/"), Length: size,
			Body: func() (io.ReadCloser, error) { return io.NopCloser(io.LimitReader(zeros{}, size)), nil }})
		if err == nil {
			r.Body.Close()
		}
		return err
	}
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan struct{})
		c, stop := pipe(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-ended }))
		defer stop()
		defer close(ended)
		if err := upload(t, c); !errors.Is(err, egress.ErrTimeout) {
			t.Errorf("%v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		c, stop := pipe(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			for {
				time.Sleep(5 * time.Second)
				if _, err := r.Body.Read(make([]byte, 4<<10)); err != nil {
					return
				}
			}
		}))
		defer stop()
		if err := upload(t, c); err != nil {
			t.Error(err)
		}
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// Dialling is bounded too, all addresses together.
func TestConnectIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		addresses := []netip.Addr{netip.MustParseAddr("20.0.0.1"), netip.MustParseAddr("20.0.0.2"), netip.MustParseAddr("2606::1")}
		c, err := egress.New(egress.Rules{Host: "r.example.com"}, egress.Network{
			Resolve: func(context.Context, string) ([]netip.Addr, error) { return addresses, nil },
			Dial: func(ctx context.Context, _ netip.AddrPort, _ func(netip.AddrPort) error) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		_, err = get(t, c, "https://r.example.com/")
		if !errors.Is(err, egress.ErrTimeout) || time.Since(start) != 10*time.Second || fault(t, err).Detail != "connecting to 20.0.0.1:443" {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		slow := errors.New("a name server's words")
		c, _ = egress.New(egress.Rules{Host: "r.example.com"}, egress.Network{
			Resolve: func(ctx context.Context, _ string) ([]netip.Addr, error) { <-ctx.Done(); return nil, slow },
		})
		_, err = get(t, c, "https://r.example.com/")
		if !errors.Is(err, egress.ErrDNS) || errors.Is(err, slow) || fault(t, err).Detail != "the name server did not answer for r.example.com" {
			t.Errorf("%v", err)
		}
	})
}

func TestConnectionsAreKept(t *testing.T) {
	w := egresstest.New(t)
	w.HTTPS("r.example.com", ok)
	c := newClient(t, w, egress.Rules{Host: "r.example.com"})
	for i := range 3 {
		r, err := get(t, c, "https://r.example.com/")
		if err != nil {
			t.Fatal(err)
		}
		_ = read(r)
		if last := r.Evidence.Last(); last.Reused != (i > 0) || last.Address == "" {
			t.Errorf("request %d: %+v", i, fmt.Sprint(last))
		}
	}
}

// An answer that comes before the request was sent in full: what the body is read from belongs to its owner again, and a
// piece of it is never taken for the whole. (The transport alone goes on reading behind its caller's back.)
func TestEarlyAnswersEndTheUpload(t *testing.T) {
	w := egresstest.New(t)
	bodies := make(chan error, 100)
	w.HTTPS("r.example.com", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(401)
		w.(http.Flusher).Flush()
		_, err := io.Copy(io.Discard, r.Body)
		bodies <- err
	}))
	c := newClient(t, w, egress.Rules{Host: "r.example.com"})
	for _, length := range []int64{-1, 64 << 20} {
		source := &owned{}
		r, err := c.Do(t.Context(), egress.Request{Method: "PUT", URL: address(t, "https://r.example.com/"), Length: length,
			Body: func() (io.ReadCloser, error) { return io.NopCloser(io.LimitReader(source, 64<<20)), nil }})
		if err == nil {
			_ = r.Body.Close()
		} else if !errors.Is(err, egress.ErrBroken) && !errors.Is(err, egress.ErrProtocol) {
			t.Fatal(err)
		}
		source.taken = true // a write that the race detector sees beside a Read
		if err := <-bodies; err == nil {
			t.Errorf("length %d: a part of the body counted as all of it", length)
		}
	}
}

type owned struct{ taken bool }

func (o *owned) Read(p []byte) (int, error) {
	if o.taken {
		return 0, io.ErrClosedPipe
	}
	return len(p), nil
}
