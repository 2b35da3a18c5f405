package leaks

import (
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// A text is one whole spelling of the secret, as a program's encoder would write it.
type text struct{ form, text string }

// textsOf are the spellings that programs put into base64 or hex, each once: in these forms every character counts, so
// only whole spellings can be searched, not mixed ones.
func textsOf(secret string) []text {
	texts := []text{
		{"the secret", secret},
		{"URL-escaped text", url.QueryEscape(secret)}, {"URL-escaped text", url.PathEscape(secret)},
		{"URL-escaped text", lowerEscapes(url.QueryEscape(secret))}, {"URL-escaped text", lowerEscapes(url.PathEscape(secret))},
		{"HTML-escaped text", html.EscapeString(secret)},
		{"HTML-escaped text", strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&#x27;").Replace(secret)},
	}
	if utf8.ValidString(secret) { // else JSON cannot hold it
		for _, t := range []string{jsonText(secret, false), jsonText(secret, true), asciiOnly(jsonText(secret, false)),
			asciiOnly(strings.ReplaceAll(jsonText(secret, false), "/", `\/`)), strings.ReplaceAll(jsonText(secret, false), "/", `\/`)} {
			texts = append(texts, text{"JSON-escaped text", t}, text{"JSON-escaped text", jsonText(t, false)})
		}
	}
	return once(texts)
}

func once(texts []text) []text {
	known := map[string]bool{}
	kept := texts[:0]
	for _, t := range texts {
		if !known[t.text] {
			known[t.text] = true
			kept = append(kept, t)
		}
	}
	return kept
}

// jsonText is the inside of a JSON string, with <, > and & escaped (as Go does by default) or not.
func jsonText(s string, escapeHTML bool) string {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(escapeHTML)
	if err := encoder.Encode(s); err != nil {
		panic(err) // a string always encodes
	}
	return strings.TrimSuffix(strings.TrimPrefix(b.String(), `"`), "\"\n")
}

// asciiOnly escapes the rest as Python and PHP do.
func asciiOnly(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r < utf8.RuneSelf {
			b.WriteRune(r)
		} else {
			b.WriteString(unicodeEscape(r))
		}
	}
	return b.String()
}

func unicodeEscape(r rune) string {
	var b strings.Builder
	for _, unit := range utf16.Encode([]rune{r}) {
		fmt.Fprintf(&b, `\u%04x`, unit)
	}
	return b.String()
}

// lowerEscapes writes the digits of percent escapes small.
func lowerEscapes(s string) string {
	b := []byte(s)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:i+3], strings.ToLower(s[i+1:i+3]))
		}
	}
	return string(b)
}

// shortEscapes are those of JSON, and those that only programming languages have.
var shortEscapes = map[rune]string{
	'"': `\"`, '\\': `\\`, '/': `\/`, '\b': `\b`, '\f': `\f`, '\n': `\n`, '\r': `\r`, '\t': `\t`, '\'': `\'`, '\a': `\a`, '\v': `\v`,
}

var namedReferences = map[rune]string{'&': "&amp;", '<': "&lt;", '>': "&gt;", '"': "&quot;", '\'': "&apos;"}

// A spellbook collects the spellings of one unit, each once.
type spellbook struct {
	spellings []spelling
	known     map[string]bool
}

func (b *spellbook) add(how manner, units int, texts ...string) {
	for _, text := range texts {
		if text != "" && !b.known[text] {
			b.known[text] = true
			b.spellings = append(b.spellings, spelling{text: text, units: units, how: how})
		}
	}
}

// escapesOf are the units of a text that is written as it is, or with any of its characters escaped in any way, up to
// three times over (JSON in JSON in a log that is JSON).
func escapesOf(secret string) [][]spelling {
	units := make([][]spelling, len(secret))
	for i := range len(secret) {
		book := spellbook{known: map[string]bool{}}
		book.addByte(secret[i])
		if r, size := utf8.DecodeRuneInString(secret[i:]); r != utf8.RuneError {
			book.addRune(r, size)
		}
		book.again((*spellbook).nest)
		book.again((*spellbook).nestJSON)
		units[i] = book.spellings
	}
	return units
}

func (b *spellbook) addByte(c byte) {
	b.add(0, 1, string([]byte{c}))
	b.add(asURL, 1, fmt.Sprintf("%%%02X", c), fmt.Sprintf("%%%02x", c))
	b.add(asJSON, 1, fmt.Sprintf(`\x%02x`, c), fmt.Sprintf(`\x%02X`, c), fmt.Sprintf(`\%03o`, c))
	switch c {
	case ' ':
		b.add(asURL, 1, "+")
	case '\'':
		b.add(asShell, 1, `'\''`, `'"'"'`, "''")
	}
}

func (b *spellbook) addRune(r rune, size int) {
	escape := unicodeEscape(r)
	b.add(asJSON, size, shortEscapes[r], escape, strings.ReplaceAll(strings.ToUpper(escape), "U", "u"), fmt.Sprintf(`\U%08x`, r))
	b.add(asHTML, size, namedReferences[r], fmt.Sprintf("&#%d;", r), fmt.Sprintf("&#%03d;", r), fmt.Sprintf("&#x%x;", r), fmt.Sprintf("&#x%X;", r))
}

// again applies one more encoder to all that there is.
func (b *spellbook) again(nest func(*spellbook, spelling)) {
	for _, s := range b.spellings[:len(b.spellings):len(b.spellings)] {
		if s.how != 0 {
			nest(b, s)
		}
	}
}

func (b *spellbook) nest(s spelling) {
	b.nestJSON(s)
	b.add(s.how|asHTML, s.units, html.EscapeString(s.text))
	for _, escaped := range []string{url.QueryEscape(s.text), url.PathEscape(s.text)} {
		b.add(s.how|asURL, s.units, escaped, lowerEscapes(escaped))
	}
}

func (b *spellbook) nestJSON(s spelling) {
	if utf8.ValidString(s.text) {
		b.add(s.how|asJSON, s.units, jsonText(s.text, false), jsonText(s.text, true))
	}
}
