package leaks

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"
)

// secrets are such that each form has something to escape in one of them.
var secrets = map[string]string{
	"plain":    "correct-horse-42",
	"shortest": "aB3$/+x9",
	"escaping": `p"a\s/s+w%o<r>d&'é€😀 =%25\u0041`,
	"symbols":  "?>?>?>~~~\xc3\xbf\xc3\xbfabc", // base64 of it is full of + and /
	"binary":   "\xff\xfe\x00\x01\x80abc\xfb\xef\xbe\x1f\x8b",
	"lines":    "-----BEGIN KEY-----\nMIGHAgEAMBMGByqGSM49\n-----END KEY-----",
}

// A form is one way in which a program may write the secret.
type form struct {
	name   string
	text   bool // only of what is valid UTF-8
	encode func(secret string) string
}

func packed(write func(*bytes.Buffer)) string {
	var b bytes.Buffer
	write(&b)
	return b.String()
}

func gzipped(s string) string {
	return packed(func(b *bytes.Buffer) { z := gzip.NewWriter(b); z.Write([]byte(s)); z.Close() })
}

func zlibbed(s string) string {
	return packed(func(b *bytes.Buffer) { z := zlib.NewWriter(b); z.Write([]byte(s)); z.Close() })
}

func marshal(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// everyByte writes each byte in the same way.
func everyByte(format string) func(string) string {
	return func(s string) string {
		var b strings.Builder
		for i := range len(s) {
			fmt.Fprintf(&b, format, s[i])
		}
		return b.String()
	}
}

// everyRune writes each character in the same way.
func everyRune(format string) func(string) string {
	return func(s string) string {
		var b strings.Builder
		for _, r := range s {
			fmt.Fprintf(&b, format, r)
		}
		return b.String()
	}
}

// unicodeEscapes writes every UTF-16 unit as \uXXXX.
func unicodeEscapes(s string) string {
	var b strings.Builder
	for _, unit := range utf16.Encode([]rune(s)) {
		fmt.Fprintf(&b, `\u%04X`, unit)
	}
	return b.String()
}

func utf16LE(s string) string {
	var b []byte
	for _, unit := range utf16.Encode([]rune(s)) {
		b = append(b, byte(unit), byte(unit>>8))
	}
	return string(b)
}

// every second byte is escaped, and the rest is not.
func halfEscaped(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if i%2 == 0 {
			fmt.Fprintf(&b, "%%%02x", s[i])
		} else {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

func lines(s, end string, length int) string {
	var b strings.Builder
	for len(s) > length {
		b.WriteString(s[:length] + end)
		s = s[length:]
	}
	return b.String() + s
}

func std(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
func u64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func docker(s string) string {
	return marshal(map[string]any{"auths": map[string]any{"r.example.com": map[string]string{"auth": std("robot:" + s)}}})
}

var forms = []form{
	{"raw", false, func(s string) string { return s }},
	{"JSON", true, func(s string) string { return marshal(s) }},
	{"JSON with slashes escaped", true, func(s string) string { return strings.ReplaceAll(marshal(s), "/", `\/`) }},
	{"JSON in JSON", true, func(s string) string { return marshal(marshal(s)) }},
	{"JSON in JSON in JSON", true, func(s string) string { return marshal(marshal(marshal(s))) }},
	{`all \u`, true, unicodeEscapes},
	{`all \u, small`, true, func(s string) string { return strings.ReplaceAll(strings.ToLower(unicodeEscapes(s)), "U", "u") }},
	{`all \u in JSON`, true, func(s string) string { return marshal(unicodeEscapes(s)) }},
	{"Go", false, strconv.Quote},
	{"Go ASCII", false, strconv.QuoteToASCII},
	{`\x`, false, everyByte(`\x%02x`)},
	{"octal", false, everyByte(`\%03o`)},
	{"query", false, url.QueryEscape},
	{"query, small", false, func(s string) string { return lowerEscapes(url.QueryEscape(s)) }},
	{"path", false, url.PathEscape},
	{"userinfo", false, func(s string) string { return url.UserPassword("robot", s).String() }},
	{"all percent", false, everyByte("%%%02X")},
	{"all percent, small", false, everyByte("%%%02x")},
	{"half percent", false, halfEscaped},
	{"query of query", false, func(s string) string { return url.QueryEscape(url.QueryEscape(s)) }},
	{"JSON of query", false, func(s string) string { return marshal("https://r.example.com/?a=b&c=" + url.QueryEscape(s)) }},
	{"query of JSON", true, func(s string) string { return url.QueryEscape(marshal(s)) }},
	{"HTML", false, html.EscapeString},
	{"HTML numbers", true, everyRune("&#%d;")},
	{"HTML hex numbers", true, everyRune("&#x%X;")},
	{"HTML of JSON", true, func(s string) string { return html.EscapeString(marshal(s)) }},
	{"JSON of HTML", true, func(s string) string { return marshal(html.EscapeString(s)) }},
	{"shell", false, func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }},
	{"SQL", false, func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }},
	{"hex", false, func(s string) string { return hex.EncodeToString([]byte(s)) }},
	{"HEX", false, func(s string) string { return strings.ToUpper(hex.EncodeToString([]byte(s))) }},
	{"hex with colons", false, func(s string) string { return strings.TrimSuffix(everyByte("%02x:")(s), ":") }},
	{"hex with spaces", false, everyByte("%02X ")},
	{"Go bytes", false, func(s string) string { return fmt.Sprintf("%#v", []byte(s)) }},
	{"hex lines", false, func(s string) string { return lines(hex.EncodeToString([]byte(s)), "\n", 16) }},
	{"numbers", false, func(s string) string { return fmt.Sprint([]byte(s)) }},
	{"JSON numbers", false, func(s string) string { return strings.ReplaceAll(fmt.Sprint([]byte(s)), " ", ",\n  ") }},
	{"UTF-16LE", true, utf16LE},
	{"base64", false, std},
	{"base64, in JSON", false, func(s string) string { return strings.ReplaceAll(marshal(std(s)), "/", `\/`) }},
	{"base64, in a query", false, func(s string) string { return url.QueryEscape(std(s)) }},
	{"base64url", false, func(s string) string { return base64.URLEncoding.EncodeToString([]byte(s)) }},
	{"base64url, raw", false, u64},
	{"base64, MIME", false, func(s string) string { return lines(std(strings.Repeat("x", 45)+s), "\r\n", 76) }},
	{"base64, YAML", false, func(s string) string { return lines(std(s), "\n      ", 8) }},
	{"base64, lines in JSON", false, func(s string) string { return marshal(lines(std(s), "\n", 7)) }},
	{"base64 of JSON", true, func(s string) string { return std(marshal(map[string]string{"username": "robot", "password": s})) }},
	{"base64url of JSON", true, func(s string) string { return u64(marshal(map[string]string{"password": s, "serveraddress": "r"})) }},
	{"base64 of a query", false, func(s string) string { return std("a=" + url.QueryEscape(s)) }},
	{"base64 of HTML", false, func(s string) string { return std(html.EscapeString(s)) }},
	{"base64 of hex", false, func(s string) string { return std(hex.EncodeToString([]byte(s))) }},
	{"base64 of UTF-16", true, func(s string) string { return std(utf16LE(s)) }},
	{"hex of JSON", true, func(s string) string { return hex.EncodeToString([]byte(marshal(s))) }},
	{"hex of base64", false, func(s string) string { return hex.EncodeToString([]byte(std("robot:" + s))) }},
	{"Docker's configuration", false, docker},
	{"Kubernetes' dockerconfigjson", false, func(s string) string { return std(docker(s)) }},
	{"X-Registry-Auth", false, func(s string) string { return u64(docker(s)) }},
	{"base64url of base64url", false, func(s string) string { return u64("a:" + u64("b:"+s)) }},
	{"base64 of base64 of JSON", true, func(s string) string { return std(std(marshal(map[string]string{"password": s}))) }},
	{"gzip", false, gzipped},
	{"zlib", false, zlibbed},
	{"gzip of gzip", false, func(s string) string { return gzipped("x" + gzipped("y"+s)) }},
	{"gzip of base64 of JSON", true, func(s string) string { return gzipped(std(marshal([]string{s}))) }},
	{"base64 of gzip", false, func(s string) string { return lines(std(gzipped(s)), "\n", 60) }},
	{"base64 of base64 of gzip", false, func(s string) string { return std(std(gzipped(s))) }},
}

func needleOf(t testing.TB, secret string) *Needle {
	t.Helper()
	n, err := NewNeedle([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Every form of every secret is found at every alignment: the encoder gets 0 to 5 bytes before the secret.
func TestFindsEveryForm(t *testing.T) {
	for name, secret := range secrets {
		n := needleOf(t, secret)
		for _, f := range forms {
			if f.text && strings.ToValidUTF8(secret, "") != secret {
				continue
			}
			for before := range 6 {
				written := f.encode("user:"[:min(before, 5)] + secret + strings.Repeat("z", before))
				findings, err := n.ScanBytes([]byte(`{"a": "`+written+`"}`), "it")
				if err != nil || len(findings) == 0 {
					t.Errorf("%s as %s after %d bytes: %v, %v", name, f.name, before, findings, err)
				}
			}
		}
	}
}

// Every form is found across the border of two windows, wherever it is cut, and however the reader gives its bytes.
func TestFindsAcrossWindows(t *testing.T) {
	for _, name := range []string{"plain", "escaping"} {
		n := needleOf(t, secrets[name])
		n.window = 61
		for _, f := range forms {
			written := f.encode(secrets[name])
			step := 1 + len(written)/40
			for before := 0; before < len(written)+n.window; before += step {
				stream := strings.NewReader(strings.Repeat(" ", before+n.overlap) + written + strings.Repeat(" ", 200))
				findings, err := n.Scan(iotest.HalfReader(stream), "it")
				if err != nil || len(findings) == 0 {
					t.Fatalf("%s as %s after %d bytes: %v, %v", name, f.name, before, findings, err)
				}
			}
		}
	}
}

// A break of the lines may fall on every symbol.
func TestFindsBase64OverLines(t *testing.T) {
	n := needleOf(t, secrets["symbols"])
	for before := range 80 {
		for _, end := range []string{"\n", "\r\n", "\r\n\t", `\n`, "%0A"} {
			written := lines(std(strings.Repeat("x", before)+secrets["symbols"]+"tail"), end, 76)
			if findings, err := n.ScanBytes([]byte(written), "it"); err != nil || len(findings) != 1 {
				t.Fatalf("after %d bytes, lines that end in %q: %v, %v", before, end, findings, err)
			}
		}
	}
}

// What is found is found by the bytes themselves: the secret with one byte changed is nowhere. Its first and last two do
// not count: in base64 of base64, their symbols depend on what stands around them.
func TestFindsNothingElse(t *testing.T) {
	for name, secret := range secrets {
		n := needleOf(t, secret)
		for i := 2; i < len(secret)-2; i += 3 {
			other := secret[:i] + string([]byte{secret[i] ^ 0x15}) + secret[i+1:]
			for _, f := range forms {
				if findings, err := n.ScanBytes([]byte(f.encode(other)), "it"); err != nil || len(findings) > 0 {
					t.Errorf("%s with byte %d changed, as %s: %v, %v", name, i, f.name, findings, err)
				}
			}
		}
	}
}

// FuzzForms looks for secrets that nobody thought of, in surroundings that nobody thought of.
func FuzzForms(f *testing.F) {
	for _, secret := range secrets {
		f.Add(secret, "user:", "\n", uint(17))
	}
	f.Add(`\\\\\\\\\\"/`, `\`, `\`, uint(3))
	f.Add("%25%25%252", "%", "25", uint(20))
	f.Fuzz(func(t *testing.T, secret, before, after string, which uint) {
		n, err := NewNeedle([]byte(secret))
		form := forms[which%uint(len(forms))]
		if err != nil || form.text && strings.ToValidUTF8(secret, "") != secret {
			return
		}
		if findings, err := n.ScanBytes([]byte(form.encode(before+secret+after)), "it"); err != nil || len(findings) == 0 {
			t.Errorf("%q as %s between %q and %q: %v, %v", secret, form.name, before, after, findings, err)
		}
	})
}
