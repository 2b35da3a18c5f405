package server

import (
	"errors"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead/oci"
)

func TestParse(t *testing.T) {
	d := digest.FromString("x")
	s := digest.SHA512.FromString("x")
	for _, test := range []struct {
		method, target string
		want           Request // but for Query
	}{
		{"GET", "/v2/", Request{Kind: KindPing}},
		{"GET", "/v2/_catalog?n=1", Request{Kind: KindCatalog}},
		{"HEAD", "/v2/a/manifests/v1", Request{Kind: KindManifest, Repository: "a", Reference: "v1", Tags: []string{"v1"}}},
		{"GET", "/v2/a/b/c/manifests/" + d.String(), Request{Kind: KindManifest, Repository: "a/b/c", Reference: d.String(), Digest: d}},
		{"PUT", "/v2/a/manifests/" + s.String() + "?tag=x&tag=y", Request{Kind: KindManifestPut, Repository: "a", Reference: s.String(), Digest: s, Tags: []string{"x", "y"}}},
		{"DELETE", "/v2/a/manifests/v1", Request{Kind: KindTagDelete, Repository: "a", Reference: "v1", Tags: []string{"v1"}}},
		{"DELETE", "/v2/a/manifests/" + d.String(), Request{Kind: KindManifestDelete, Repository: "a", Reference: d.String(), Digest: d}},
		{"GET", "/v2/127.0.0.1_5000/a/blobs/" + d.String(), Request{Kind: KindBlob, Repository: "127.0.0.1_5000/a", Digest: d}},
		{"POST", "/v2/a/blobs/uploads", Request{Kind: KindUploadStart, Repository: "a"}},
		{"POST", "/v2/a/blobs/uploads/?digest-algorithm=sha512", Request{Kind: KindUploadStart, Repository: "a", Algorithm: digest.SHA512}},
		{"POST", "/v2/a/blobs/uploads/?digest=" + d.String(), Request{Kind: KindUploadStart, Repository: "a", Digest: d, Algorithm: digest.SHA256}},
		{"POST", "/v2/a/blobs/uploads/?mount=" + d.String() + "&from=b/c", Request{Kind: KindMount, Repository: "a", Digest: d, From: "b/c"}},
		{"PATCH", "/v2/a/blobs/uploads/ID", Request{Kind: KindUploadAppend, Repository: "a", UploadID: "ID"}},
		{"PUT", "/v2/a/blobs/uploads/ID?digest=" + d.String(), Request{Kind: KindUploadFinish, Repository: "a", UploadID: "ID", Digest: d}},
		{"GET", "/v2/a/tags/list", Request{Kind: KindTags, Repository: "a"}},
		{"GET", "/v2/a/referrers/" + d.String(), Request{Kind: KindReferrers, Repository: "a", Digest: d}},
		// Repositories may have names like the API's own words.
		{"GET", "/v2/manifests/blobs/uploads/manifests/tags", Request{Kind: KindManifest, Repository: "manifests/blobs/uploads", Reference: "tags", Tags: []string{"tags"}}},
		{"GET", "/v2/tags/list/tags/list", Request{Kind: KindTags, Repository: "tags/list"}},
		{"POST", "/v2/blobs/uploads/blobs/uploads/", Request{Kind: KindUploadStart, Repository: "blobs/uploads"}},
	} {
		u, err := url.Parse(test.target)
		if err != nil {
			t.Fatal(err)
		}
		got, err := parse(test.method, u)
		got.Query = nil
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s %s: %+v, %v; want %+v", test.method, test.target, got, err, test.want)
		}
	}
}

// Every kind has a handler, and every handler a kind that a method leads to.
func TestTablesAgree(t *testing.T) {
	reached := map[Kind]bool{KindMount: true, KindTagDelete: true} // by what the request says, not by its method
	for _, methods := range kinds {
		for _, kind := range methods {
			reached[kind] = true
		}
	}
	for kind := range reached {
		if handlers[kind] == nil {
			t.Errorf("%s has no handler", kind)
		}
	}
	for kind := range handlers {
		if !reached[kind] {
			t.Errorf("nothing leads to %s", kind)
		}
	}
}

// What is parsed is well-formed, whatever was asked, and says where it came from.
func FuzzParse(f *testing.F) {
	d := digest.FromString("x").String()
	for _, target := range []string{"/v2/", "/v2/a/manifests/v1", "/v2/a/blobs/" + d, "/v2/a/blobs/uploads/?mount=" + d + "&from=b", "/v2/a/blobs/uploads/x?digest=" + d,
		"/v2/../../etc/manifests/x", "/v2/a%2F..%2Fb/manifests/v1", "/v2/a/referrers/" + d + "?artifactType=x", "/v2//manifests/v1", "/v2/a/tags/list?n=-1"} {
		for _, method := range []string{"GET", "PUT", "POST", "PATCH", "DELETE"} {
			f.Add(method, target)
		}
	}
	f.Fuzz(func(t *testing.T, method, target string) {
		u, err := url.Parse(target)
		if err != nil {
			return // no request has it
		}
		q, err := parse(method, u)
		var known *oci.Error
		if err != nil {
			if !errors.As(err, &known) {
				t.Fatalf("%s %s: %v is no error of the API", method, target, err)
			}
			return
		}
		if handlers[q.Kind] == nil {
			t.Fatalf("%s %s: kind %q", method, target, q.Kind)
		}
		if q.Kind != KindPing && q.Kind != KindCatalog && (!oci.ValidRepository(q.Repository) || !strings.Contains(u.Path, q.Repository)) {
			t.Errorf("%s %s: repository %q", method, target, q.Repository)
		}
		if q.Digest != "" && q.Digest.Validate() != nil || q.From != "" && !oci.ValidRepository(q.From) || !validUploadID(q.UploadID) {
			t.Errorf("%s %s: %+v", method, target, q)
		}
		for _, tag := range q.Tags {
			if !oci.ValidTag(tag) {
				t.Errorf("%s %s: tag %q", method, target, tag)
			}
		}
		for _, need := range q.Needs() {
			if q.Kind != KindCatalog && need.Name != q.Repository {
				t.Errorf("%s %s needs %+v", method, target, need)
			}
		}
	})
}

func FuzzParseRange(f *testing.F) {
	for _, header := range []string{"", "bytes=0-", "bytes=0-0", "bytes=-1", "bytes=5-3", "bytes=1-2,3-4", "bytes=99999999999999999999-", "lines=1-2", "bytes=-0", "bytes= 1-2", "bytes=+1-2"} {
		f.Add(header, int64(10))
	}
	f.Fuzz(func(t *testing.T, header string, size int64) {
		if size < 0 {
			size = -(size + 1)
		}
		offset, length, partial, err := parseRange(header, size)
		if err != nil {
			if !errors.Is(err, oci.ErrRangeInvalid) {
				t.Fatal(err)
			}
			return
		}
		if offset < 0 || length < 0 || offset > size || length > size-offset {
			t.Fatalf("%q of %d: %d bytes from %d", header, size, length, offset)
		}
		if !partial {
			if offset != 0 || length != size {
				t.Errorf("%q of %d: %d bytes from %d, and not a part", header, size, length, offset)
			}
			return
		}
		again := "bytes=" + strconv.FormatInt(offset, 10) + "-" + strconv.FormatInt(offset+length-1, 10)
		if size >= 1e18 {
			return // longer than any header that is read
		}
		if o, l, p, err := parseRange(again, size); err != nil || !p || o != offset || l != length {
			t.Errorf("%q of %d is %q, which is %d bytes from %d, %v", header, size, again, l, o, err)
		}
	})
}

func FuzzParseContentRange(f *testing.F) {
	for _, header := range []string{"", "0-0", "0-99", "bytes 0-99/100", "bytes=0-99", "5-3", "-", "-1-2", "1-", "99999999999999999999-1", "0-99/*"} {
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		offset, length, err := parseContentRange(header)
		if err != nil {
			if !errors.Is(err, oci.ErrRangeInvalid) {
				t.Fatal(err)
			}
			return
		}
		if header == "" {
			if offset != -1 || length != -1 {
				t.Errorf("no header is %d bytes from %d", length, offset)
			}
			return
		}
		if offset < 0 || length <= 0 || offset+length <= 0 {
			t.Fatalf("%q: %d bytes from %d", header, length, offset)
		}
		again := strconv.FormatInt(offset, 10) + "-" + strconv.FormatInt(offset+length-1, 10)
		if o, l, err := parseContentRange(again); err != nil || o != offset || l != length {
			t.Errorf("%q is %q, which is %d bytes from %d, %v", header, again, l, o, err)
		}
	})
}

func TestWants(t *testing.T) {
	d := digest.FromString("x").String()
	for _, test := range []struct{ method, target, want string }{
		{http.MethodGet, "/v2/", ""},
		{http.MethodGet, "/v2/a/manifests/v1", "repository:a:pull"},
		{http.MethodPut, "/v2/a/manifests/v1", "repository:a:pull,push"},
		{http.MethodDelete, "/v2/a/manifests/v1", "repository:a:pull,delete"},
		{http.MethodPost, "/v2/a/blobs/uploads/", "repository:a:pull,push"},
		{http.MethodPost, "/v2/a/blobs/uploads/?from=b&mount=" + d, "repository:a:pull,push repository:b:pull"},
		{http.MethodGet, "/v2/_catalog", "registry:catalog:*"},
	} {
		u, err := url.Parse(test.target)
		if err != nil {
			t.Fatal(err)
		}
		q, err := parse(test.method, u)
		if err != nil {
			t.Fatal(err)
		}
		var scopes []string
		for _, access := range q.Wants() {
			scopes = append(scopes, describe(access))
		}
		if got := strings.Join(scopes, " "); got != test.want {
			t.Errorf("%s %s: %q, want %q", test.method, test.target, got, test.want)
		}
	}
}
