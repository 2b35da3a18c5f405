package google

import (
	"net/http"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// FuzzAnswer feeds what a server may say: what is told of it is short, one line, printable, and has no long run in it
// that could be a token.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{`{"error":"invalid_grant","error_description":"Invalid JWT Signature."}`, `{"error":{"status":"PERMISSION_DENIED","message":"no","details":[{"reason":"X"}]}}`,
		"Unable to generate access token", `{"error":"` + strings.Repeat("a", 5000) + `"}`, "\x1b[2J\xff", strings.Repeat("ü ", 400), `{"error":{"message":1}}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		a := newAnswer("oauth2.googleapis.com", &http.Response{StatusCode: 400, Header: http.Header{"Content-Type": {"text/plain; charset=utf-8"}}}, []byte(body))
		text := a.Error()
		switch {
		case len(text) > 3*(mostText+10):
			t.Errorf("%d bytes", len(text))
		case !utf8.ValidString(text), strings.ContainsFunc(text, unicode.IsControl):
			t.Errorf("%q", text)
		case opaque.MatchString(text):
			t.Errorf("a long run in %q", text)
		}
	})
}
