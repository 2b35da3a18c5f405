// Package kubelet is the protocol of the kubelet's image credential providers (credentialprovider.kubelet.k8s.io/v1,
// KEP-2133 and KEP-4412): one request on stdin, one answer on stdout.
//
// # Keys of the answer
//
// An answer has one key at most: the image's own host, or host and repository where the login is not for the whole host. The
// kubelet takes a key as a mere prefix, so that "host/team/app" is one for "host/team/app2" too. That does no harm: a login
// with such a key goes with the cache key Image, the kubelet keeps it under the full name of this one image, and looks keys
// up only among what it got or kept for the image that it pulls. The prefix is then compared with the name that it was made
// of. A login for the whole host goes with the cache key Registry. Where the request brought a service account's token, the
// kubelet keeps either for that account alone. Global is never said.
//
// # Without a login
//
// Where nothing is known for the image, the answer is empty, is not kept, and the kubelet pulls without. Where there is a
// login and it cannot be had, the plugin fails with one line on stderr, which the kubelet logs; it then pulls without, too,
// and tells nobody else. So the agent keeps the reason among the node's troubles.
package kubelet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"pierhead.dev/pierhead/credhelper"
	"pierhead.dev/pierhead/internal/doors"
)

// within is how long a call takes at most: the agent's own limit comes first.
const within = doors.KubeletWithin + time.Second

const usage = `Usage: pier-credential-provider < REQUEST

Gives the kubelet the credentials that the Pierhead agent of this node lends it. The kubelet
starts it by itself, where its flags --image-credential-provider-config and
--image-credential-provider-bin-dir name it; "pier export kubelet" writes that configuration.

It asks the agent at the socket that PIER_SOCKET names, else at /run/pierhead/agent.sock.
`

// A response is a CredentialProviderResponse. The kubelet reads it strictly and drops one with a field too many.
type response struct {
	APIVersion    string           `json:"apiVersion"`
	Kind          string           `json:"kind"`
	CacheKeyType  string           `json:"cacheKeyType"`
	CacheDuration string           `json:"cacheDuration"`
	Auth          map[string]login `json:"auth"`
}

type login struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

// Run does what the arguments say, which is to answer one request unless they ask for help or version, and returns the exit
// code: 0; 1 where there is a credential that cannot be had, or nobody can say; 2 where there is no request to answer.
func Run(arguments []string, in io.Reader, out, errs io.Writer, ask credhelper.Ask, version string) int {
	if len(arguments) > 0 {
		return informed(arguments, out, errs, version)
	}
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	return answer(ctx, in, out, errs, ask)
}

// informed is for people who run the plugin by hand.
func informed(arguments []string, out, errs io.Writer, version string) int {
	text := usage
	switch arguments[0] {
	case "version", "--version", "-v":
		text = "pier-credential-provider (pierhead.dev/pierhead) " + version + "\n"
	case "help", "--help", "-h":
	default:
		return fail(errs, 2, fmt.Errorf("%q is no argument of this plugin; take it out of args in the kubelet's CredentialProviderConfig", shorten(arguments[0])))
	}
	if _, err := io.WriteString(out, text); err != nil {
		return 1
	}
	return 0
}

func answer(ctx context.Context, in io.Reader, out, errs io.Writer, ask credhelper.Ask) int {
	text, err := credhelper.ReadInput(ctx, in, maxRequest)
	if err != nil {
		return fail(errs, 2, fmt.Errorf("the kubelet's request could not be read: %w", err))
	}
	request, err := parse(text)
	if err != nil {
		return fail(errs, 2, err)
	}
	r := response{APIVersion: request.APIVersion, Kind: "CredentialProviderResponse", CacheKeyType: "Image", CacheDuration: "0s", Auth: map[string]login{}}
	loan, err := ask(ctx, doors.Ask{Door: doors.Kubelet, Image: request.Image, ServiceAccountToken: request.ServiceAccountToken})
	if err == nil {
		err = r.lend(request.Image, loan)
	}
	if err != nil && !errors.Is(err, credhelper.ErrNone) {
		return fail(errs, 1, err)
	}
	if text, err = json.Marshal(r); err == nil {
		_, err = out.Write(append(text, '\n'))
	}
	if err != nil {
		return fail(errs, 1, errors.New("the answer could not be written")) // without err: a write's may be told, but a marshaller's could quote it
	}
	return 0
}

// lend puts a loan into the answer.
func (r *response) lend(image string, loan doors.Loan) error {
	key, err := keyOf(image, loan.Reach)
	if err != nil {
		return err
	}
	if loan.Reach == doors.ReachHost {
		r.CacheKeyType = "Registry"
	}
	r.CacheDuration = (time.Duration(max(loan.CacheFor, 0)) * time.Second).String()
	r.Auth[key] = login{Username: loan.Username, Password: loan.Password}
	return nil
}

// keyOf is the key of the answer in the kubelet's dialect (pkg/credentialprovider/keyring.go): the image's host as the
// kubelet wrote it, and the repository unless the login is for every one.
func keyOf(image string, reach doors.Reach) (string, error) {
	name, _, _ := strings.Cut(image, "@")
	if colon := strings.LastIndexByte(name, ':'); colon > strings.LastIndexByte(name, '/') {
		name = name[:colon]
	}
	host, repository, _ := strings.Cut(name, "/")
	switch {
	case strings.HasSuffix(host, "]"): // with a port it is told apart from a pattern's [ ]
		return "", fmt.Errorf("the kubelet cannot be given a login for %s: it reads an IPv6 address without a port as a pattern; name the registry by a host name, or with its port", host)
	case reach == doors.ReachHost:
		return host, nil
	case strings.HasPrefix(repository, "v1/") || strings.HasPrefix(repository, "v2/"):
		return host + "/v2/" + repository, nil // the kubelet takes one such segment away, for the sake of Docker's old keys
	}
	return host + "/" + repository, nil
}

// fail writes the one line of reason, with what to do, and returns the exit code.
func fail(errs io.Writer, code int, err error) int {
	text := "pierhead: " + credhelper.OneLine(err.Error())
	if hint := credhelper.HintOf(err); hint != "" {
		text += " (hint: " + credhelper.OneLine(hint) + ")"
	}
	const most = 2000 // a line of a log
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	_, _ = io.WriteString(errs, text+"\n")
	return code
}
