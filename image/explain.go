package image

import (
	"errors"
	"fmt"
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
)

const (
	tooLongAdvice  = "a repository has at most 255 characters, library/ included"
	digestAdvice   = "write sha256: and 64, sha384: and 96, or sha512: and 128 digits of lower-case hexadecimal"
	repositoryForm = "between slashes write lower-case letters and digits, joined by one dot, one or two underscores, or hyphens"
)

// explain finds out what is wrong with a reference that the library refused: its own error is mostly "invalid
// reference format". Faults are looked for in the order in which they hide one another.
func explain(s string, err error) error {
	bad := func(kind error, instead string) error { return fault("image reference", s, kind, instead) }
	switch scheme := schemeOf(s); {
	case s == "":
		return bad(ErrEmpty, "write an image, as in registry.example.com/team/app:1.0")
	case hasSpace(s):
		return bad(ErrSpace, "write it without")
	case scheme != "":
		return bad(ErrScheme, "write it without "+scheme)
	case len(s) == 64 && strings.Trim(s, "0123456789abcdef") == "":
		return bad(ErrImageID, "write the image's name; to name it by digest, <name>@sha256:<digits>")
	}
	name, digestText, hasDigest := strings.Cut(s, "@")
	if hasDigest && strings.Contains(digestText, "/") {
		return bad(ErrUserinfo, "write only host, repository and tag; the login belongs in a registry's credential")
	}
	if hasDigest {
		if _, err := digest.Parse(digestText); err != nil {
			return bad(ErrDigest, digestAdvice)
		}
	}
	if instead, kind := explainName(name); kind != nil {
		return bad(kind, instead)
	}
	if errors.Is(err, reference.ErrNameTooLong) {
		return bad(ErrTooLong, tooLongAdvice)
	}
	return bad(ErrRepository, "write host/repository:tag, as in registry.example.com/team/app:1.0")
}

// explainName looks at host, repository and tag.
func explainName(name string) (instead string, kind error) {
	slash := strings.IndexByte(name, '/')
	if slash >= 0 && isHostPart(name[:slash]) {
		if err := checkHost(name[:slash], false); err != nil {
			return err.Error(), ErrHost
		}
	}
	repository := name
	if colon := strings.LastIndexByte(name, ':'); colon > strings.LastIndexByte(name, '/') {
		repository = name[:colon]
		if err := checkTag(name[colon+1:], false); err != nil {
			return err.Error(), ErrTag
		}
	}
	if slash >= 0 && isHostPart(name[:slash]) {
		repository = repository[slash+1:]
	}
	if lower := strings.ToLower(repository); lower != repository {
		return fmt.Sprintf("write %q", lower), ErrUppercase
	}
	if len(repository) > longestRepository {
		return tooLongAdvice, ErrTooLong
	}
	for component := range strings.SplitSeq(repository, "/") {
		if err := checkComponent(component); err != nil {
			return err.Error(), ErrRepository
		}
	}
	return "", nil
}

// isHostPart is the rule by which Docker tells a host from a Hub namespace, for text before the first slash.
func isHostPart(s string) bool {
	return s == "localhost" || strings.ContainsAny(s, ".:") || strings.ToLower(s) != s || s == ""
}

func hostAdvice(host string) string {
	if err := checkHost(host, false); err != nil {
		return err.Error()
	}
	return "write a host, as in registry.example.com/team/app:1.0"
}

// checkTag holds a tag against the grammar: a word character, then up to 127 of word characters, dots and hyphens. With
// globs, it may have "*" in it, which does not count. The error says what to write.
func checkTag(tag string, globs bool) error {
	if tag == "" {
		return fmt.Errorf("after the colon comes a tag; write one, or leave out the colon")
	}
	literal := 0
	for i := 0; i < len(tag); i++ {
		c := tag[i]
		switch {
		case c == '*' && globs:
			continue
		case isLower(c), isDigit(c), 'A' <= c && c <= 'Z', c == '_':
		case (c == '.' || c == '-') && i > 0:
		case c == '.' || c == '-':
			return fmt.Errorf("a tag begins with a letter, a digit or an underscore, not with %q", c)
		case c == '*':
			return fmt.Errorf("a tag has no wildcard; only match patterns have")
		default:
			return fmt.Errorf("write only letters, digits, underscores, dots and hyphens in a tag")
		}
		literal++
	}
	if literal > 128 {
		return fmt.Errorf("a tag has at most 128 characters, and this one has %d", literal)
	}
	return nil
}

// checkComponent holds what is between two slashes of a repository against the grammar.
func checkComponent(component string) error {
	if component == "" {
		return fmt.Errorf("there is nothing between two slashes, or at one end; take out the slash")
	}
	if i := strings.IndexByte(component, ':'); i >= 0 {
		return fmt.Errorf("only the last part may have a tag, and %q is not the last", component)
	}
	if !isComponent(component) {
		return fmt.Errorf("%q is not allowed: %s", component, repositoryForm)
	}
	return nil
}

// isComponent: groups of letters and digits, joined by ".", "_", "__" or any run of "-".
func isComponent(s string) bool {
	i := 0
	for {
		start := i
		for i < len(s) && (isLower(s[i]) || isDigit(s[i])) {
			i++
		}
		if i == start {
			return false
		}
		if i == len(s) {
			return true
		}
		separator := i
		for i < len(s) && s[i] == s[separator] && !isLower(s[i]) && !isDigit(s[i]) {
			i++
		}
		switch n := i - separator; s[separator] {
		case '-':
		case '.':
			if n > 1 {
				return false
			}
		case '_':
			if n > 2 {
				return false
			}
		default:
			return false
		}
	}
}
