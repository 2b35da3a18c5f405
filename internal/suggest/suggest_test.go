package suggest

import "testing"

func TestNearest(t *testing.T) {
	known := []string{"name", "match", "credential", "when_refused", "plain_http"}
	for word, want := range map[string]string{
		"nmae": "name", "Name": "name", "credentails": "credential", "whenrefused": "when_refused", "plain-http": "plain_http", "realm": "", "": "", "x": "",
	} {
		if got := Nearest(word, known); got != want {
			t.Errorf("%q: %q, not %q", word, got, want)
		}
	}
}
