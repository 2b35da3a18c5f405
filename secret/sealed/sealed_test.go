package sealed_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pierhead.dev/pierhead/secret"
	"pierhead.dev/pierhead/secret/sealed"
)

const password = "correct-horse-battery"

var binding = sealed.Binding{OrganizationID: "org_1", RegistryID: "reg_1", Type: "generic", Hosts: []string{"docker.io", "example.com:5000"}}

func generate(t testing.TB) sealed.Key {
	t.Helper()
	key, err := sealed.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func seal(t testing.TB, pub sealed.Public) string {
	t.Helper()
	text, err := sealed.Seal(pub, binding, "alice", password)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestSealAndOpen(t *testing.T) {
	old, current := generate(t), generate(t)
	keys := sealed.Keys{current, old} // during a rotation both open
	for _, key := range keys {
		text := seal(t, key.Public())
		if id, err := sealed.KeyID(text); err != nil || id != key.ID() || !strings.HasPrefix(text, "sealed:v1:"+id+":") {
			t.Errorf("%s: id %s, %v", text, id, err)
		}
		value, err := sealed.Open(keys, binding, text)
		if want := `{"username":"alice","password":"` + password + `"}`; err != nil || string(value.Reveal()) != want {
			t.Errorf("got %s, %v", value.Reveal(), err)
		}
	}
	if keys.Current().ID() != current.ID() || !(sealed.Keys{}).Current().IsZero() {
		t.Error("the first key is the current one")
	}
	if first, second := seal(t, current.Public()), seal(t, current.Public()); first == second {
		t.Error("two seals of one login are equal")
	}
}

func TestHostsAreASet(t *testing.T) {
	key := generate(t)
	text := seal(t, key.Public())
	b := binding
	b.Hosts = []string{"example.com:5000", "docker.io", "docker.io"}
	if _, err := sealed.Open(sealed.Keys{key}, b, text); err != nil {
		t.Error(err)
	}
	if b.Hosts[0] != "example.com:5000" {
		t.Error("the caller's hosts were sorted")
	}
}

func TestWrongBinding(t *testing.T) {
	key := generate(t)
	text := seal(t, key.Public())
	for what, change := range map[string]func(*sealed.Binding){
		"organization":   func(b *sealed.Binding) { b.OrganizationID = "org_2" },
		"registry":       func(b *sealed.Binding) { b.RegistryID = "reg_2" },
		"type":           func(b *sealed.Binding) { b.Type = "ecr" },
		"another host":   func(b *sealed.Binding) { b.Hosts = []string{"docker.io", "evil.com"} },
		"one host more":  func(b *sealed.Binding) { b.Hosts = append(slices.Clone(b.Hosts), "evil.com") },
		"one host less":  func(b *sealed.Binding) { b.Hosts = b.Hosts[:1] },
		"hosts in one":   func(b *sealed.Binding) { b.Hosts = []string{"docker.ioexample.com:5000"} },
		"shifted border": func(b *sealed.Binding) { b.OrganizationID, b.RegistryID = "org_1r", "eg_1" },
	} {
		b := binding
		change(&b)
		value, err := sealed.Open(sealed.Keys{key}, b, text)
		if !errors.Is(err, sealed.ErrBinding) || !errors.Is(err, secret.ErrNotAllowed) || !value.Empty() || secret.HintOf(err) == "" || strings.Contains(err.Error(), password) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestWrongKeyIsNamed(t *testing.T) {
	key, other := generate(t), generate(t)
	for _, keys := range []sealed.Keys{nil, {other}, {sealed.Key{}}} {
		_, err := sealed.Open(keys, binding, seal(t, key.Public()))
		if !errors.Is(err, sealed.ErrKey) || !strings.Contains(err.Error(), key.ID()) || !strings.Contains(secret.HintOf(err), "--data-key") {
			t.Errorf("got %v", err)
		}
	}
}

func TestGarbled(t *testing.T) {
	key := generate(t)
	text := seal(t, key.Public())
	encoded := text[strings.LastIndex(text, ":")+1:]
	for _, bad := range []string{"", "x", "sealed:", "sealed:v1:", "sealed:v2" + text[9:], strings.ToUpper(text), "sealed:v1:" + key.ID(), "sealed:v1:" + key.ID() + ":", text[:60],
		text + "=", text + ":", text + "\n", " " + text, strings.Replace(text, encoded, encoded[:40]+"\n"+encoded[40:], 1), strings.Replace(text, encoded, encoded[:9]+"+/"+encoded[9:], 1),
		"sealed:v1:" + strings.Repeat("g", 16) + ":" + encoded, "sealed:v1:" + key.ID() + "0:" + encoded, text + strings.Repeat("A", 200<<10)} {
		if _, err := sealed.Open(sealed.Keys{key}, binding, bad); !errors.Is(err, sealed.ErrGarbled) || !errors.Is(err, secret.ErrContent) {
			t.Errorf("%.80q: %v", bad, err)
		}
	}
	message, _ := base64.RawURLEncoding.DecodeString(encoded)
	for i := range message { // whatever bit is turned, it does not open
		altered := bytes.Clone(message)
		altered[i] ^= 1
		if _, err := sealed.Open(sealed.Keys{key}, binding, "sealed:v1:"+key.ID()+":"+base64.RawURLEncoding.EncodeToString(altered)); !errors.Is(err, sealed.ErrBinding) {
			t.Fatalf("byte %d altered: %v", i, err)
		}
	}
}

func TestSealRefuses(t *testing.T) {
	pub := generate(t).Public()
	without := func(change func(*sealed.Binding)) sealed.Binding { b := binding; change(&b); return b }
	for what, c := range map[string]struct {
		pub                sealed.Public
		b                  sealed.Binding
		username, password string
	}{
		"no user name":    {pub, binding, "", password},
		"no password":     {pub, binding, "alice", ""},
		"not UTF-8":       {pub, binding, "alice", password + "\xff"},
		"too long":        {pub, binding, "alice", strings.Repeat(password, 1000)},
		"no key":          {sealed.Public{}, binding, "alice", password},
		"no organization": {pub, without(func(b *sealed.Binding) { b.OrganizationID = "" }), "alice", password},
		"no registry":     {pub, without(func(b *sealed.Binding) { b.RegistryID = "" }), "alice", password},
		"no type":         {pub, without(func(b *sealed.Binding) { b.Type = "" }), "alice", password},
		"no hosts":        {pub, without(func(b *sealed.Binding) { b.Hosts = nil }), "alice", password},
		"an empty host":   {pub, without(func(b *sealed.Binding) { b.Hosts = []string{"a", ""} }), "alice", password},
	} {
		if text, err := sealed.Seal(c.pub, c.b, c.username, c.password); err == nil || text != "" || strings.Contains(err.Error(), password) {
			t.Errorf("%s: %q, %v", what, text, err)
		}
	}
}

func TestTextDoesNotTellThePasswordsLength(t *testing.T) {
	pub := generate(t).Public()
	lengths := map[int]bool{}
	for _, p := range []string{"x", strings.Repeat("x", 64), "<&>\"\\ü"} {
		text, err := sealed.Seal(pub, binding, "alice", p)
		if err != nil {
			t.Fatal(err)
		}
		lengths[len(text)] = true
	}
	if len(lengths) != 1 {
		t.Errorf("lengths %v", lengths)
	}
}

func TestPublic(t *testing.T) {
	pub := generate(t).Public()
	again, err := sealed.ParsePublic(pub.String())
	if err != nil || again.Fingerprint() != pub.Fingerprint() || len(pub.Fingerprint()) != 64 || pub.ID() != pub.Fingerprint()[:16] || len(pub.String()) != 87 {
		t.Errorf("%s: %v", pub, err)
	}
	zero := base64.RawURLEncoding.EncodeToString(append([]byte{4}, make([]byte, 64)...))
	for _, bad := range []string{"", "x", pub.String()[:80], pub.String() + "A", pub.String() + "=", zero, " " + pub.String()} {
		if _, err := sealed.ParsePublic(bad); !errors.Is(err, sealed.ErrGarbled) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data.key")
	keys := sealed.Keys{generate(t), generate(t)}
	if _, err := sealed.ReadKeys(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	for _, written := range []sealed.Keys{keys[:1], keys} {
		if err := sealed.WriteKeys(path, written); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
		read, err := sealed.ReadKeys(path)
		if err != nil || len(read) != len(written) || read[0].ID() != written[0].ID() {
			t.Errorf("got %v, %v", read, err)
		}
	}
	if err := sealed.WriteKeys(path, nil); err == nil {
		t.Error("no keys were written")
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
	text := seal(t, keys[1].Public())
	read, _ := sealed.ReadKeys(path)
	if _, err := sealed.Open(read, binding, text); err != nil {
		t.Error(err)
	}
	for mode, want := range map[os.FileMode]error{0o640: nil, 0o644: sealed.ErrExposed, 0o660: sealed.ErrExposed} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := sealed.ReadKeys(path); !errors.Is(err, want) {
			t.Errorf("mode %v: %v", mode, err)
		}
	}
}

// p384 is a key of another curve: its text is a key that does not belong here.
const p384 = `-----BEGIN PRIVATE KEY-----
MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
-----END PRIVATE KEY-----
`

func TestParseKeysRefuses(t *testing.T) {
	good, err := sealed.Keys{generate(t)}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "x", p384, strings.ReplaceAll(string(good), "PRIVATE KEY", "CERTIFICATE"), string(good) + p384, strings.Repeat(string(good), 17)} {
		if keys, err := sealed.ParseKeys([]byte(bad)); !errors.Is(err, sealed.ErrGarbled) || keys != nil {
			t.Errorf("%.60q: %v, %v", bad, keys, err)
		}
	}
	if _, err := (sealed.Keys{{}}).Marshal(); err == nil {
		t.Error("a missing key was marshalled")
	}
}

func TestKeyIsNotPrinted(t *testing.T) {
	key := generate(t)
	text, err := sealed.Keys{key}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	der, err := base64.StdEncoding.DecodeString(strings.Join(lines[1:len(lines)-2], ""))
	if err != nil {
		t.Fatal(err)
	}
	scalar := der[36:68] // PKCS #8 of a P-256 key has it there
	var out bytes.Buffer
	for _, holder := range []any{key, &key, sealed.Keys{key}, struct{ k sealed.Key }{key}, map[string]sealed.Key{"a": key}} {
		for _, verb := range strings.Split("v +v #v s q x X d", " ") {
			fmt.Fprintf(&out, "%"+verb+"\n", holder)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("m", "k", holder)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "k", holder)
	}
	decimal := strings.Trim(fmt.Sprint(scalar[:8]), "[]")
	if s := out.String(); strings.Contains(s, decimal) || strings.Contains(strings.ToLower(s), hex.EncodeToString(scalar[:8])) || bytes.Contains(out.Bytes(), scalar[:8]) {
		t.Error("a private key is in ", s)
	}
	if _, err := json.Marshal(key); err == nil {
		t.Error("a key was marshalled")
	}
	if !strings.Contains(out.String(), key.ID()) {
		t.Error("the id is not printed")
	}
}

func FuzzOpen(f *testing.F) {
	key := generate(f)
	f.Add(seal(f, key.Public()))
	f.Add("sealed:v1:" + key.ID() + ":" + strings.Repeat("A", 200))
	f.Add("sealed:v1::")
	f.Fuzz(func(t *testing.T, text string) {
		id, err := sealed.KeyID(text)
		value, openErr := sealed.Open(sealed.Keys{key}, binding, text)
		switch {
		case err != nil:
			if !errors.Is(openErr, sealed.ErrGarbled) || !errors.Is(err, sealed.ErrGarbled) {
				t.Errorf("%v, then %v", err, openErr)
			}
		case openErr != nil:
			if !errors.Is(openErr, sealed.ErrKey) && !errors.Is(openErr, sealed.ErrBinding) {
				t.Error(openErr)
			}
		case value.Empty() || id != key.ID():
			t.Errorf("opened %s", id)
		}
	})
}

func FuzzParseKeys(f *testing.F) {
	good, err := sealed.Keys{generate(f), generate(f)}.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(p384))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := sealed.ParseKeys(text)
		if err != nil {
			if !errors.Is(err, sealed.ErrGarbled) {
				t.Error(err)
			}
			return
		}
		out, err := keys.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := sealed.ParseKeys(out); err != nil || len(again) != len(keys) || again[0].ID() != keys[0].ID() {
			t.Errorf("%v, %v", again, err)
		}
	})
}
