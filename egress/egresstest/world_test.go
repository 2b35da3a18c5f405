package egresstest_test

import (
	"encoding/base64"
	"net/url"
	"testing"

	"pierhead.dev/pierhead/egress/egresstest"
)

// A search that finds nothing proves something only if it finds what is there.
func TestContainsFindsEveryForm(t *testing.T) {
	const secret = "hunter2+Marker/ü?"
	for name, text := range map[string]string{
		"raw": "x" + secret + "y", "query": url.QueryEscape(secret), "path": url.PathEscape(secret),
		"base64, 0": base64.StdEncoding.EncodeToString([]byte(secret)), "base64, 1": base64.StdEncoding.EncodeToString([]byte("a" + secret + "b")),
		"base64, 2": base64.StdEncoding.EncodeToString([]byte("ci" + secret)), "base64, 3": base64.StdEncoding.EncodeToString([]byte("ci:" + secret)),
		"base64url": base64.RawURLEncoding.EncodeToString([]byte("user:" + secret)),
		"escaped":   url.QueryEscape(base64.StdEncoding.EncodeToString([]byte("user:" + secret))),
	} {
		if !egresstest.Contains("before "+text+" after", secret) {
			t.Errorf("%s: not found in %s", name, text)
		}
	}
	if egresstest.Contains("hunter3+Marker/ü? aHVudGVyMytNYXJrZXI=", secret) {
		t.Error("found where it is not")
	}
}
