package client

import (
	"errors"
	"slices"
	"strings"
)

// A challenge is one entry of WWW-Authenticate (RFC 9110, 11.6.1). Scheme and names are lower-case.
type challenge struct {
	scheme     string
	parameters string // encoded as by parameterKey, so that challenges compare with ==
}

// maxChallengeBytes of WWW-Authenticate are read, all lines together.
const maxChallengeBytes = 16 << 10

var errChallenge = errors.New("a challenge that cannot be read")

const separator = "\x00"

func (c challenge) get(name string) string {
	fields := strings.Split(c.parameters, separator)
	for i := 0; i+1 < len(fields); i += 2 {
		if fields[i] == name {
			return fields[i+1]
		}
	}
	return ""
}

func newChallenge(scheme string, parameters []string) challenge {
	return challenge{scheme: scheme, parameters: strings.Join(parameters, separator)}
}

// parseChallenges reads all lines of WWW-Authenticate. Several challenges may share a line (Gitea sends Bearer and
// Basic in one), values may be quoted and hold commas and escapes. What cannot be read is left out, with the rest of
// its line; more than 16 KiB are not read at all.
func parseChallenges(lines []string) []challenge {
	total := 0
	for _, line := range lines {
		total += len(line)
	}
	if total > maxChallengeBytes {
		return nil
	}
	var out []challenge
	for _, line := range lines {
		s := scanner{text: line}
		for {
			c, err := s.challenge()
			if err != nil {
				break
			}
			out = append(out, c)
		}
	}
	return out
}

type scanner struct {
	text string
	at   int
}

// challenge reads the next one: a scheme, and then parameters, or one token68, or nothing.
func (s *scanner) challenge() (challenge, error) {
	s.skip(" \t,")
	scheme := strings.ToLower(s.token())
	if scheme == "" || (s.at < len(s.text) && !strings.ContainsRune(" \t,", rune(s.text[s.at]))) {
		return challenge{}, errChallenge
	}
	var parameters []string
	for {
		start := s.at
		s.skip(" \t,")
		name := strings.ToLower(s.token())
		s.skip(" \t")
		if name == "" || !s.take('=') {
			s.at = start
			if parameters == nil {
				s.token68()
			}
			return newChallenge(scheme, parameters), nil
		}
		if parameters == nil && s.padding() {
			return newChallenge(scheme, nil), nil // it was a token68 that ends in "="
		}
		s.skip(" \t")
		value, err := s.value()
		if err != nil {
			return challenge{}, err
		}
		if strings.Contains(value, separator) || nameTaken(parameters, name) {
			return challenge{}, errChallenge // of two realms nobody knows which one is meant
		}
		parameters = append(parameters, name, value)
	}
}

func nameTaken(parameters []string, name string) bool {
	for i := 0; i < len(parameters); i += 2 {
		if parameters[i] == name {
			return true
		}
	}
	return false
}

func (s *scanner) skip(set string) {
	for s.at < len(s.text) && strings.IndexByte(set, s.text[s.at]) >= 0 {
		s.at++
	}
}

func (s *scanner) take(c byte) bool {
	if s.at < len(s.text) && s.text[s.at] == c {
		s.at++
		return true
	}
	return false
}

func tokenByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

func (s *scanner) token() string {
	start := s.at
	for s.at < len(s.text) && tokenByte(s.text[s.at]) {
		s.at++
	}
	return s.text[start:s.at]
}

// token68 passes over a base64 text that stands in place of parameters ("Negotiate YII/…="), up to a comma or the end.
func (s *scanner) token68() {
	start := s.at
	s.skip(" \t")
	for s.at < len(s.text) && (tokenByte(s.text[s.at]) || strings.IndexByte("/=", s.text[s.at]) >= 0) {
		s.at++
	}
	end := s.at
	s.skip(" \t")
	if end == start || s.at < len(s.text) && s.text[s.at] != ',' {
		s.at = start
	}
}

// padding tells whether the "=" just taken only pads a token68: more of them, and then a comma or the end.
func (s *scanner) padding() bool {
	at := s.at
	for at < len(s.text) && s.text[at] == '=' {
		at++
	}
	end := at
	for at < len(s.text) && strings.IndexByte(" \t", s.text[at]) >= 0 {
		at++
	}
	if at < len(s.text) && s.text[at] != ',' {
		return false
	}
	s.at = end
	return true
}

func (s *scanner) value() (string, error) {
	if !s.take('"') {
		start := s.at
		for s.at < len(s.text) && strings.IndexByte(" \t,\"", s.text[s.at]) < 0 {
			s.at++ // more than a token: some registries leave out the quotes of a URL
		}
		if s.at == start {
			return "", errChallenge
		}
		return s.text[start:s.at], nil
	}
	var value strings.Builder
	for s.at < len(s.text) {
		c := s.text[s.at]
		s.at++
		switch {
		case c == '"':
			return value.String(), nil
		case c == '\\' && s.at < len(s.text):
			value.WriteByte(s.text[s.at])
			s.at++
		default:
			value.WriteByte(c)
		}
	}
	return "", errChallenge
}

// scopes are what a Bearer challenge asks for, sorted and each once; for a challenge without scope the call's own.
func (c challenge) scopes(p purpose) []string {
	out := strings.Fields(c.get("scope"))
	if len(out) == 0 && p.repository != "" {
		out = []string{"repository:" + p.repository + ":" + p.actions}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
