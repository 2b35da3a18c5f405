package main

import (
	"os"
	"strings"

	"github.com/spf13/cobra"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
)

// registryFlags are a registry's fields as flags; the same in add and update, where only those given change anything.
type registryFlags struct {
	organization string
	kind         string
	match        []string
	secret       string
	identity     string
	assumeRole   string
	externalID   string
	impersonate  string
	username     string
	passwordIn   bool
	noCredential bool
	whenRefused  string
	projects     []string
	plainHTTP    bool
	caFile       string
	realms       []string
	networks     []string
	proxy        string
	sample       string
	create       bool
	helper       string
	enable       bool
	disable      bool
	noTest       bool
	trustDataKey string
}

func (f *registryFlags) register(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.kind, "type", "", "ecr, gcp, acr, dockerhub, jfrog or generic; inferred from the hosts when absent")
	flags.StringArrayVar(&f.match, "match", nil, "match pattern, host/path/*[:tag]; may be repeated")
	flags.StringVar(&f.secret, "secret", "", "reference of the secret with the login: file:NAME or env:NAME on the nodes, an ARN, vault:MOUNT/PATH, …")
	flags.StringVar(&f.identity, "identity", "", "node: the login is made of the identity that the node has in its cloud")
	flags.StringVar(&f.assumeRole, "assume-role", "", "ecr: ARN of a role that the identity, or the secret's keys, assume first")
	flags.StringVar(&f.externalID, "external-id", "", "ecr: external id sent with --assume-role (default: the organization's id)")
	flags.StringVar(&f.impersonate, "impersonate", "", "gcp: e-mail of the service account to stand in for")
	flags.StringVar(&f.username, "username", "", "user name of a login that is sealed here, before it is sent")
	flags.BoolVar(&f.passwordIn, "password-stdin", false, "read that login's password from standard input")
	flags.BoolVar(&f.noCredential, "no-credential", false, "no login: the registry is read anonymously")
	flags.StringVar(&f.whenRefused, "when-refused", "", "anonymous (default) or fail: what a pull does when the login is refused")
	flags.StringSliceVar(&f.projects, "projects", nil, "projects that may use it: all (default), none, or names")
	flags.BoolVar(&f.plainHTTP, "plain-http", false, "the registry speaks HTTP without TLS")
	flags.StringVar(&f.caFile, "ca-file", "", "PEM file with certificates to trust, beside the system's")
	flags.StringSliceVar(&f.realms, "realm", nil, "further host of a token server that may get the login; may be repeated")
	flags.StringSliceVar(&f.networks, "private-network", nil, "CIDR prefix that the registry's hosts may resolve to; may be repeated")
	flags.StringVar(&f.proxy, "proxy", "", "http://HOST:PORT or https://HOST:PORT through which registry, token servers and storage are reached")
	flags.StringVar(&f.sample, "sample", "", "image that the check asks for")
	flags.BoolVar(&f.create, "create-repositories", false, "ecr: a push makes a repository that is not there")
	flags.StringVar(&f.helper, "helper", "", "whole-host: docker-credential-pier lends the login for all of the host, though it covers a part; '' takes it back")
	flags.BoolVar(&f.enable, "enable", false, "use it")
	flags.BoolVar(&f.disable, "disable", false, "do not use it")
	flags.BoolVar(&f.noTest, "no-test", false, "save it without having a node prove the login")
	flags.StringVar(&f.trustDataKey, "trust-data-key", "", "fingerprint of the nodes' new data key, when it has changed and you know that this is right")
}

// check refuses flags that contradict or need each other.
func (f *registryFlags) check() error {
	credentials := 0
	for _, given := range []bool{f.secret != "", f.username != "", f.identity != "", f.noCredential} {
		if given {
			credentials++
		}
	}
	switch {
	case credentials > 1:
		return pierhead.NewProblem(pierhead.ErrBadInput, "--secret, --username, --identity and --no-credential exclude each other", "say one of them")
	case f.enable && f.disable:
		return pierhead.NewProblem(pierhead.ErrBadInput, "--enable and --disable exclude each other", "say one of them")
	case strings.Contains(f.username, ":"): // RFC 7617: a server would cut it there
		return pierhead.NewProblem(pierhead.ErrBadInput, "the user name has a colon in it, which no registry can be sent", "say the name alone; the password comes from standard input")
	case (f.username != "") != f.passwordIn:
		return pierhead.NewProblem(pierhead.ErrBadInput, "--username and --password-stdin need each other", "for example: --username robot --password-stdin < FILE")
	}
	return nil
}

// apply puts the flags that were given into a registry.
func (f *registryFlags) apply(c *cobra.Command, r *api.Registry) error {
	given := c.Flags().Changed
	for flag, field := range map[string]struct{ from, to *string }{
		"type": {&f.kind, &r.Type}, "when-refused": {&f.whenRefused, &r.WhenRefused}, "proxy": {&f.proxy, &r.Proxy}, "sample": {&f.sample, &r.Sample},
		"helper": {&f.helper, &r.Helper},
	} {
		if given(flag) {
			*field.to = *field.from
		}
	}
	for flag, field := range map[string]struct{ from, to *[]string }{
		"match": {&f.match, &r.Match}, "realm": {&f.realms, &r.Realms}, "private-network": {&f.networks, &r.PrivateNetworks},
	} {
		if given(flag) {
			*field.to = *field.from
		}
	}
	if given("projects") {
		r.Projects = projectsOf(f.projects)
	}
	if given("plain-http") {
		r.PlainHTTP = f.plainHTTP
	}
	if given("create-repositories") {
		r.CreateRepositories = f.create
	}
	if given("ca-file") {
		text, err := os.ReadFile(f.caFile)
		if err != nil {
			return pierhead.NewProblem(pierhead.ErrBadInput, "--ca-file: "+err.Error(), "")
		}
		r.CA = string(text)
	}
	if f.enable || f.disable {
		enabled := f.enable
		r.Enabled = &enabled
	}
	f.applyCredential(given, &r.Credential)
	return nil
}

// applyCredential replaces the credential by another kind of one, and changes what belongs to it.
func (f *registryFlags) applyCredential(given func(string) bool, credential *api.Credential) {
	switch {
	case given("secret"):
		credential.Secret, credential.Sealed, credential.Identity = f.secret, nil, ""
	case given("identity"):
		credential.Secret, credential.Sealed, credential.Identity = "", nil, f.identity
	case f.noCredential:
		*credential = api.Credential{}
	}
	for flag, field := range map[string]struct{ from, to *string }{
		"assume-role": {&f.assumeRole, &credential.AssumeRole}, "external-id": {&f.externalID, &credential.ExternalID}, "impersonate": {&f.impersonate, &credential.Impersonate},
	} {
		if given(flag) {
			*field.to = *field.from
		}
	}
}

func projectsOf(names []string) *api.Projects {
	switch {
	case len(names) == 1 && names[0] == "all":
		return &api.Projects{All: true}
	case len(names) == 1 && names[0] == "none":
		return &api.Projects{}
	}
	return &api.Projects{Names: names}
}
