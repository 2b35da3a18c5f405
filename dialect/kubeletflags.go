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
	value, quote := line[len(variable):], ""
	if strings.HasSuffix(value, `\`) {
		return Merge{}, errByHand
	}
	if value != "" && (value[0] == '"' || value[0] == '\'') {
		quote = value[:1]
		if len(value) < 2 || strings.Count(value, quote) != 2 || !strings.HasSuffix(value, quote) {
			return Merge{}, errByHand
		}
		value = value[1 : len(value)-1]
	} else {
		quote = `"`
		if strings.ContainsAny(value, `"'\`) {
			return Merge{}, errByHand
		}
	}
	if value != "" {
		value += " "
	}
	return Merge{Text: []byte(text[:at] + variable + quote + value + ours + quote + text[at+len(line):])}, nil
}
