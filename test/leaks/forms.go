package leaks

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// formsOf are all patterns of a secret.
func formsOf(secret string) []*pattern {
	forms := []*pattern{{form: "text", units: escapesOf(secret)}, numbersOf(secret)}
	texts := textsOf(secret)
	for _, t := range texts {
		forms = append(forms, wideOf(t)...)
		forms = append(forms, hexOf(t))
	}
	for _, t := range base64Texts(texts[:1]) { // of the secret itself
		forms = append(forms, wideOf(t)...)
		forms = append(forms, hexOf(t))
	}
	digits := hex.EncodeToString([]byte(secret))
	packed := append(texts, text{"hex", digits}, text{"hex", strings.ToUpper(digits)})
	for _, order := range byteOrders {
		packed = append(packed, text{"UTF-16" + order.name + " text", wide(secret, order.low)})
	}
	packed = once(packed)
	for _, t := range append(packed, base64Texts(texts)...) {
		forms = append(forms, base64Of(t)...)
	}
	return forms
}

var byteOrders = []struct {
	name string
	low  int // where the low byte of a unit is
}{{"LE", 0}, {"BE", 1}}

// wideOf is a text in UTF-16.
func wideOf(t text) []*pattern {
	var patterns []*pattern
	for _, order := range byteOrders {
		patterns = append(patterns, literal(formName("UTF-16"+order.name, t), wide(t.text, order.low)))
	}
	return patterns
}

// wide is a text in UTF-16; of one that is no text, each byte is a unit.
func wide(s string, low int) string {
	units := utf16.Encode([]rune(s))
	if !utf8.ValidString(s) {
		units = units[:0]
		for i := range len(s) {
			units = append(units, uint16(s[i]))
		}
	}
	b := make([]byte, 2*len(units))
	for i, unit := range units {
		b[2*i+low], b[2*i+1-low] = byte(unit), byte(unit>>8)
	}
	return string(b)
}

func formName(form string, of text) string {
	if of.form == "the secret" {
		return form
	}
	return form + " of " + of.form
}

// hexGap stands between bytes: "de:ad", "de ad", "0xde, 0xad", "\xde\xad", lines.
var hexGap = &gap{every: 2, starts: " \t\r\n:,-_0\\", length: func(b []byte) int {
	n := blanks(b, " \t\r\n:,-_", maxGap-2)
	if len(b) >= n+2 && (b[n] == '0' || b[n] == '\\') && (b[n+1] == 'x' || b[n+1] == 'X') {
		n += 2
	}
	return n
}}

func hexOf(t text) *pattern {
	p := &pattern{form: formName("hex", t), gap: hexGap}
	for _, digit := range hex.EncodeToString([]byte(t.text)) {
		spellings := []spelling{{text: string(digit), units: 1}}
		if digit >= 'a' {
			spellings = append(spellings, spelling{text: strings.ToUpper(string(digit)), units: 1})
		}
		p.units = append(p.units, spellings)
	}
	return p
}

// numbersOf is what Go prints for a []byte, and JSON for an array of bytes: [115 51], [115,51] or {0x73, 0x3}.
func numbersOf(secret string) *pattern {
	p := &pattern{form: "list of numbers", gap: &gap{every: 1, starts: " \t\r\n", length: func(b []byte) int { return blanks(b, " \t\r\n", maxGap) }}}
	for i := range len(secret) {
		if i > 0 {
			p.units = append(p.units, []spelling{{",", 1, 0}, {" ", 1, 0}})
		}
		book := spellbook{known: map[string]bool{}}
		book.add(0, 1, strconv.Itoa(int(secret[i])), fmt.Sprintf("0x%x", secret[i]), fmt.Sprintf("0x%02x", secret[i]))
		p.units = append(p.units, book.spellings)
	}
	return p
}

// base64Texts are the parts of the base64 of a text that do not depend on what stands before and after it.
func base64Texts(texts []text) []text {
	var all []text
	for _, t := range texts {
		for alignment := range 3 {
			for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
				all = append(all, text{formName("base64", t), stable(encoding, t.text, alignment)})
			}
		}
	}
	return once(all)
}

// stable encodes a text that begins alignment bytes after a multiple of three, and leaves out the symbols that hold
// bits of its neighbours too.
func stable(encoding *base64.Encoding, text string, alignment int) string {
	padded := strings.Repeat("\x00", alignment) + text
	first := []int{0, 2, 3}[alignment]
	return encoding.EncodeToString([]byte(padded))[first : len(padded)*8/6]
}

func base64Of(t text) []*pattern {
	var patterns []*pattern
	for alignment := range 3 {
		p := &pattern{form: formName("base64", t) + ", alignment " + strconv.Itoa(alignment), gap: base64Gap}
		for _, symbol := range stable(base64.RawStdEncoding, t.text, alignment) {
			p.units = append(p.units, symbolSpellings(symbol))
		}
		patterns = append(patterns, p)
	}
	return patterns
}

func symbolSpellings(symbol rune) []spelling {
	switch symbol {
	case '+':
		return []spelling{{"+", 1, 0}, {"-", 1, url64}, {"%2B", 1, asURL}, {"%2b", 1, asURL}, {`\u002b`, 1, asJSON}, {`\u002B`, 1, asJSON}, {"&#43;", 1, asHTML}, {"&#x2B;", 1, asHTML}}
	case '/':
		return []spelling{{"/", 1, 0}, {"_", 1, url64}, {"%2F", 1, asURL}, {"%2f", 1, asURL}, {`\/`, 1, asJSON}, {`\\/`, 1, asJSON}, {`\u002f`, 1, asJSON}, {`\u002F`, 1, asJSON}, {"&#47;", 1, asHTML}, {"&#x2F;", 1, asHTML}}
	}
	return []spelling{{string(symbol), 1, 0}}
}

// lineBreaks may stand in base64, as they are or escaped.
var lineBreaks = []string{"\r\n", "\n", "\r", `\r\n`, `\n`, `\\r\\n`, `\\n`, "%0D%0A", "%0d%0a", "%0A", "%0a", "&#13;&#10;", "&#10;"}

// base64Gap is a line break with the next line's indentation.
var base64Gap = &gap{every: 1, starts: "\r\n\\%&", length: func(b []byte) int {
	for _, lineBreak := range lineBreaks {
		if len(b) >= len(lineBreak) && string(b[:len(lineBreak)]) == lineBreak {
			return len(lineBreak) + blanks(b[len(lineBreak):], " \t", maxGap-len(lineBreak))
		}
	}
	return 0
}}
