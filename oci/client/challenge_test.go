package client

import (
	"reflect"
	"strings"
	"testing"
)

func show(cs []challenge) []string {
	var out []string
	for _, c := range cs {
		text := c.scheme
		if c.parameters != "" {
			text += " " + strings.ReplaceAll(c.parameters, separator, "|")
		}
		out = append(out, text)
	}
	return out
}

// FACTS B3.
func TestChallenges(t *testing.T) {
	for _, test := range []struct {
		lines []string
		want  []string
	}{
		{[]string{`Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push registry:catalog:*"`},
			[]string{"bearer realm|https://auth.docker.io/token|service|registry.docker.io|scope|repository:a/b:pull,push registry:catalog:*"}},
		{[]string{`bEaReR Realm=x , SERVICE = "y"`}, []string{"bearer realm|x|service|y"}},
		{[]string{`Bearer realm="https://codeberg.org/v2/token",service="container_registry",scope="*",Basic realm="https://codeberg.org/v2",service="container_registry"`},
			[]string{"bearer realm|https://codeberg.org/v2/token|service|container_registry|scope|*", "basic realm|https://codeberg.org/v2|service|container_registry"}},
		{[]string{"Negotiate", "Negotiate YII/+Zz==", `Basic realm="a \"quoted\" \\ thing, here"`}, []string{"negotiate", "negotiate", `basic realm|a "quoted" \ thing, here`}},
		{[]string{`Negotiate YII=, Bearer realm="r"`, `NTLM, Basic`}, []string{"negotiate", "bearer realm|r", "ntlm", "basic"}},
		{[]string{`Basic realm=https://x.example.com/path?a=b,service=s`}, []string{"basic realm|https://x.example.com/path?a=b|service|s"}},
		{[]string{` , ,Basic realm="a",,, Bearer realm="b" ,`}, []string{"basic realm|a", "bearer realm|b"}},
		{[]string{`Basic realm=""`}, []string{"basic realm|"}},
		{[]string{`Basic`, ``, `,`}, []string{"basic"}},
		// What cannot be read is left out with the rest of its line.
		{[]string{`Basic realm="a", Bearer realm="no end`, `Basic realm="b"`}, []string{"basic realm|a", "basic realm|b"}},
		{[]string{`Bearer realm="a",realm="b"`}, nil},
		{[]string{`Bearer realm=`}, []string{"bearer"}}, // has the form of "Negotiate YII=", and no realm
		{[]string{`="x"`, `"x"`, `Bearer/ realm="x"`, "Bearer realm=\"a\x00b\""}, nil},
		{[]string{`Bearer realm="` + strings.Repeat("a", 17<<10) + `"`, "Basic"}, nil},
	} {
		if got := show(parseChallenges(test.lines)); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%.200q:\n got %q\nwant %q", test.lines, got, test.want)
		}
	}
}

func TestScopes(t *testing.T) {
	p := purpose{"acme/app", "pull"}
	for text, want := range map[string]string{
		`Bearer realm="x"`: "repository:acme/app:pull", `Bearer scope="b a b"`: "a b", `Bearer scope=" "`: "repository:acme/app:pull",
	} {
		if got := strings.Join(parseChallenges([]string{text})[0].scopes(p), " "); got != want {
			t.Errorf("%s: %s", text, got)
		}
	}
	if got := newChallenge("bearer", nil).scopes(purpose{}); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

// What is read prints in a form that is read the same way, and the reader ends.
func FuzzChallenges(f *testing.F) {
	f.Add(`Bearer realm="https://a/b",service="c", Basic realm="x\"y"`, "Negotiate abc==")
	f.Add(`Basic realm=a b=c`, `Bearer a = "b" , c=d,E f="g"`)
	f.Fuzz(func(t *testing.T, first, second string) {
		got := parseChallenges([]string{first, second})
		var lines []string
		for _, c := range got {
			if c.scheme == "" || c.scheme != strings.ToLower(c.scheme) {
				t.Errorf("scheme %q", c.scheme)
			}
			line := c.scheme
			fields := strings.Split(c.parameters, separator)
			for i := 0; i+1 < len(fields); i += 2 {
				line += " " + fields[i] + `="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(fields[i+1]) + `",`
			}
			lines = append(lines, strings.TrimSuffix(line, ","))
		}
		total := 0
		for _, line := range lines {
			total += len(line)
		}
		if again := parseChallenges(lines); total <= maxChallengeBytes && !reflect.DeepEqual(show(again), show(got)) {
			t.Errorf("%q, then %q, from %q", show(got), show(again), lines)
		}
	})
}
