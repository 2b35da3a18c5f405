package exchange

import (
	"regexp"
	"time"

	"pierhead.dev/pierhead/image"
)

// A Finding is what is wrong with a login before anybody was asked. It has no part of the login in it.
type Finding struct {
	Text    string // one sentence
	Hint    string // whose turn it is and what to write
	Certain bool   // no such login can work; else it is only likely, and worth a word when it is saved
}

func wrong(text, hint string) *Finding   { return &Finding{Text: text, Hint: hint, Certain: true} }
func dubious(text, hint string) *Finding { return &Finding{Text: text, Hint: hint} }

// Check tells what is plainly wrong with a login for a canonical host, by its user name and the kind of its password; nil
// where nothing is, or where that cannot be known. It is pure, so that the same answer is given when a login is saved and
// when it is used.
func Check(host, username string, kind Kind) *Finding {
	if !kind.Ended.IsZero() {
		return wrong("the password in the secret is a token that ended on "+kind.Ended.Format(time.DateOnly), "put a new one into the secret; it has to come from whoever issued the old one")
	}
	if username == IdentityToken {
		return nil
	}
	if kind.Form == FormServiceAccount && username != jsonKey {
		return wrong("the password in the secret is a Google service account's key file, and the user name beside it is not "+jsonKey,
			"write "+jsonKey+" as the user name; or give the key file itself as the secret of a registry of type gcp")
	}
	if kind.Form == FormAWSSecret && awsKeyID.MatchString(username) && image.VendorOf(host) != image.VendorECR {
		return wrong("the secret has an AWS access key, and "+host+" is no registry of Amazon's", "an access key makes a login for hosts like 123456789012.dkr.ecr.eu-west-1.amazonaws.com only; use this registry's own login")
	}
	v := presetOf(host, username)
	if v == nil {
		return strayDollar(host, username, kind)
	}
	if home := homes[kind.Form]; home != "" && home != v.name && v.host(host) {
		return wrong("the password in the secret is "+string(kind.Form)+", and "+host+" is "+v.name+"'s", "use a login that "+v.name+" issued")
	}
	if v.check == nil {
		return nil
	}
	return v.check(host, username, kind)
}

// homes are the vendors that take tokens of a form; on hosts of nobody known every form may be right.
var homes = map[Form]string{
	FormGitHub: "GitHub", FormGitHubFine: "GitHub",
	FormHub: "Docker Hub", FormHubOrganization: "Docker Hub",
	FormGitLab: "GitLab", FormGitLabOther: "GitLab",
	FormNGC: "NVIDIA", FormDigitalOcean: "DigitalOcean", FormGoogle: "Google", FormScalewayKey: "Scaleway",
	FormJFrogReference: "JFrog",
}

// A preset is what is known of one vendor's logins.
type preset struct {
	name  string
	host  func(host string) bool     // the vendor's hosts, exact or anchored at both ends
	user  func(username string) bool // user names that only this vendor's logins have, for hosts of one's own
	fixed string                     // the one user name of all logins
	check func(host, username string, kind Kind) *Finding
}

func exactly(hosts ...string) func(string) bool {
	return func(host string) bool {
		for _, h := range hosts {
			if h == host {
				return true
			}
		}
		return false
	}
}

func vendors(v image.Vendor) func(string) bool {
	return func(host string) bool { return image.VendorOf(host) == v }
}

func matching(pattern string) func(string) bool { return regexp.MustCompile(pattern).MatchString }

// presets are the vendors, by their documentation of docker login. Scopes and rights are the registry's to tell.
var presets = []preset{
	{name: "Docker Hub", host: exactly(image.Hub), check: checkHub},
	{name: "GitHub", host: exactly("ghcr.io"), check: checkGitHub},
	{name: "GitLab", host: exactly("registry.gitlab.com"), user: matching(`^(gitlab\+deploy-token-\d+|gitlab-ci-token)$`), check: checkGitLab},
	{name: "Quay", host: exactly("quay.io"), user: matching(`^\$(oauthtoken|token|app)$`), check: checkQuay},
	{name: "Harbor", host: exactly(), user: matching(`^robot\$`), check: checkHarbor},
	{name: "NVIDIA", host: exactly("nvcr.io"), fixed: "$oauthtoken", check: checkNVIDIA},
	{name: "IBM", host: matching(`^(private\.)?((us|uk|de|es|au|jp|jp2|ca|ca2|br)\.)?icr\.io$`), fixed: "iamapikey", check: checkIBM},
	{name: "Oracle", host: matching(`^([a-z]{3}|[a-z]{2}-[a-z]+-\d)\.ocir\.io$|^ocir\.[a-z]{2,3}-[a-z]+-\d\.oci\.oraclecloud\.com$`), check: checkOracle},
	{name: "Scaleway", host: matching(`^rg\.[a-z]{2}-[a-z]{3}\.scw\.cloud$`), fixed: "nologin", check: checkScaleway},
	{name: "DigitalOcean", host: exactly("registry.digitalocean.com")},
	{name: "Red Hat", host: exactly("registry.redhat.io", "registry.connect.redhat.com"), check: checkRedHat},
	{name: "Gitea", host: exactly("codeberg.org", "gitea.com")},
	{name: "Amazon", host: vendors(image.VendorECR)},
	{name: "Google", host: vendors(image.VendorGCP)},
	{name: "Azure", host: vendors(image.VendorACR)},
	{name: "JFrog", host: vendors(image.VendorJFrog)},
}

// presetOf finds the vendor by its host, and on a host of nobody known by the user name.
func presetOf(host, username string) *preset {
	for i := range presets {
		if presets[i].host(host) {
			return &presets[i]
		}
	}
	for i := range presets {
		if presets[i].user != nil && presets[i].user(username) {
			return &presets[i]
		}
	}
	return nil
}

// FixedUsername is the user name of a login that has none: where all logins of the host's vendor have the same one, that;
// at DigitalOcean, where a token is both, the password. "" where a user name has to be given.
func FixedUsername(host, password string) string {
	v := presetOf(host, "")
	switch {
	case v == nil:
		return ""
	case v.name == "DigitalOcean" && homes[KindOf(password, time.Time{}).Form] == v.name:
		return password
	}
	return v.fixed
}

// inQuotes is how a "$" gets past a shell.
const inQuotes = "a shell replaces what follows a $ in double quotes; write it in single quotes"
