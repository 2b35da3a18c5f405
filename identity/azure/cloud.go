package azure

import (
	"net/url"
	"os"
	"strings"
)

// A Cloud is one of Azure's clouds, which share nothing. Its text is the top-level domain of its registries, as
// image.ACRCloud tells it.
type Cloud string

// The clouds.
const (
	Public     Cloud = "io"
	China      Cloud = "cn"
	Government Cloud = "us"
	Germany    Cloud = "de" // Microsoft closed it on 29 October 2021
)

// String is the cloud's name.
func (c Cloud) String() string {
	switch c {
	case Public:
		return "Azure"
	case China:
		return "Azure China"
	case Government:
		return "Azure Government"
	case Germany:
		return "Azure Germany"
	}
	return "an unknown cloud"
}

// own is the host of the cloud's token server.
func (c Cloud) own() string {
	switch c {
	case Public:
		return "login.microsoftonline.com"
	case China:
		return "login.chinacloudapi.cn"
	case Government:
		return "login.microsoftonline.us"
	}
	return ""
}

// CloudOfAuthority tells whose token server a host is; false for one that is nobody's we know, a private cloud's.
func CloudOfAuthority(host string) (Cloud, bool) {
	switch strings.ToLower(host) {
	case "login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net":
		return Public, true
	case "login.chinacloudapi.cn", "login.partner.microsoftonline.cn":
		return China, true
	case "login.microsoftonline.us", "login-us.microsoftonline.com", "login.usgovcloudapi.net":
		return Government, true
	case "login.microsoftonline.de":
		return Germany, true
	}
	return "", false
}

// An authority is a token server.
type authority struct {
	host    string // with its port, if any
	path    string
	private bool // of no cloud that is known: its operator vouches for it
}

func (a authority) url() string { return "https://" + a.host + a.path }

// authorityOf is where tokens for a cloud come from: AZURE_AUTHORITY_HOST where it is that cloud's, or a private one, else
// the cloud's own. For the node itself an AZURE_AUTHORITY_HOST of another cloud means that it has no identity in this one.
func authorityOf(c Cloud, node bool) (authority, error) {
	text := strings.TrimSpace(os.Getenv("AZURE_AUTHORITY_HOST"))
	if text != "" {
		if !strings.Contains(text, "://") {
			text = "https://" + text
		}
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return authority{}, &Error{Kind: ErrNoIdentity, Text: "AZURE_AUTHORITY_HOST of this node is not an https address",
				Hint: "the operator of this node writes it like https://login.microsoftonline.com/"}
		}
		configured := authority{host: u.Host, path: strings.TrimSuffix(u.Path, "/")}
		of, known := CloudOfAuthority(u.Host)
		switch {
		case !known:
			configured.private = true
			return configured, nil
		case of == c && c != Germany:
			return configured, nil
		case node:
			return authority{}, &Error{Kind: ErrNoIdentity, Text: "this node's identity is of " + of.String() + " (AZURE_AUTHORITY_HOST), and what it is needed for is in " + c.String(),
				Hint: "use a service principal of " + c.String() + " in a secret"}
		}
	}
	if c.own() == "" {
		return authority{}, gone(c)
	}
	return authority{host: c.own()}, nil
}

func gone(c Cloud) error {
	return &Error{Kind: ErrUnreachable, Text: c.String() + " issues no tokens: Microsoft closed it on 29 October 2021",
		Hint: "move the images to a registry in another of Azure's clouds, and change the references"}
}
