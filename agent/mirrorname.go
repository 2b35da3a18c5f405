package agent

import (
	"fmt"
	"net/url"
	"strings"

	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/oci"
)

// A request to the mirror names an image in one of three ways, and which one is seen from the request alone: what is
// configured never changes what a name means.
//
//  1. With `?ns=HOST`, as containerd asks: the path is the repository at that host, whatever it begins with. Only where it
//     begins with that very host once more, in the form of 2, is it said twice.
//  2. "<host>/<repository>" where the first of several segments could be a host in a reference: it has a dot, or is
//     localhost, or ends in an underscore and a port.
//  3. Anything else is a repository of Docker Hub's, as its mirrors are asked. One whose first segment looks like a host is
//     reached as docker.io/<repository>.

// mirrored reads which image is meant; tag and digest are not known yet. Errors are oci.ErrNameInvalid's, with what to write.
func mirrored(query url.Values, repository string) (image.Reference, error) {
	host := image.Hub
	switch ns := query["ns"]; {
	case len(ns) > 1:
		return image.Reference{}, badName("ns is there more than once", "name one registry")
	case len(ns) == 1 && ns[0] != "":
		if host = ns[0]; strings.ContainsAny(host, "/") {
			return image.Reference{}, badName("ns is not a host", "write only the host and its port: ns=registry.example.com%3A5000")
		}
		if first, rest, ok := cutHost(repository); ok && sameHost(first, host) {
			repository = rest
		}
	default:
		if first, rest, ok := cutHost(repository); ok {
			host, repository = first, rest
		}
	}
	reference, err := image.New(host, repository)
	if err != nil {
		return image.Reference{}, badName(err.Error(), "")
	}
	return reference, nil
}

// cutHost takes the host off a path that begins with one, and gives it its colon back.
func cutHost(repository string) (host, rest string, ok bool) {
	first, rest, found := strings.Cut(repository, "/")
	if !found {
		return "", "", false
	}
	if i := strings.LastIndexByte(first, '_'); i > 0 && isPort(first[i+1:]) {
		return first[:i] + ":" + first[i+1:], rest, true
	}
	return first, rest, first == "localhost" || strings.Contains(first, ".")
}

func isPort(text string) bool {
	return text != "" && len(text) <= 5 && strings.Trim(text, "0123456789") == ""
}

func sameHost(a, b string) bool {
	one, errOne := image.CanonicalHost(a)
	two, errTwo := image.CanonicalHost(b)
	return errOne == nil && errTwo == nil && one == two
}

// misspelt is what is wrong with a path whose first segment is a host as references have it, or nil: a repository's name has
// neither colons nor brackets.
func misspelt(path string) error {
	rest, _ := strings.CutPrefix(path, "/v2/")
	first, _, more := strings.Cut(rest, "/")
	switch {
	case !more:
		return nil
	case strings.HasPrefix(first, "["):
		return badName("an IPv6 address cannot be part of a repository's name", "give the registry a name, or let the runtime say the host by ns, as containerd does")
	case strings.Contains(first, ":"):
		return badName(fmt.Sprintf("%.80q is no part of a repository's name", first), "write the port with an underscore: "+strings.Replace(fmt.Sprintf("%.80s", first), ":", "_", 1))
	}
	return nil
}

// badName is oci.ErrNameInvalid with a text for people: runtimes show little else.
func badName(what, hint string) error {
	if hint != "" {
		what += "; " + hint
	}
	return &oci.Error{Code: oci.ErrNameInvalid.Code, Status: oci.ErrNameInvalid.Status, Text: what}
}
