package pierhead

import "strings"

// MaxName is the longest name of a person, organization, project, registry, robot or node, in bytes: a DNS label's length.
const MaxName = 63

// IsName tells whether a text can be such a name: [a-z0-9]+(-[a-z0-9]+)* of at most MaxName bytes.
func IsName(text string) bool {
	if len(text) > MaxName {
		return false
	}
	for part := range strings.SplitSeq(text, "-") {
		if part == "" || strings.Trim(part, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
			return false
		}
	}
	return true
}
