package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/internal/durable"
)

// A contextFile is the client's side of logging in: which servers there are, and with which token. It is 0600.
type contextFile struct {
	Current  string                   `yaml:"current"`
	Contexts map[string]clientContext `yaml:"contexts"`
}

// A clientContext is one server as one person sees it.
type clientContext struct {
	Server string `yaml:"server"`
	Token  string `yaml:"token"`
	CA     string `yaml:"ca,omitempty"` // PEM of the server's own CA
	// DataKeys pins, per organization, the fingerprint of the key that credentials are sealed to: it is kept at first
	// use, and another key is refused until somebody says that it is right.
	DataKeys map[string]string `yaml:"data_keys,omitempty"`
}

// contextsPath is where the contexts are: --contexts, else $XDG_CONFIG_HOME/pierhead/contexts.yaml.
func (p *program) contextsPath() (string, error) {
	if p.contextFile != "" {
		return p.contextFile, nil
	}
	if p.env("XDG_CONFIG_HOME") == "" && p.env("HOME") == "" {
		return "", pierhead.NewProblem(pierhead.ErrBadInput, "neither HOME nor XDG_CONFIG_HOME is set, so there is no place for contexts", "set one, or use --contexts FILE")
	}
	return filepath.Join(p.configHome(), "pierhead", "contexts.yaml"), nil
}

func (p *program) readContexts() (contextFile, error) {
	path, err := p.contextsPath()
	if err != nil {
		return contextFile{}, err
	}
	var file contextFile
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return contextFile{Contexts: map[string]clientContext{}}, nil
	}
	if err == nil {
		err = yaml.UnmarshalWithOptions(text, &file, yaml.Strict())
	}
	if err != nil {
		// The parser's own words would quote the file, and it holds tokens.
		return contextFile{}, pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("the contexts in %s are unreadable", path),
			"mend the file, or move it away and let `pier up` write a new one")
	}
	if file.Contexts == nil {
		file.Contexts = map[string]clientContext{}
	}
	return file, nil
}

func (p *program) writeContexts(file contextFile) error {
	path, err := p.contextsPath()
	if err != nil {
		return err
	}
	text, err := yaml.Marshal(file)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return durable.WriteFile(durable.OS{}, path, text)
}

// connection is the server to talk to. PIER_SERVER and PIER_TOKEN win over the contexts, and PIER_CA names a file with the
// server's own CA; without it the CA is the one of a context for the same server. name is "" where no context is used.
func (p *program) connection() (name string, c clientContext, err error) {
	token, server := p.env("PIER_TOKEN"), strings.TrimSuffix(p.serverURL, "/")
	file, err := p.readContexts()
	if err != nil && (server == "" || token == "") { // what both variables say needs no file, nor a home
		return "", c, err
	}
	if name = p.contextName; name == "" {
		name = file.Current
	}
	c, ok := file.Contexts[name]
	switch {
	case server != "" && token != "":
		name, c = "", clientContext{Server: server, CA: file.caOf(server)}
	case server != "" && server != c.Server: // a context's token is for that context's server
		return "", c, pierhead.NewProblem(pierhead.ErrNotAllowed, fmt.Sprintf("no token is known for %s", server), "set PIER_TOKEN")
	case !ok && p.contextName != "":
		return "", c, pierhead.NewProblem(pierhead.ErrNotFound, fmt.Sprintf("there is no context %q", p.contextName), "see the names in the file that --contexts names")
	case !ok:
		return "", c, pierhead.NewProblem(pierhead.ErrNotAllowed, "there is no context to log in with",
			"on the machine that runs `pier up`, be the user who started it; elsewhere set PIER_SERVER and PIER_TOKEN (pier token create)")
	}
	if token != "" {
		c.Token = token
	}
	if path := p.env("PIER_CA"); path != "" {
		text, err := os.ReadFile(path)
		if err != nil {
			return "", c, pierhead.NewProblem(pierhead.ErrBadInput, "PIER_CA: "+err.Error(), "it names a PEM file with the server's CA")
		}
		c.CA = string(text)
	}
	return name, c, nil
}

// caOf is the CA that some context knows for a server.
func (f contextFile) caOf(server string) string {
	for _, c := range f.Contexts {
		if c.Server == server {
			return c.CA
		}
	}
	return ""
}
