package dialect

import (
	"fmt"
	"strings"
)

// MergeKubeletFlags puts the two flags of credential providers into a file of variables that systemd reads for the kubelet,
// into KUBELET_EXTRA_ARGS. Errors: other places are named there already, or the line goes on below itself.
func MergeKubeletFlags(found []byte, config, directory string) (Merge, error) {
	const variable, flag = "KUBELET_EXTRA_ARGS=", "--image-credential-provider-config="
	ours := flag + config + " --image-credential-provider-bin-dir=" + directory
	text := string(found)
	if strings.ContainsAny(config+directory, " \"'\\") {
		return Merge{}, fmt.Errorf("%s and %s cannot be flags in it", config, directory)
	}
	if strings.Contains(text, ours) {
		return Merge{Text: found}, nil
	}
	at, line := -1, ""
	start := 0
	for l := range strings.Lines(text) {
		if strings.HasPrefix(l, variable) {
			at, line = start, strings.TrimRight(l, " \t\r\n")
		}
		if !strings.HasPrefix(strings.TrimSpace(l), "#") && strings.Contains(l, "--image-credential-provider-") {
			return Merge{}, fmt.Errorf("it names other credential providers already, and the kubelet has one configuration and one directory of them")
		}
		start += len(l)
	}
	if at < 0 {
		if text != "" && !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		return Merge{Text: []byte(text + variable + `"` + ours + "\"\n")}, nil
	}
	value, quote, ok := systemdValue(line[len(variable):])
	if !ok {
		return Merge{}, errByHand
	}
	if value != "" {
		value += " "
	}
	return Merge{Text: []byte(text[:at] + variable + quote + value + ours + quote + text[at+len(line):])}, nil
}

// systemdValue is a variable's value without its quotes, and the quotes; ok unless it is written in some other way.
func systemdValue(text string) (value, quote string, ok bool) {
	if text == "" || text[0] != '"' && text[0] != '\'' {
		return text, `"`, !strings.ContainsAny(text, `"'\`)
	}
	quote = text[:1]
	if len(text) < 2 || strings.Count(text, quote) != 2 || !strings.HasSuffix(text, quote) {
		return "", "", false
	}
	return text[1 : len(text)-1], quote, true
}
