package credential_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pierhead.dev/pierhead/credential"
)

const password = "correct-horse-battery"

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func sample() credential.Credential {
	return credential.New("alice", password, noon, []string{"example.com:5000", "docker.io", "docker.io"})
}

func TestFaces(t *testing.T) {
	c := sample()
	if c.Username() != "alice" || c.Password() != password || !c.Expires().Equal(noon) || c.Empty() {
		t.Errorf("%v", c)
	}
	if want := []string{"docker.io", "example.com:5000"}; !slices.Equal(c.Hosts(), want) {
		t.Errorf("hosts %q", c.Hosts())
	}
	c.Hosts()[0] = "evil.com"
	hosts := []string{"b", "a"}
	other := credential.New("u", "p", time.Time{}, hosts)
	hosts[0] = "evil.com"
	if c.For("evil.com") || other.For("evil.com") {
		t.Error("the hosts can be changed from outside")
	}
	var empty credential.Credential
	if !empty.Empty() || empty.Password() != "" || empty.For("") || empty.ID() != "" || empty.Expired(noon) || empty.String() != "no credential" {
		t.Error("the empty credential")
	}
}

func TestForIsExact(t *testing.T) {
	c := sample()
	for _, host := range []string{"docker.io", "example.com:5000"} {
		if !c.For(host) {
			t.Errorf("not for %s", host)
		}
	}
	for _, host := range []string{"", "example.com", "example.com:5001", "example.com:50000", "xexample.com:5000", "evil.docker.io", "docker.io.evil.com", "Docker.io", "docker.io.", "docker.io/", "https://docker.io", "index.docker.io"} {
		if c.For(host) {
			t.Errorf("for %s", host)
		}
	}
}

func TestExpiryAndRenewal(t *testing.T) {
	c := sample()
	if c.Expired(noon.Add(-time.Nanosecond)) || !c.Expired(noon) || !c.Expired(noon.Add(time.Hour)) {
		t.Error("Expired")
	}
	obtained := noon.Add(-10 * time.Hour)
	for jitter, want := range map[float64]time.Duration{0: 5 * time.Hour, 0.5: 4*time.Hour + 30*time.Minute, 1: 4 * time.Hour, -3: 5 * time.Hour, 7: 4 * time.Hour} {
		if got := c.RenewAt(obtained, jitter).Sub(obtained); got != want {
			t.Errorf("jitter %v: after %v, want %v", jitter, got, want)
		}
	}
	if got := c.RenewAt(noon.Add(time.Hour), 0.5); !got.Equal(noon.Add(time.Hour)) {
		t.Errorf("got %v", got)
	}
	forever := credential.New("u", "p", time.Time{}, []string{"a"})
	if !forever.RenewAt(noon, 0.5).IsZero() || forever.Expired(noon) {
		t.Error("it never expires")
	}
}

func TestIDTellsLoginsApartAndNothingElse(t *testing.T) {
	c := sample()
	if c.ID() != sample().ID() || len(c.ID()) != 32 {
		t.Errorf("%s, %s", c.ID(), sample().ID())
	}
	ids := map[string]string{c.ID(): "itself"}
	for what, other := range map[string]credential.Credential{
		"user":    credential.New("alicf", password, noon, c.Hosts()),
		"pass":    credential.New("alice", password+"x", noon, c.Hosts()),
		"hosts":   credential.New("alice", password, noon, []string{"docker.io"}),
		"shifted": credential.New("alicec", password[1:], noon, c.Hosts()),
		"joined":  credential.New("alice", password, noon, []string{"docker.ioexample.com:5000"}),
	} {
		if same, found := ids[other.ID()]; found {
			t.Errorf("%s has the id of %s", what, same)
		}
		ids[other.ID()] = what
	}
	if os.Getenv("PRINT_ID") != "" {
		fmt.Println("id", c.ID())
		return
	}
	again := exec.Command(os.Args[0], "-test.run", "^TestIDTellsLoginsApartAndNothingElse$")
	again.Env = append(os.Environ(), "PRINT_ID=1")
	out, err := again.Output()
	if err != nil || !strings.Contains(string(out), "id ") || strings.Contains(string(out), c.ID()) {
		t.Errorf("another process has the same id: %s, %v", out, err)
	}
}

func TestPasswordIsNotPrinted(t *testing.T) {
	c := sample()
	type hidden struct{ c credential.Credential }
	var out bytes.Buffer
	for what, holder := range map[string]any{"value": c, "pointer": &c, "hidden": hidden{c}, "hidden pointer": &hidden{c}, "slice": []any{c, &c}, "map": map[string]credential.Credential{"a": c}} {
		for verb := rune('A'); verb <= 'z'; verb++ {
			for _, flags := range []string{"", "+", "#", " ", "# "} {
				fmt.Fprintf(&out, "%"+flags+string(verb)+"\n", holder)
			}
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("m", "k", holder)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "k", holder)
		fmt.Fprintln(&out, reflect.ValueOf(holder))
		if what != "hidden" && what != "hidden pointer" {
			if err := json.NewEncoder(&out).Encode(holder); err == nil {
				t.Errorf("json takes a %s", what)
			}
			if err := xml.NewEncoder(&out).Encode(holder); err == nil {
				t.Errorf("xml takes a %s", what)
			}
			if err := gob.NewEncoder(&out).Encode(holder); err == nil {
				t.Errorf("gob takes a %s", what)
			}
		}
	}
	decimal := strings.Trim(fmt.Sprint([]byte(password[:7])), "[]")
	for _, form := range []string{password[:7], decimal, strings.ReplaceAll(decimal, " ", ", "), fmt.Sprintf("%x", password[:7]), fmt.Sprintf("%X", password[:7]), fmt.Sprintf("% x", password[:7])} {
		if strings.Contains(out.String(), form) {
			t.Errorf("%s is in the output", form)
		}
	}
	if want := `login "alice" for docker.io, example.com:5000 until 2026-11-21T12:00:00Z`; c.String() != want {
		t.Errorf("got %s", c)
	}
	if err := json.Unmarshal([]byte(`{}`), &c); err == nil {
		t.Error("a credential came from a message")
	}
}

// A login whose user name is its password is printed without either.
func TestNameThatIsThePassword(t *testing.T) {
	c := credential.New("dop_v1_hunter2", "dop_v1_hunter2", time.Time{}, []string{"registry.digitalocean.com"})
	var logged bytes.Buffer
	slog.New(slog.NewTextHandler(&logged, nil)).Info("login", "c", c)
	if text := fmt.Sprintf("%v %+v %#v %q %s", c, c, c, c, logged.String()); strings.Contains(text, "hunter2") || !strings.Contains(text, "(the password)") {
		t.Error(strings.ReplaceAll(text, "hunter2", "LEAK"))
	}
	if c.Username() != "dop_v1_hunter2" {
		t.Error("the login itself has changed")
	}
}
