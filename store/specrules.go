package store

import (
	"errors"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/image"
)

// Bounds of one execution's description.
const (
	maxSpec        = 256 << 10 // bytes, all of it
	maxStep        = 200       // bytes
	maxLines       = 1000      // of the command
	maxEnvironment = 1000      // variables
	maxMounts      = 100
)

// checkSpec refuses what no agent could run. Values of variables are never repeated in a message.
func checkSpec(spec pierhead.Spec) error {
	if spec.Step == "" || len(spec.Step) > maxStep || !isLine(spec.Step) {
		return badInput("step: its name is empty, too long or has control characters", "give a name of at most 200 characters")
	}
	if err := checkImage(spec.Image); err != nil {
		return err
	}
	if len(spec.Command) > maxLines {
		return badInput("command: more than %d lines", "put them into a script in the image", maxLines)
	}
	for i, line := range spec.Command {
		if !isText(line) {
			return badInput("command: line %d is not UTF-8 text or has a NUL in it", "", i+1)
		}
	}
	if spec.TimeLimit < 0 {
		return badInput("time-limit: it is negative", "leave it out for no limit")
	}
	switch spec.PullPolicy {
	case pierhead.PullAlways, pierhead.PullIfNotPresent, pierhead.PullNever:
	default:
		return badInput("pull policy: there is no choice %q", "the choices are always, if-not-present and never", cut(string(spec.PullPolicy)))
	}
	if err := checkEnvironment(spec.Environment); err != nil {
		return err
	}
	return checkMounts(spec.Mounts)
}

func checkImage(text string) error {
	_, err := image.Parse(text)
	switch {
	case errors.Is(err, image.ErrUserinfo):
		return badInput("image: it has a user name or password in it", "write HOST/REPOSITORY:TAG; credentials belong to a registry of the organization")
	case err != nil:
		return badInput("image: %v", "write it as HOST/REPOSITORY:TAG, for example myregistry.azurecr.io/ml-training:v2.0", err)
	}
	return nil
}

func checkEnvironment(environment map[string]string) error {
	if len(environment) > maxEnvironment {
		return badInput("environment: more than %d variables", "put them into a file", maxEnvironment)
	}
	for name, value := range environment {
		if !isVariable(name) {
			return badInput("environment: %q is no name of a variable", "use letters, digits and _, and no digit first", cut(name))
		}
		if !isText(value) {
			return badInput("environment: the value of %s is not UTF-8 text or has a NUL in it", "", name)
		}
	}
	return nil
}

// isVariable tells whether a shell could use the name.
func isVariable(name string) bool {
	for i := range len(name) {
		c := name[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != "" && len(name) <= 256
}

// checkMounts looks at the form only: which directories are allowed is the node's operator's affair.
func checkMounts(mounts []pierhead.Mount) error {
	if len(mounts) > maxMounts {
		return badInput("mounts: more than %d", "", maxMounts)
	}
	for _, m := range mounts {
		for _, p := range []string{m.Source, m.Destination} {
			if !path.IsAbs(p) || path.Clean(p) != p || !isText(p) {
				return badInput("mounts: %q is not an absolute path without . and ..", "write source and destination in full", cut(p))
			}
		}
	}
	return nil
}

// isText tells whether text can be handed to a container.
func isText(text string) bool { return utf8.ValidString(text) && !strings.ContainsRune(text, 0) }

// isLine tells whether text is one line that a terminal can show.
func isLine(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl)
}

// cutBytes is text, or its first n bytes less what would split a character, and always UTF-8.
func cutBytes(text string, n int) string {
	text = strings.ToValidUTF8(text, "?")
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}
