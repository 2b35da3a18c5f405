// Package vault holds secret/vault against the real HashiCorp Vault, with the same test that the fake passes. Building Vault
// takes long, so it is a target of its own: make test-vault.
package vault
