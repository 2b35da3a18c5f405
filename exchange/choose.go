package exchange

import (
	"slices"
	"strings"
	"time"

	"pierhead.dev/pierhead/credential"
)

// PasswordLogin takes the login for r.Host out of r.Secret as it stands there, for kinds of registries whose logins are user
// names and passwords, always or among others. A login that names its host serves that host. One that names none serves the
// hosts it was sealed with, or the literal hosts of the registry's match; where there are none it is refused, since
// nobody said whom it is for. A user name that all logins of the host's vendor have need not be in the secret. What is
// plainly wrong (Check) is refused before anybody is asked. Errors: ErrHostMismatch, ErrContent.
func PasswordLogin(r Request) (credential.Credential, error) {
	if r.Secret.Empty() {
		return credential.Credential{}, &Error{Kind: ErrContent, Text: "there is no secret to make a login of"}
	}
	logins, err := parseLogins(r.Secret, r.Host)
	if err != nil {
		return credential.Credential{}, err
	}
	login, hosts := logins[0], []string{r.Host}
	if len(logins) == 1 && login.Host == "" {
		hosts, err = unnamed(r)
	} else {
		login, err = choose(r, logins)
	}
	if err == nil {
		err = fits(r.Host, login)
	}
	if err != nil {
		return credential.Credential{}, err
	}
	c := credentialOf(login, hosts)
	if inParts(logins, login.Host) {
		c = c.ForPart()
	}
	return c, nil
}

// inParts tells whether the secret's logins for a host are for parts of it: which one serves depends on the repository.
func inParts(logins []Login, host string) bool {
	return slices.ContainsFunc(logins, func(l Login) bool { return l.Host == host && l.Path != "" })
}

// fits refuses a login that cannot work at the host.
func fits(host string, l Login) error {
	if found := Check(host, l.Username, KindOf(string(l.Password.Reveal()), time.Now())); found != nil && found.Certain {
		return &Error{Kind: ErrContent, Text: found.Text, Hint: found.Hint}
	}
	return nil
}

func credentialOf(l Login, hosts []string) credential.Credential {
	return credential.New(l.Username, string(l.Password.Reveal()), time.Time{}, hosts)
}

// unnamed tells which hosts a login that names none is for.
func unnamed(r Request) ([]string, error) {
	if len(r.Hosts) == 0 {
		return nil, &Error{Kind: ErrContent,
			Text: "the secret does not say which host its login is for, and nothing else does: it is not sent to " + r.Host,
			Hint: `add "server": "` + r.Host + `" to the secret, or write out every host in the registry's match patterns`}
	}
	if !slices.Contains(r.Hosts, r.Host) {
		return nil, mismatch(r.Host, r.Hosts)
	}
	if presetOf(r.Host, "") != nil {
		return []string{r.Host}, nil // what was filled in and found right was so for this host
	}
	return r.Hosts, nil
}

// choose picks the login for the host, and of several the one for the smallest part of it that the repository is in.
func choose(r Request, logins []Login) (Login, error) {
	var here []Login
	var named []string
	for _, l := range logins {
		named = append(named, l.Host)
		if l.Host == r.Host {
			here = append(here, l)
		}
	}
	if len(here) == 0 {
		return Login{}, mismatch(r.Host, named)
	}
	if r.Repository == "" {
		return hostWide(r, here)
	}
	best := -1
	for i, l := range here {
		if l.Covers(r.Repository) && (best < 0 || len(l.Path) > len(here[best].Path)) {
			best = i
		}
	}
	if best < 0 {
		return Login{}, &Error{Kind: ErrHostMismatch,
			Text: "the secret is for another part of " + r.Host + " (" + pathsOf(here) + ") than " + r.Repository, Hint: `change "server" in the secret, or use another secret`}
	}
	return here[best], nil
}

// hostWide picks without knowing the repository: the login for all of the host, or the only one there is.
func hostWide(r Request, here []Login) (Login, error) {
	if len(here) == 1 {
		return here[0], nil
	}
	if i := slices.IndexFunc(here, func(l Login) bool { return l.Path == "" }); i >= 0 {
		return here[i], nil
	}
	return Login{}, &Error{Kind: ErrContent,
		Text: "the secret has several logins for parts of " + r.Host + " (" + pathsOf(here) + "), and which one is meant is not known here",
		Hint: "use one secret for each of them"}
}

func pathsOf(logins []Login) string {
	var paths []string
	for _, l := range logins {
		paths = append(paths, l.Path)
	}
	return list(paths)
}

// mismatch names both sides and nothing else.
func mismatch(host string, named []string) error {
	return &Error{Kind: ErrHostMismatch,
		Text: "the secret is for " + list(named) + " and the image is at " + host + ": the login is not sent there",
		Hint: `change "server" in the secret to ` + host + ` if the login is for it, or the registry's match patterns if it is not`}
}

// list joins up to five names.
func list(names []string) string {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	const most = 5
	if len(names) > most {
		names = append(names[:most:most], "others")
	}
	return strings.Join(names, ", ")
}
