package client_test

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead/egress"
	"pierhead.dev/pierhead/oci"
)

// A transfer that breaks off goes on from there, with a renewed token where it must (FIELD P3, NVIDIA/enroot#278).
func TestP3BrokenTransfersGoOn(t *testing.T) {
	f := newFixture(t)
	var breaks atomic.Int32
	i := &issuer{realm: "https://" + host + "/token", password: is("p")}
	for name, test := range map[string]struct {
		breaks int32
		step   int
		ranges bool
		revoke bool
		fails  bool
	}{
		"once": {1, 1000, true, false, false}, "eight times": {8, 1000, true, false, false}, "nine times": {9, 1000, true, false, true},
		"Range ignored": {2, 1000, false, false, false}, "token withdrawn": {3, 1000, true, true, false}, "four times without a byte": {4, 0, true, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			breaks.Store(test.breaks)
			f.HTTPS(host, withToken(i, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !isBlob(r) {
					f.inner.ServeHTTP(w, r)
					return
				}
				if !test.ranges {
					r.Header.Del("Range")
				}
				if breaks.Add(-1) >= 0 {
					w = &breaking{w, test.step + test.step*int(test.breaks-breaks.Load())*btoi(!test.ranges)}
					if test.revoke {
						i.revoke()
					}
				}
				f.ranged(w, r, f.layer)
			})))
			c := f.client(egress.Rules{}, login("p"))
			got, err := blob(t, c, f.blob, 0, -1)
			if test.fails {
				if err == nil || got == string(f.layer) || !strings.HasPrefix(string(f.layer), got) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
			} else if err != nil || got != string(f.layer) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			c.Close()
		})
	}
}

// A middlebox that cuts every so many bytes failed each large layer at the ninth cut, however far it had come. What
// trickles is still given up, wherever it stands.
func TestP3CutsThatBroughtEnough(t *testing.T) {
	const size = 12<<20 + 5
	for name, test := range map[string]struct {
		step  int
		sized bool
		fails bool
	}{
		"every mebibyte": {1 << 20, true, false}, "every mebibyte, without lengths": {1 << 20, false, false},
		"a byte less than that": {1<<20 - 1, true, true}, "much, then trickles": {-1 << 20, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.layer = []byte(strings.Repeat("0123456789abcdef", size/16) + "tail.")
			f.blob = digest.FromBytes(f.layer)
			var answers atomic.Int32
			f.HTTPS(host, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				step := test.step
				if n := answers.Add(1); step < 0 && n > 3 {
					step = 1000
				} else if step < 0 {
					step = -step
				}
				if !test.sized {
					w = &unsized{w}
				}
				f.ranged(&breaking{w, step}, r, f.layer)
			}))
			got, err := blob(t, f.client(egress.Rules{}), f.blob, 0, -1)
			if test.fails && (!errors.Is(err, oci.ErrUnavailable) || answers.Load() > 12) || !test.fails && (err != nil || got != string(f.layer) || answers.Load() < size>>20) {
				t.Errorf("%d bytes, %d answers, %v", len(got), answers.Load(), err)
			}
		})
	}
}

// unsized hides how large a blob is, and how much of it is to come.
type unsized struct{ http.ResponseWriter }

func (u *unsized) WriteHeader(status int) {
	if part := u.Header().Get("Content-Range"); part != "" {
		before, _, _ := strings.Cut(part, "/")
		u.Header().Set("Content-Range", before+"/*")
	}
	u.Header().Del("Content-Length")
	u.ResponseWriter.WriteHeader(status)
}

func (u *unsized) Flush() { u.ResponseWriter.(http.Flusher).Flush() }

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// breaking sends some bytes of a body and hangs up.
type breaking struct {
	http.ResponseWriter
	left int
}

func (b *breaking) Write(p []byte) (int, error) {
	n, _ := b.ResponseWriter.Write(p[:min(len(p), b.left)])
	if b.left -= n; b.left <= 0 {
		b.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, nil
}
