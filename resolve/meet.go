package resolve

import (
	"strings"

	"pierhead.dev/pierhead/image"
)

// meet finds an image that two patterns cover, if there is one.
func meet(a, b *draft) (example string, ok bool) {
	host, ok := hostsMeet(a.host, b.host)
	if !ok {
		return "", false
	}
	path, ok := pathsMeet(a, b)
	if !ok {
		return "", false
	}
	tag, ok := tagsMeet(a.tag, b.tag)
	if !ok {
		return "", false
	}
	return host + "/" + path + tag, true
}

func hostsMeet(a, b string) (example string, ok bool) {
	if strings.HasPrefix(a, "[") || strings.HasPrefix(b, "[") {
		return a, a == b
	}
	a, aPort := splitPort(a)
	b, bPort := splitPort(b)
	if aPort != bPort {
		return "", false
	}
	example, ok = listsMeet(strings.Split(a, "."), strings.Split(b, "."), ".")
	return example + aPort, ok
}

func pathsMeet(a, b *draft) (example string, ok bool) {
	x, y := segments(a.path), segments(b.path)
	length := max(len(x), len(y))
	if a.subtree && b.subtree {
		length++ // both want something below
	}
	if a.subtree {
		x = padded(x, max(length, len(x)+1))
	}
	if b.subtree {
		y = padded(y, max(length, len(y)+1))
	}
	return listsMeet(x, y, "/")
}

func segments(path string) []string {
	if path == "" {
		return nil
	}
	return strings.Split(path, "/")
}

func padded(list []string, length int) []string {
	for len(list) < length {
		list = append(list, "*")
	}
	return list
}

func tagsMeet(a, b string) (example string, ok bool) {
	if a == "" && b == "" {
		return "", true
	}
	if a == "" {
		a = "*"
	}
	if b == "" {
		b = "*"
	}
	example, ok = globsMeet(a, b)
	return ":" + example, ok
}

func listsMeet(a, b []string, separator string) (example string, ok bool) {
	if len(a) != len(b) {
		return "", false
	}
	list := make([]string, len(a))
	for i := range a {
		if list[i], ok = globsMeet(a[i], b[i]); !ok {
			return "", false
		}
	}
	return strings.Join(list, separator), true
}

// globsMeet finds a text that two globs match. If both have a wildcard, only what comes before the first and behind
// the last can stand in the way: what is between finds its place within the other's wildcards.
func globsMeet(a, b string) (example string, ok bool) {
	aHead, aMiddle, aTail, aGlob := ends(a)
	bHead, bMiddle, bTail, bGlob := ends(b)
	switch {
	case !aGlob && !bGlob:
		return a, a == b
	case !aGlob:
		return a, image.MatchGlob(b, a)
	case !bGlob:
		return b, image.MatchGlob(a, b)
	case !endsMeet(a, b):
		return "", false
	}
	if len(bHead) > len(aHead) {
		aHead = bHead
	}
	if len(bTail) > len(aTail) {
		aTail = bTail
	}
	return aHead + "x" + aMiddle + bMiddle + aTail, true
}

// endsMeet tells whether what comes before the first and behind the last wildcard of two texts goes together.
func endsMeet(a, b string) bool {
	aHead, _, aTail, aGlob := ends(a)
	bHead, _, bTail, bGlob := ends(b)
	if !aGlob {
		aTail = a
	}
	if !bGlob {
		bTail = b
	}
	return (strings.HasPrefix(aHead, bHead) || strings.HasPrefix(bHead, aHead)) &&
		(strings.HasSuffix(aTail, bTail) || strings.HasSuffix(bTail, aTail))
}

// ends cuts a glob at its first and last "*"; the middle has its own replaced by a letter and one appended, so that
// examples are well formed.
func ends(glob string) (head, middle, tail string, isGlob bool) {
	first, last := strings.IndexByte(glob, '*'), strings.LastIndexByte(glob, '*')
	if first < 0 {
		return glob, "", "", false
	}
	if last > first {
		middle = strings.ReplaceAll(glob[first+1:last], "*", "x") + "x"
	}
	return glob[:first], middle, glob[last+1:], true
}
