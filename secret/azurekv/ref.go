package azurekv

import (
	"regexp"
	"strings"

	"pierhead.dev/pierhead/identity/azure"
	"pierhead.dev/pierhead/secret"
)

// An Address is a secret in a vault, as Azure's portal calls its secret identifier.
type Address struct {
	Host    string // of the vault: "acme.vault.azure.net"
	Name    string
	Version string // "" is the current one
	cloud   azure.Cloud
	domain  string // of the cloud's vaults
}

// String is the reference that ParseRef reads.
func (a Address) String() string {
	text := "https://" + a.Host + "/secrets/" + a.Name
	if a.Version != "" {
		text += "/" + a.Version
	}
	return text
}

// Vault is the vault's name.
func (a Address) Vault() string {
	name, _, _ := strings.Cut(a.Host, ".")
	return name
}

// The forms are Microsoft's (learn.microsoft.com/azure/key-vault/general/about-keys-secrets-certificates), anchored at both
// ends: what passes is a vault of Azure's, and a token may go there. Names of vaults are lower case in references, since a
// reference is compared as text.
var (
	vaultShape   = regexp.MustCompile(`^[a-z](?:-?[a-z0-9]){2,23}$`)
	nameShape    = regexp.MustCompile(`^[0-9A-Za-z-]{1,127}$`)
	versionShape = regexp.MustCompile(`^[0-9a-f]{32}$`)
)

// maxVault is the longest name of a vault, in bytes.
const maxVault = 24

func cloudOf(domain string) (azure.Cloud, bool) {
	switch domain {
	case "vault.azure.net":
		return azure.Public, true
	case "vault.azure.cn":
		return azure.China, true
	case "vault.usgovcloudapi.net":
		return azure.Government, true
	}
	return "", false
}

const forms = "write https://VAULT.vault.azure.net/secrets/NAME, with /VERSION behind it for one version only; in Azure China the host is VAULT.vault.azure.cn, in Azure Government VAULT.vault.usgovcloudapi.net"

// ParseRef reads a reference to a secret in Key Vault. The error is a *secret.Error with ErrRef that says which forms there are.
func ParseRef(ref secret.Ref) (Address, error) {
	bad := func(text string) (Address, error) {
		return Address{}, &secret.Error{Kind: secret.ErrRef, Ref: ref, Text: text, Hint: forms}
	}
	rest, isURL := strings.CutPrefix(ref.Name(), "//")
	if ref.Scheme() != "https" || !isURL {
		return bad("this is no reference to a secret in Azure Key Vault")
	}
	parts := strings.Split(rest, "/")
	vault, domain, _ := strings.Cut(parts[0], ".")
	cloud, known := cloudOf(domain)
	switch {
	case domain == "vault.microsoftazure.de":
		return bad("the vault was in Azure Germany, which Microsoft closed on 29 October 2021")
	case strings.HasPrefix(domain, "managedhsm."):
		return bad("a managed HSM holds keys, not secrets")
	case !known:
		return bad("the host is no vault of Azure's, and of all https addresses only those are secrets")
	case len(vault) > maxVault || !vaultShape.MatchString(vault):
		return bad("the vault's name is not one: 3 to 24 lower-case letters, digits and single hyphens, a letter first")
	case len(parts) > 1 && (parts[1] == "keys" || parts[1] == "certificates"):
		return bad("this is the address of one of the vault's " + parts[1] + ", and not of a secret")
	case len(parts) < 3 || len(parts) > 4 || parts[1] != "secrets":
		return bad("the path is not that of a secret")
	case !nameShape.MatchString(parts[2]):
		return bad("the secret's name is not one: letters, digits and hyphens, at most 127")
	case len(parts) == 4 && !versionShape.MatchString(parts[3]):
		return bad("what follows the secret's name is not a version: 32 digits and letters a to f")
	}
	return Address{Host: parts[0], Name: parts[2], Version: strings.Join(parts[3:], ""), cloud: cloud, domain: domain}, nil
}
