package projectfile

import "strings"

// Quote quotes s for a POSIX shell, exactly as Python's shlex.quote does.
func Quote(s string) string {
	if s == "" {
		return "''"
	}
	for i := range len(s) {
		if !isSafe(s[i]) {
			return "'" + strings.ReplaceAll(s, "'", `'"'"'`) + "'"
		}
	}
	return s
}

func isSafe(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("_@%+=:,./-", c) >= 0
}

// Join makes one script of a command's lines: the lines that are not blank, each on its own, for `sh -ec`. A first line
// that begins with "#!" stays the first line.
func Join(lines []string) string {
	var kept []string
	for _, line := range lines {
		if strings.TrimSpace(line) != "" {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

// shellWords are the words that mean something to a shell when they come first: POSIX's reserved words and the
// built-ins of dash and bash. Some are programs too (echo, test), but not quite the same ones.
var shellWords = wordSet(`! . : [ [[ ]] alias bg bind break builtin caller case cd chdir command compgen
	complete compopt continue coproc declare dirs disown do done echo elif else enable esac eval exec exit export false
	fc fg fi for function getopts hash help history if in jobs kill let local logout mapfile popd printf pushd pwd
	read readarray readonly return select set shift shopt source suspend test then time times trap true type typeset
	ulimit umask unalias unset until wait while`)

func wordSet(words string) map[string]bool {
	set := map[string]bool{}
	for word := range strings.FieldsSeq(words) {
		set[word] = true
	}
	return set
}

// SplitSimple splits a line into the arguments that a POSIX shell would make of it, when that needs no shell: words,
// and words in single or double quotes. It returns false when the line is empty or when a shell could do anything
// more: expansions, pipes, redirections, globs, comments, assignments, a built-in or reserved word as the program,
// several lines. False is always safe: the line then goes to a shell.
func SplitSimple(line string) ([]string, bool) {
	var words []string
	var word []byte
	inWord := false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == ' ' || c == '\t':
			if inWord {
				words, word, inWord = append(words, string(word)), nil, false
			}
		case c == '\'' || c == '"':
			quoted, length, ok := quotedPart(line[i:])
			if !ok {
				return nil, false
			}
			word, inWord = append(word, quoted...), true
			i += length - 1
		case c < ' ' || c == 0x7f || strings.IndexByte("|&;<>()$`*?[]#~{}!\\", c) >= 0:
			return nil, false
		case c == '=' && len(words) == 0:
			return nil, false // an assignment before the program
		default:
			word, inWord = append(word, c), true
		}
	}
	if inWord {
		words = append(words, string(word))
	}
	if len(words) == 0 || words[0] == "" || shellWords[words[0]] {
		return nil, false
	}
	return words, true
}

// quotedPart takes the quoted text that s begins with: what is in it, and its length with the quotes.
func quotedPart(s string) (quoted string, length int, ok bool) {
	end := strings.IndexByte(s[1:], s[0])
	if end < 0 {
		return "", 0, false
	}
	quoted = s[1 : 1+end]
	forbidden := "\n\r\x00"
	if s[0] == '"' {
		forbidden += "$`\\"
	}
	return quoted, end + 2, !strings.ContainsAny(quoted, forbidden)
}
