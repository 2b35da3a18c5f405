package egress_test

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pierhead.dev/pierhead/egress"
	"pierhead.dev/pierhead/egress/egresstest"
)

func pemOf(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

func read(r *egress.Response) string {
	body, _ := io.ReadAll(r.Body)
	r.Body.Close()
	return string(body)
}

func TestP1EvidenceOfEveryHop(t *testing.T) {
	w := egresstest.New(t)
	w.HTTPS("r.example.com", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "https://blobs.example.com/data?X-Amz-Signature="+marker+"&n=1#frag")
		w.WriteHeader(307)
	}))
	w.HTTPS("blobs.example.com", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
		h.Set("WWW-Authenticate", `Bearer realm="https://auth.example.com/token?x=`+marker+`",service="s"`)
		h.Set("Retry-After", "7")
		h.Set("Ratelimit-Remaining", "3;w=21600")
		h.Set("Set-Cookie", "session="+marker)
		w.WriteHeader(403)
		fmt.Fprint(w, "<Error>no\x1b[31m\r\n\u202eaccess\xff</Error>", strings.Repeat("x", 10<<10))
	}))
	c := newClient(t, w, egress.Rules{Host: "r.example.com"})
	r, err := get(t, c, "https://r.example.com/v2/a/blobs/sha256:1?ns=x&token="+url.QueryEscape(marker))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Evidence.Hops) != 2 || r.Status != 403 || !r.Foreign {
		t.Fatalf("%+v", r)
	}
	first, last := r.Evidence.Hops[0], r.Evidence.Last()
	if first.Method != "GET" || first.Scheme != "https" || first.Host != "r.example.com" || first.Path != "/v2/a/blobs/sha256:1" || fmt.Sprint(first.Query) != "[ns token]" || !first.Authorized || first.Status != 307 {
		t.Errorf("%+v", first)
	}
	if first.Header.Get("Location") != "https://blobs.example.com/data?…" || first.Address != w.Address("r.example.com")+":443" || first.Connected <= 0 || first.FirstByte < first.Connected || first.Total < first.FirstByte {
		t.Errorf("%+v", first)
	}
	if last.Host != "blobs.example.com" || last.Authorized || last.Status != 403 || last.Header.Get("Retry-After") != "7" || last.Header.Get("Ratelimit-Remaining") == "" || last.Header.Get("Set-Cookie") != "" ||
		last.Header.Get("WWW-Authenticate") != `Bearer realm="https://auth.example.com/token?…",service="s"` {
		t.Errorf("%+v", last)
	}
	if last.Clock > -59*time.Minute || last.Clock < -61*time.Minute {
		t.Errorf("clock %v", last.Clock)
	}
	if !strings.HasPrefix(last.Body, "<Error>no [31m   access </Error>xxx") || len(last.Body) != 4<<10 || !utf8.ValidString(last.Body) {
		t.Errorf("body %.200q", last.Body)
	}
	if text, _ := json.Marshal(r.Evidence); egresstest.Contains(string(text), marker) {
		t.Errorf("a secret is in the evidence: %s", text)
	}
}

// A server, or a proxy on the way, that sends back what it was sent.
func TestP18EchoedCredentialsAreHidden(t *testing.T) {
	w := egresstest.New(t)
	w.HTTPS("r.example.com", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Warning", r.Header.Get("Authorization"))
		w.Header().Set("Docker-Content-Digest", marker)
		w.WriteHeader(401)
		text, _ := json.Marshal(map[string]string{"got": r.Header.Get("Authorization") + " " + string(body), "password": marker, "escaped": url.QueryEscape(marker)})
		_, _ = w.Write(text)
	}))
	c := newClient(t, w, egress.Rules{Host: "r.example.com"})
	basic := base64.StdEncoding.EncodeToString([]byte("ci:" + marker))
	form := url.Values{"refresh_token": {marker}}.Encode()
	for name, request := range map[string]egress.Request{
		"basic":  {Authorization: "Basic " + basic},
		"bearer": {Authorization: "Bearer " + marker},
		"form":   {SecretBody: true, Secrets: []string{marker}, Length: int64(len(form)), Body: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(form)), nil }},
	} {
		request.Method, request.URL = http.MethodPost, address(t, "https://r.example.com/"+marker+"?"+form)
		r, err := c.Do(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		evidence, _ := json.Marshal(r.Evidence)
		if text := read(r) + string(evidence); egresstest.Contains(text, marker) || strings.Contains(text, basic) || !strings.Contains(text, "[hidden]") {
			t.Errorf("%s: %s", name, text)
		}
	}
}

func TestEvidenceIsBounded(t *testing.T) {
	var e egress.Evidence
	for i := range 100 {
		e = e.Append(egress.Evidence{Hops: []egress.Hop{{Status: i}}})
	}
	if len(e.Hops) != 24 || e.Hops[0].Status != 0 || e.Last().Status != 99 || e.Hops[1].Status != 77 {
		t.Errorf("%d hops, %d, %d, %d", len(e.Hops), e.Hops[0].Status, e.Hops[1].Status, e.Last().Status)
	}
	if (egress.Evidence{}).Last().Status != 0 {
		t.Error("the last of none")
	}
}

// Foreign text is printable, bounded and UTF-8.
func FuzzClean(f *testing.F) {
	f.Add("a\x1b[31mb\u2028\u202e\xff", 5)
	f.Add("äöü", 3)
	f.Fuzz(func(t *testing.T, text string, most int) {
		if most < 0 || most > 1<<16 {
			return
		}
		got := egress.Clean(text, most)
		if len(got) > most || !utf8.ValidString(got) || strings.ContainsAny(got, "\x00\x1b\r\n\u2028\u202e\u200b") || got != egress.Clean(got, most) {
			t.Errorf("%q", got)
		}
	})
}
