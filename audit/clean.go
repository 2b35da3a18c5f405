package audit

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// maxText is the longest value of a detail, in bytes.
const maxText = 1024

// secretLike finds what must never be in a log, whoever put it there: our own tokens, authorization headers, and
// logins in URLs. It is a net below the rope: callers of Record do not pass secrets in the first place.
var secretLike = regexp.MustCompile(`pier_[a-z]+_[0-9a-z]{8,}(_[0-9a-z]+)?|(?i:\b(?:bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,})|://[^/\s@]+@`)

// Clean returns detail without empty and secret-like values, control characters, and anything past 1024 bytes.
func Clean(detail map[string]string) map[string]string {
	if len(detail) == 0 {
		return nil
	}
	clean := make(map[string]string, len(detail))
	for key, value := range detail {
		if value != "" {
			clean[key] = CleanText(value)
		}
	}
	return clean
}

// CleanText does the same to one text.
func CleanText(text string) string {
	text = secretLike.ReplaceAllString(text, "(removed)")
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == utf8.RuneError || '\x7f' <= r && r <= '\u009f' {
			return ' '
		}
		return r
	}, text)
	if len(text) <= maxText {
		return text
	}
	cut := maxText - len("…")
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}
