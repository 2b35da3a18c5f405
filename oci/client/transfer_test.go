package client_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead/egress"
	"pierhead.dev/pierhead/oci"
	"pierhead.dev/pierhead/oci/client"
)

// ranged serves the layer by Range, as storages do; go-containerregistry's registry knows no Range for blobs.
func (f *fixture) ranged(w http.ResponseWriter, r *http.Request, content []byte) {
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(content)))
}

func isBlob(r *http.Request) bool { return strings.Contains(r.URL.Path, "/blobs/") }

func TestParts(t *testing.T) {
	f := newFixture(t)
	for name, handler := range map[string]http.HandlerFunc{
		"with Range":      func(w http.ResponseWriter, r *http.Request) { f.ranged(w, r, f.layer) },
		"Range ignored":   func(w http.ResponseWriter, r *http.Request) { r.Header.Del("Range"); f.ranged(w, r, f.layer) },
		"without lengths": func(w http.ResponseWriter, r *http.Request) { w.(http.Flusher).Flush(); _, _ = w.Write(f.layer) },
	} {
		f.HTTPS(host, handler)
		c := f.client(egress.Rules{})
		size := int64(len(f.layer))
		for _, part := range [][2]int64{{0, -1}, {0, 1}, {1, -1}, {100, 50}, {size - 1, -1}, {size - 1, 1}, {size - 5, 5}, {0, size}, {5, 0}, {0, 0}} {
			end := size
			if part[1] >= 0 {
				end = part[0] + part[1]
			}
			got, err := blob(t, c, f.blob, part[0], part[1])
			if err != nil || got != string(f.layer[part[0]:end]) {
				t.Errorf("%s %v: %d bytes, %v", name, part, len(got), err)
			}
		}
		if name == "without lengths" {
			continue
		}
		if got, err := blob(t, c, f.blob, size-2, 100); err != nil || got != string(f.layer[size-2:]) {
			t.Errorf("%s, over the end: %q, %v", name, got, err)
		}
		for _, part := range [][2]int64{{size, -1}, {size + 1, -1}, {size + 1, 0}, {-1, 5}, {0, -2}} {
			if _, err := c.Blob(t.Context(), repo, f.blob, part[0], part[1]); !errors.Is(err, oci.ErrRangeInvalid) {
				t.Errorf("%s %v: %v", name, part, err)
			}
		}
		b, err := c.Blob(t.Context(), repo, f.blob, 10, 20)
		if err != nil || b.Size != size || b.Offset != 10 || b.Length != 20 || b.Digest != f.blob {
			t.Errorf("%s: %+v, %v", name, b, err)
		}
		b.Close()
		if d, err := c.StatBlob(t.Context(), repo, f.blob); err != nil || d.Size != size || d.Digest != f.blob {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
	}
}

// A wrong blob is never complete: its last byte stays here.
func TestDigestsOfBlobs(t *testing.T) {
	f := newFixture(t)
	wrong := append([]byte(nil), f.layer...)
	wrong[7] ^= 1
	for name, content := range map[string][]byte{"changed": wrong, "empty": nil, "one byte": []byte("x"), "longer": append(f.layer[:len(f.layer):len(f.layer)], 'x'), "shorter": f.layer[:len(f.layer)-1]} {
		f.HTTPS(host, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f.ranged(w, r, content) }))
		c := f.client(egress.Rules{})
		got, err := blob(t, c, f.blob, 0, -1)
		if !errors.Is(err, oci.ErrDigestInvalid) || len(content) > 0 && len(got) != len(content)-1 || client.Refused(err) {
			t.Errorf("%s: %d of %d bytes, %v", name, len(got), len(content), err)
		}
		c.Close()
	}
	// In every size of read, right content arrives whole.
	f.HTTPS(host, f.inner)
	c := f.client(egress.Rules{})
	for _, size := range []int{1, 2, 3, 1 << 10, 1 << 20} {
		b, err := c.Blob(t.Context(), repo, f.blob, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		buffer := make([]byte, size)
		for err == nil {
			var n int
			n, err = b.Body.Read(buffer)
			if n == 0 && err == nil {
				t.Fatal("a Read without anything")
			}
			got = append(got, buffer[:n]...)
		}
		if err != io.EOF || string(got) != string(f.layer) {
			t.Errorf("by %d: %d bytes, %v", size, len(got), err)
		}
		b.Close()
		if _, err := b.Body.Read(buffer); err == nil {
			t.Error("read after close")
		}
	}
	empty := f.put(nil)
	if got, err := blob(t, c, empty, 0, -1); err != nil || got != "" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestSHA512(t *testing.T) {
	f := newFixture(t)
	d := digest.SHA512.FromBytes(f.layer)
	m := digest.SHA512.FromBytes(f.manifest)
	f.HTTPS(host, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isBlob(r) {
			f.ranged(w, r, f.layer)
			return
		}
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		w.Header().Set("Docker-Content-Digest", m.String())
		f.ranged(w, r, f.manifest)
	}))
	c := f.client(egress.Rules{})
	if got, err := blob(t, c, d, 0, -1); err != nil || got != string(f.layer) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	for _, reference := range []string{m.String(), "v1"} {
		if got, err := c.Manifest(t.Context(), repo, reference); err != nil || got.Digest != m {
			t.Errorf("%+v, %v", got, err)
		}
	}
}

// What may come in place of a manifest.
func TestP1WrongManifests(t *testing.T) {
	f := newFixture(t)
	const image = "application/vnd.oci.image.manifest.v1+json"
	for name, test := range map[string]struct {
		contentType, body string
		kind              error
		text              string
	}{
		"another one":            {image, string(f.manifest) + " ", oci.ErrDigestInvalid, "and not"},
		"a web page":             {"text/html; charset=utf-8", "<html>", oci.ErrManifestInvalid, "a web page came"},
		"a web page as manifest": {image, "<html>", oci.ErrManifestInvalid, "is not JSON"},
		"schema 1":               {"application/vnd.docker.distribution.manifest.v1+prettyjws", `{"schemaVersion":1,"fsLayers":[]}`, oci.ErrManifestInvalid, "schema 1"},
		"both":                   {image, `{"schemaVersion":2,"manifests":[],"layers":[]}`, oci.ErrManifestInvalid, "at the same time"},
		"another type":           {image, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`, oci.ErrManifestInvalid, "mediaType is"},
		"an index as image":      {image, `{"schemaVersion":2,"manifests":[]}`, oci.ErrManifestInvalid, "content of an index"},
		"JSON":                   {"application/json", `{"hello":1}`, oci.ErrManifestInvalid, "not a manifest"},
		"too large":              {image, strings.Repeat(" ", client.MaxManifest+1), oci.ErrManifestTooLarge, "too large"},
	} {
		f.HTTPS(host, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", test.contentType)
			w.Header().Set("Content-Length", strconv.Itoa(len(test.body)))
			_, _ = io.WriteString(w, test.body)
		}))
		c := f.client(egress.Rules{})
		_, err := c.Manifest(t.Context(), repo, f.digest.String())
		if !errors.Is(err, test.kind) || !strings.Contains(err.Error(), test.text) || !strings.Contains(err.Error(), host) {
			t.Errorf("%s: %v", name, err)
		}
		if test.kind == oci.ErrManifestInvalid {
			if _, err := c.Resolve(t.Context(), repo, "v1"); !errors.Is(err, test.kind) && test.contentType != image {
				t.Errorf("%s, resolved: %v", name, err)
			}
		}
		c.Close()
	}
	// A tag's manifest must be what its own header says.
	f.HTTPS(host, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", image)
		w.Header().Set("Docker-Content-Digest", f.blob.String())
		_, _ = w.Write(f.manifest)
	}))
	c := f.client(egress.Rules{})
	if _, err := c.Manifest(t.Context(), repo, "v1"); !errors.Is(err, oci.ErrDigestInvalid) {
		t.Error(err)
	}
	if _, err := c.Resolve(t.Context(), repo, f.digest.String()); !errors.Is(err, oci.ErrDigestInvalid) {
		t.Error(err)
	}
}

// Registries whose HEAD is no use (FACTS E2), and ECR, whose reasons stand in the body (FAULTS, fact 1).
func TestP1HeadFallsBackToGet(t *testing.T) {
	f := newFixture(t)
	for name, head := range map[string]http.HandlerFunc{
		"405": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(405) },
		"403": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) },
		"no digest": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		},
		"a bad digest": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Docker-Content-Digest", "sha256:x") },
		"a web page": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.Header().Set("Docker-Content-Digest", f.blob.String())
		},
	} {
		f.HTTPS(host, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodHead && !isBlob(r) {
				head(w, r)
				return
			}
			f.inner.ServeHTTP(w, r)
		}))
		c := f.client(egress.Rules{})
		f.reads(c)
		c.Close()
		t.Log(name)
	}
}

func TestP5Retries(t *testing.T) {
	f := newFixture(t)
	second := time.Second
	backoff := []time.Duration{second / 2, second, 2 * second}
	for name, test := range map[string]struct {
		first func(w http.ResponseWriter)
		times int
		slept []time.Duration
		kind  error
	}{
		"503 three times":   {func(w http.ResponseWriter) { w.WriteHeader(503) }, 3, backoff, nil},
		"503 for ever":      {func(w http.ResponseWriter) { w.WriteHeader(503) }, 99, backoff, oci.ErrUnavailable},
		"502":               {func(w http.ResponseWriter) { w.WriteHeader(502) }, 1, backoff[:1], nil},
		"hung up":           {func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, 2, backoff[:2], nil},
		"501":               {func(w http.ResponseWriter) { w.WriteHeader(501) }, 99, nil, oci.ErrUnavailable},
		"404":               {func(w http.ResponseWriter) { w.WriteHeader(404) }, 99, nil, oci.ErrManifestUnknown},
		"429":               {func(w http.ResponseWriter) { w.WriteHeader(429) }, 1, backoff[:1], nil},
		"429 with seconds":  {func(w http.ResponseWriter) { w.Header().Set("Retry-After", "7"); w.WriteHeader(429) }, 2, []time.Duration{7 * second, 7 * second}, nil},
		"429 for ever":      {func(w http.ResponseWriter) { w.Header().Set("Retry-After", "1"); w.WriteHeader(429) }, 99, []time.Duration{second, second, second}, oci.ErrTooManyRequests},
		"429 for hours":     {func(w http.ResponseWriter) { w.Header().Set("Retry-After", "21600"); w.WriteHeader(429) }, 99, nil, oci.ErrTooManyRequests},
		"429 without sense": {func(w http.ResponseWriter) { w.Header().Set("Retry-After", "-1e9"); w.WriteHeader(429) }, 1, backoff[:1], nil},
		"a body that breaks": {func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "9999")
			w.WriteHeader(200)
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, 2, backoff[:2], nil},
		"a storage that is ill": {func(w http.ResponseWriter) {
			w.Header().Set("Location", "https://ill.example.com/")
			w.WriteHeader(307)
		}, 2, backoff[:2], nil},
	} {
		t.Run(name, func(t *testing.T) {
			times := test.times
			f.slept = nil
			f.HTTPS("ill.example.com", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }))
			f.HTTPS(host, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if times--; times >= 0 {
					test.first(w)
					return
				}
				f.inner.ServeHTTP(w, r)
			}))
			c := f.client(egress.Rules{})
			defer c.Close()
			_, err := c.Manifest(t.Context(), repo, "v1")
			if test.kind != nil && !errors.Is(err, test.kind) || test.kind == nil && err != nil || fmt.Sprint(f.sleeps()) != fmt.Sprint(test.slept) {
				t.Errorf("%v after %v", err, f.sleeps())
			}
			var e *client.Error
			if errors.As(err, &e) && (len(e.Evidence.Hops) != len(test.slept)+1 || strings.HasPrefix(name, "429 for hours") && e.RetryAfter != 6*time.Hour) {
				t.Errorf("%d hops, %v", len(e.Evidence.Hops), e.RetryAfter)
			}
		})
	}
}

func TestRetryAfterDates(t *testing.T) {
	f := newFixture(t)
	asked := 0
	f.HTTPS(host, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked == 1 {
			w.Header().Set("Retry-After", f.now.Add(20*time.Second).Format(http.TimeFormat))
			w.WriteHeader(429)
			return
		}
		f.inner.ServeHTTP(w, r)
	}))
	if _, err := f.client(egress.Rules{}).Manifest(t.Context(), repo, "v1"); err != nil || fmt.Sprint(f.sleeps()) != "[20s]" {
		t.Errorf("%v after %v", err, f.sleeps())
	}
}

// Names are checked before they become a part of an address.
func TestNamesAreChecked(t *testing.T) {
	f := newFixture(t)
	server := f.HTTPS(host, f.inner)
	c := f.client(egress.Rules{})
	for _, name := range []string{"", "../x", "a/../b", "A/b", "a//b", "a?b", "a#b", "a/", "a%2fb", strings.Repeat("a", 256)} {
		if _, err := c.Manifest(t.Context(), name, "v1"); !errors.Is(err, oci.ErrNameInvalid) {
			t.Errorf("%q: %v", name, err)
		}
		if _, err := c.Resolve(t.Context(), name, "v1"); !errors.Is(err, oci.ErrNameInvalid) {
			t.Errorf("%q: %v", name, err)
		}
		if _, err := c.Blob(t.Context(), name, f.blob, 0, -1); !errors.Is(err, oci.ErrNameInvalid) {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, reference := range []string{"", "-x", "a/b", "../x", "v1?", "sha256:x", "sha256:../../x", "md5:" + strings.Repeat("a", 32)} {
		_, err := c.Manifest(t.Context(), repo, reference)
		if !errors.Is(err, oci.ErrTagInvalid) && !errors.Is(err, oci.ErrDigestInvalid) {
			t.Errorf("%q: %v", reference, err)
		}
		if _, err := c.Blob(t.Context(), repo, digest.Digest(reference), 0, -1); !errors.Is(err, oci.ErrDigestInvalid) {
			t.Errorf("%q: %v", reference, err)
		}
	}
	if server.Received() != "" {
		t.Error("something was asked")
	}
}

func TestUnknownHostsAndRules(t *testing.T) {
	for _, rules := range []egress.Rules{{}, {Host: "a b"}, {Host: "r.example.com", CA: "x"}, {Host: "r.example.com", PrivateNetworks: []string{"x"}}} {
		if _, err := client.New(client.Config{Rules: rules}); err == nil {
			t.Errorf("%+v", rules)
		}
	}
	f := newFixture(t)
	_, err := f.client(egress.Rules{Host: "missing.example.com"}, login(marker, "missing.example.com")).Manifest(t.Context(), repo, "v1")
	if !errors.Is(err, oci.ErrUnavailable) || !errors.Is(err, egress.ErrDNS) || client.Refused(err) {
		t.Errorf("%v", err)
	}
	f.Name("rebound.example.com", "169.254.169.254")
	_, err = f.client(egress.Rules{Host: "rebound.example.com"}).Manifest(t.Context(), repo, "v1")
	var e *egress.Error
	if !errors.As(err, &e) || e.Rule != egress.RuleMetadata || errors.Is(err, oci.ErrUnavailable) {
		t.Errorf("%v", err)
	}
}
