package client_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead/egress"
	"pierhead.dev/pierhead/oci"
	"pierhead.dev/pierhead/oci/client"
)

// A push to go-containerregistry's registry behind tokens, whose scope is for pushing.
func TestPush(t *testing.T) {
	f := newFixture(t)
	i := &issuer{realm: "https://" + host + "/token", password: is(marker)}
	f.HTTPS(host, withToken(i, f.inner))
	c := f.client(egress.Rules{}, login(marker))
	content := bytes.Repeat([]byte("pushed\n"), 10000)
	d := oci.Descriptor{Digest: digest.FromBytes(content), Size: int64(len(content))}
	opened := 0
	open := func() (io.ReadCloser, error) { opened++; return io.NopCloser(bytes.NewReader(content)), nil }
	for range 2 { // the second time it is there
		if err := c.PushBlob(t.Context(), repo, d, open); err != nil {
			t.Fatal(err)
		}
	}
	if opened != 1 {
		t.Errorf("opened %d times", opened)
	}
	if got, err := blob(t, c, d.Digest, 0, -1); err != nil || got != string(content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	m := oci.Manifest{MediaType: "application/vnd.oci.image.manifest.v1+json", Content: f.manifest}
	pushed, err := c.PutManifest(t.Context(), repo, m, []string{"new", "newer"})
	if err != nil || pushed.Digest != f.digest {
		t.Errorf("%+v, %v", pushed, err)
	}
	if got, err := c.Resolve(t.Context(), repo, "newer"); err != nil || got.Digest != f.digest {
		t.Errorf("%+v, %v", got, err)
	}
	f.nobodyElse(marker, host)
}

// A login that ends in the middle of a push: what can be read again is sent again.
func TestP3PushWithRenewal(t *testing.T) {
	f := newFixture(t)
	passwords := []string{"old"}
	f.HTTPS(host, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut || r.Method == http.MethodPatch {
			passwords = []string{"new"}
		}
		basic(f.inner, passwords...).ServeHTTP(w, r)
	}))
	content := []byte("something to push")
	d := digest.FromBytes(content)
	if err := f.client(egress.Rules{}, login("old"), login("new")).PushBlob(t.Context(), repo, oci.Descriptor{Digest: d, Size: int64(len(content))}, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }); err != nil {
		t.Error(err)
	}
	for name, reader := range map[string]io.Reader{"rewound": bytes.NewReader(content), "read once": io.LimitReader(bytes.NewReader(content), 100)} {
		passwords = []string{"old"}
		c := f.client(egress.Rules{}, login("old"), login("new"))
		u, err := c.StartUpload(t.Context(), repo, "")
		if err != nil {
			t.Fatal(err)
		}
		_, err = u.Append(t.Context(), 0, reader)
		if name == "read once" {
			if err == nil {
				t.Errorf("%s: it was sent again", name)
			}
			continue
		}
		if err == nil {
			_, err = u.Finish(t.Context(), d)
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// GHSA-qvqc-4c52-x6qp and its like: an upload that is sent elsewhere takes no login along.
func TestP18UploadsElsewhere(t *testing.T) {
	f := newFixture(t)
	content := []byte("something to push")
	d := oci.Descriptor{Digest: digest.FromBytes(content), Size: int64(len(content))}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
	var finished string
	storage := f.HTTPS("storage.example.com", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		finished = r.Method + " " + r.URL.String()
		if strings.HasPrefix(r.URL.Path, "/deny") {
			challenging(bearerAt("https://storage.example.com/steal")+`, Basic realm="x"`).ServeHTTP(w, r)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(201)
	}))
	location := ""
	f.HTTPS(host, basic(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			w.WriteHeader(404)
			return
		}
		w.Header().Set("Location", location)
		w.WriteHeader(202)
	}), marker))
	c := f.client(egress.Rules{}, login(marker))
	location = "https://storage.example.com/up?sig=a%2Fb&x"
	if err := c.PushBlob(t.Context(), repo, d, open); err != nil || finished != "PUT /up?sig=a%2Fb&x&digest=sha256%3A"+d.Digest.Encoded() {
		t.Errorf("%s: %v", finished, err)
	}
	location = "https://storage.example.com/deny"
	err := c.PushBlob(t.Context(), repo, d, open)
	var e *client.Error
	if !errors.As(err, &e) || client.Refused(err) || e.Place != client.PlaceStorage || e.Login {
		t.Errorf("%v", err)
	}
	for _, bad := range []string{"", "http://storage.example.com/", "https://127.0.0.1/", "https://169.254.169.254/x", "ftp://x/", "https://ci:x@storage.example.com/", "%zz"} {
		location = bad
		if err := c.PushBlob(t.Context(), repo, d, open); err == nil || client.Refused(err) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if storage.Knows(marker) {
		t.Error("the storage was sent the login")
	}
	f.nobodyElse(marker, host)
}

func TestP18ListsThatGoOnElsewhere(t *testing.T) {
	f := newFixture(t)
	link := ""
	evil := f.HTTPS("evil.com", everything)
	f.HTTPS(host, basic(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("last") == "" {
			w.Header().Set("Link", link)
		}
		answer(w, 200, `{"name":"x","tags":["b","a"],"repositories":["r"],"manifests":[]}`)
	}), marker))
	c := f.client(egress.Rules{}, login(marker))
	for _, bad := range []string{`<https://evil.com/v2/x?last=a>; rel="next"`, `<//evil.com/x>; rel=next`, `<http://` + host + `/x?last=b>; rel="next"`, `<https://` + host + `:8443/>; rel="next"`, `<https://u@` + host + `/>; rel="next"`, `</a>; rel=prev, <https://evil.com/>; REL="last next"`} {
		link = bad
		_, err := c.Tags(t.Context(), repo, oci.Page{N: oci.All})
		_, err2 := c.Repositories(t.Context(), oci.Page{N: oci.All})
		_, err3 := c.Referrers(t.Context(), repo, f.digest, oci.ReferrerFilter{})
		for _, err := range []error{err, err2, err3} {
			if err == nil || client.Refused(err) {
				t.Errorf("%s: %v", bad, err)
			}
		}
	}
	for _, good := range []string{`</v2/x/tags/list?last=b>; rel="next"`, `<?last=b>;rel=next`, `<https://` + host + `/v2/?last=b>; foo=bar; rel="next"`, `<https://evil.com/>; rel="prev"`, `nonsense`, `<no end`} {
		link = good
		list, err := c.Tags(t.Context(), repo, oci.Page{N: oci.All})
		if err != nil || fmt.Sprint(list) != "{[a b] false}" {
			t.Errorf("%s: %v, %v", good, list, err)
		}
	}
	link = `<?n=1>; rel="next"` // without end
	if _, err := c.Tags(t.Context(), repo, oci.Page{N: 1}); err != nil {
		t.Error(err)
	}
	if evil.Received() != "" {
		t.Error("evil.com was asked")
	}
}

// Where the list of referrers is missing, clients keep one under a tag.
func TestReferrersTag(t *testing.T) {
	f := newFixture(t)
	f.HTTPS(host, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/referrers/") {
			answer(w, 404, "404 page not found")
			return
		}
		f.inner.ServeHTTP(w, r)
	}))
	c := f.client(egress.Rules{})
	if found, err := c.Referrers(t.Context(), repo, f.digest, oci.ReferrerFilter{}); err != nil || len(found.Referrers) > 0 {
		t.Errorf("%+v, %v", found, err)
	}
	index := fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":%q,"size":%d,"artifactType":"application/sbom"}]}`, f.digest, len(f.manifest))
	f.local("PUT", "/v2/"+repo+"/manifests/"+strings.Replace(f.digest.String(), ":", "-", 1), index, "application/vnd.oci.image.index.v1+json")
	found, err := c.Referrers(t.Context(), repo, f.digest, oci.ReferrerFilter{ArtifactType: "application/sbom"})
	if err != nil || len(found.Referrers) != 1 || !found.Filtered {
		t.Errorf("%+v, %v", found, err)
	}
	found, err = c.Referrers(t.Context(), repo, f.digest, oci.ReferrerFilter{ArtifactType: "application/other"})
	if err != nil || len(found.Referrers) != 0 {
		t.Errorf("%+v, %v", found, err)
	}
}
