package sealed_test

import (
	"crypto/ecdsa"
	"crypto/hpke"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"pierhead.dev/pierhead/secret/sealed"
)

var update = flag.Bool("update", false, "write testdata/vectors.json anew: only when the format has a new version")

// vector is one case of testdata/vectors.json, for whoever writes the other side.
type vector struct {
	What         string   `json:"what"`
	PrivateKey   string   `json:"private_key"` // PEM, PKCS #8; a key for tests only
	PublicKey    string   `json:"public_key"`
	KeyID        string   `json:"key_id"`
	Organization string   `json:"organization_id"`
	Registry     string   `json:"registry_id"`
	Type         string   `json:"type"`
	Hosts        []string `json:"hosts"`
	Info         string   `json:"info"` // hex
	Username     string   `json:"username"`
	Password     string   `json:"password"`
	Plaintext    string   `json:"plaintext"` // with its padding
	Text         string   `json:"text"`
}

func (v vector) binding() sealed.Binding {
	return sealed.Binding{OrganizationID: v.Organization, RegistryID: v.Registry, Type: v.Type, Hosts: v.Hosts}
}

// open is the format as the package's comment has it, written a second time.
func (v vector) open(t *testing.T) (info, plaintext []byte) {
	t.Helper()
	u32 := func(n int) []byte { return []byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)} }
	field := func(s string) { info = append(append(info, u32(len(s))...), s...) }
	field("pierhead/sealed/v1")
	field(v.Organization)
	field(v.Registry)
	field(v.Type)
	info = append(info, u32(len(v.Hosts))...)
	for _, host := range slices.Sorted(slices.Values(v.Hosts)) {
		field(host)
	}
	block, _ := pem.Decode([]byte(v.PrivateKey))
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	private, err := parsed.(*ecdsa.PrivateKey).ECDH()
	if err != nil {
		t.Fatal(err)
	}
	key, err := hpke.NewDHKEMPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	message, err := base64.RawURLEncoding.DecodeString(v.Text[strings.LastIndex(v.Text, ":")+1:])
	if err != nil {
		t.Fatal(err)
	}
	kdf, kdfErr := hpke.NewKDF(0x0001)
	aead, aeadErr := hpke.NewAEAD(0x0002)
	if kdfErr != nil || aeadErr != nil || key.KEM().ID() != 0x0010 {
		t.Fatal(kdfErr, aeadErr, key.KEM().ID())
	}
	recipient, err := hpke.NewRecipient(message[:65], key, kdf, aead, info)
	if err != nil {
		t.Fatal(err)
	}
	if plaintext, err = recipient.Open(nil, message[65:]); err != nil {
		t.Fatal(err)
	}
	return info, plaintext
}

// TestVectors: what was sealed by an earlier version, or by a browser (testdata/seal.mjs), opens.
func TestVectors(t *testing.T) {
	if *update {
		writeVectors(t, "testdata/vectors.json")
	}
	for _, path := range []string{"testdata/vectors.json", "testdata/webcrypto.json"} {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var vectors []vector
		if err := json.Unmarshal(content, &vectors); err != nil || len(vectors) < 3 {
			t.Fatalf("%s: %d vectors, %v", path, len(vectors), err)
		}
		for _, v := range vectors {
			t.Run(v.What, func(t *testing.T) { testVector(t, v) })
		}
	}
}

func testVector(t *testing.T, v vector) {
	keys, err := sealed.ParseKeys([]byte(v.PrivateKey))
	if err != nil || keys.Current().String() != v.PublicKey || keys.Current().ID() != v.KeyID {
		t.Fatal(err)
	}
	if info, plaintext := v.open(t); hex.EncodeToString(info) != v.Info || string(plaintext) != v.Plaintext || len(plaintext)%256 != 0 {
		t.Errorf("info %x, plaintext %q", info, plaintext)
	}
	value, err := sealed.Open(keys, v.binding(), v.Text)
	if err != nil {
		t.Fatal(err)
	}
	var login struct{ Username, Password string }
	if err := json.Unmarshal(value.Reveal(), &login); err != nil || login.Username != v.Username || login.Password != v.Password {
		t.Error("another login came out")
	}
}

func writeVectors(t *testing.T, path string) {
	t.Helper()
	var vectors []vector
	for _, c := range []vector{
		{What: "one host", Organization: "org_a", Registry: "reg_a", Type: "generic", Hosts: []string{"registry.example.com"}, Username: "alice", Password: "secret-for-tests"},
		{What: "several hosts, given unsorted", Organization: "org_a", Registry: "reg_b", Type: "generic", Hosts: []string{"registry.example.com:5000", "docker.io", "[2001:db8::1]:5000"}, Username: "alice", Password: "secret-for-tests"},
		{What: "characters that JSON may escape, and more than one block", Organization: "org_a", Registry: "reg_c", Type: "generic", Hosts: []string{"docker.io"}, Username: "ülrich@example.com", Password: "<&>\"\\/\u2028\U0001F511 " + strings.Repeat("x", 300)},
	} {
		key := generate(t)
		private, err := sealed.Keys{key}.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		c.PrivateKey, c.PublicKey, c.KeyID = string(private), key.Public().String(), key.ID()
		if c.Text, err = sealed.Seal(key.Public(), c.binding(), c.Username, c.Password); err != nil {
			t.Fatal(err)
		}
		info, plaintext := c.open(t)
		c.Info, c.Plaintext = hex.EncodeToString(info), string(plaintext)
		vectors = append(vectors, c)
	}
	content, err := json.MarshalIndent(vectors, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(content, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}
