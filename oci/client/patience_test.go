package client_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"pierhead.dev/pierhead/egress"
	"pierhead.dev/pierhead/oci"
	"pierhead.dev/pierhead/oci/client"
)

// pipes is a network of one host without sockets, so that a bubble's time passes in it: answer is all that it says.
func pipes(answer func(r *http.Request) string) egress.Network {
	serve := func(c net.Conn) {
		defer c.Close()
		if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			_, _ = c.Write([]byte("HTTP/1.1 " + answer(r) + "Content-Length: 0\r\nConnection: close\r\n\r\n"))
		}
	}
	return egress.Network{
		Resolve: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("20.1.1.1")}, nil
		},
		Dial: func(context.Context, netip.AddrPort, func(netip.AddrPort) error) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go serve(theirs)
			return ours, nil
		},
	}
}

// Waiting as long as a server asks for ends with its answer, not with our own time running out: that text said nothing,
// neither who was asked nor what to do, and counted as the caller's own end.
func TestWaitingEndsWithTheAnswer(t *testing.T) {
	const bearer = "401 Unauthorized\r\nWWW-Authenticate: Bearer realm=\"http://" + host + "/token\",service=\"s\"\r\n"
	const later = "429 Too Many Requests\r\nRetry-After: 60\r\n"
	for name, test := range map[string]struct {
		token  func() string // what the token server says
		within time.Duration // of the caller; 0: any
		most   time.Duration
		is     error
		text   string
	}{
		"a token server that asks for three minutes": {func() string { return later }, 0, 3 * time.Minute, oci.ErrTooManyRequests,
			"token for manifest v1 of r.example.com/acme/app: the token server r.example.com answered 429"},
		"and is slow, too": {func() string { time.Sleep(29 * time.Second); return later }, 0, 3 * time.Minute, egress.ErrTimeout,
			"token for manifest v1 of r.example.com/acme/app: GET http://r.example.com: timed out: no token within 3m0s"},
		"a caller who has less time": {nil, 10 * time.Second, 0, oci.ErrTooManyRequests, "manifest v1 of r.example.com/acme/app: r.example.com answered 429"},
	} {
		synctest.Test(t, func(t *testing.T) {
			c, err := client.New(client.Config{Rules: egress.Rules{Host: host, PlainHTTP: true}, Jitter: func() float64 { return 0 },
				Network: pipes(func(r *http.Request) string {
					switch {
					case r.URL.Path == "/token":
						return test.token()
					case test.token == nil:
						return later
					}
					return bearer
				})})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			ctx := t.Context()
			if test.within > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, test.within)
				defer cancel()
			}
			begin := time.Now()
			_, err = c.Manifest(ctx, repo, "v1")
			if !errors.Is(err, test.is) || errors.Is(err, context.DeadlineExceeded) || fmt.Sprint(err) != test.text || time.Since(begin) > test.most {
				t.Errorf("%s: after %v: %v", name, time.Since(begin), err)
			}
			time.Sleep(time.Minute) // of the bubble's: until the servers have ended
		})
	}
}
