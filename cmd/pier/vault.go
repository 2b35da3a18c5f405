package main

import (
	"context"
	"net/http"
	"path/filepath"

	"github.com/spf13/cobra"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/identity/amazon"
	"pierhead.dev/pierhead/secret"
	"pierhead.dev/pierhead/secret/vault"
)

// vaultFlags say which Vault this node reads secrets from, and as whom. Vault's own variables serve where it has one. No flag
// takes a token, since others on the machine can read them: VAULT_TOKEN does, or a file.
func (p *program) vaultFlags(c *cobra.Command, config *upConfig) {
	f := c.Flags()
	v := &config.Vault
	v.Token = p.env("VAULT_TOKEN")
	own := func(name, vaults string) string { return p.variable(name, p.env(vaults)) }
	f.StringVar(&v.Address, "vault-addr", own("PIER_VAULT_ADDR", "VAULT_ADDR"), "address of the Vault that vault:MOUNT/PATH names (PIER_VAULT_ADDR, VAULT_ADDR)")
	f.StringVar(&v.Namespace, "vault-namespace", own("PIER_VAULT_NAMESPACE", "VAULT_NAMESPACE"), "its namespace (PIER_VAULT_NAMESPACE, VAULT_NAMESPACE)")
	f.StringVar(&v.CACert, "vault-ca-cert", own("PIER_VAULT_CACERT", "VAULT_CACERT"), "PEM file, added to the system's roots for it (PIER_VAULT_CACERT, VAULT_CACERT)")
	f.StringVar(&v.Auth, "vault-auth", p.variable("PIER_VAULT_AUTH", vault.AuthToken), "how this node logs in: token, kubernetes, aws, approle or jwt (PIER_VAULT_AUTH)")
	f.StringVar(&v.AuthMount, "vault-auth-mount", p.env("PIER_VAULT_AUTH_MOUNT"), "where that method is mounted, below auth/ (PIER_VAULT_AUTH_MOUNT; its own name where empty)")
	f.StringVar(&v.Role, "vault-role", p.env("PIER_VAULT_ROLE"), "kubernetes, aws, jwt: the role to log in as (PIER_VAULT_ROLE)")
	f.StringVar(&v.TokenFile, "vault-token-file", own("PIER_VAULT_TOKEN_FILE", "VAULT_TOKEN_FILE"), "token: a file with it (PIER_VAULT_TOKEN_FILE, VAULT_TOKEN_FILE; VAULT_TOKEN is the token itself)")
	f.StringVar(&v.JWTFile, "vault-jwt-file", p.env("PIER_VAULT_JWT_FILE"), "jwt, kubernetes: a file with the token to log in with (PIER_VAULT_JWT_FILE; kubernetes: the pod's own where empty)")
	f.StringVar(&v.RoleID, "vault-role-id", p.env("PIER_VAULT_ROLE_ID"), "approle: the role's id (PIER_VAULT_ROLE_ID)")
	f.StringVar(&v.SecretIDFile, "vault-secret-id-file", p.env("PIER_VAULT_SECRET_ID_FILE"), "approle: a file with the secret id (PIER_VAULT_SECRET_ID_FILE)")
	f.StringVar(&v.AWSServerID, "vault-aws-server-id", p.env("PIER_VAULT_AWS_SERVER_ID"), "aws: what the method wants as X-Vault-AWS-IAM-Server-ID (PIER_VAULT_AWS_SERVER_ID)")
	f.StringVar(&config.VaultRegion, "vault-aws-region", p.variable("PIER_VAULT_AWS_REGION", "us-east-1"), "aws: the region of STS that the method asks (PIER_VAULT_AWS_REGION)")
}

// completeVault fills in the file where Vault's own command line leaves a token, and refuses what cannot be right.
func (c *upConfig) completeVault(p *program) error {
	if c.Vault.Address == "" {
		return nil
	}
	if c.Vault.TokenFile != "" {
		c.Vault.Token = "" // said expressly
	}
	if home := p.env("HOME"); c.Vault.Auth == vault.AuthToken && c.Vault.Token == "" && c.Vault.TokenFile == "" && home != "" {
		c.Vault.TokenFile = filepath.Join(home, ".vault-token")
	}
	if _, err := vault.New(c.vaultAs(nil)); err != nil {
		return pierhead.NewProblem(pierhead.ErrBadInput, err.Error(), "pier up --help and pier agent --help have the flags that begin with --vault")
	}
	return nil
}

// vaultAs is the configuration with who this node is at Amazon.
func (c *upConfig) vaultAs(identity *amazon.Identity) vault.Config {
	v := c.Vault
	v.AWS = vaultCaller{identity, amazon.Place{Region: c.VaultRegion}}
	return v
}

// vaultCaller is this node's identity at Amazon, as Vault wants to see it.
type vaultCaller struct {
	identity *amazon.Identity
	place    amazon.Place
}

// SignedCallerIdentity implements vault.CallerIdentity.
func (v vaultCaller) SignedCallerIdentity(ctx context.Context, headers http.Header) (*http.Request, error) {
	return v.identity.SignedCallerIdentity(ctx, amazon.Source{}, v.place, headers)
}

// addVault gives a node the secrets of the operator's Vault; without one, a reference to it says so.
func addVault(secrets secret.Mux, config upConfig, identity *amazon.Identity) error {
	source, err := vault.New(config.vaultAs(identity))
	if err == nil {
		secrets[vault.Scheme] = source
	}
	return err
}

// vaultKeys are the files with this node's tokens for Vault.
func (c *upConfig) vaultKeys() []string {
	var files []string
	for _, file := range []string{c.Vault.TokenFile, c.Vault.JWTFile, c.Vault.SecretIDFile} {
		if file != "" {
			files = append(files, file)
		}
	}
	return files
}
