package store

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net/netip"
	"slices"
	"strings"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/internal/ids"
)

// Bounds of one registry's settings.
const (
	maxPatterns = 200
	maxCA       = 256 << 10 // bytes
	maxListed   = 100       // realms, private networks
	maxSealed   = 64 << 10  // bytes
)

// checkedRegistry is r in the form in which it is saved, or a Problem that names the field that is wrong. No message
// repeats what stands in a field where people put credentials by mistake.
func (k *call) checkedRegistry(o owner, r pierhead.Registry) (pierhead.Registry, error) {
	if err := checkName("registry", r.Name); err != nil {
		return r, err
	}
	if !ids.Valid("reg", r.ID) {
		return r, badInput("the registry's id is not well formed", "leave it out, or draw reg_ and 16 characters of base32 at random")
	}
	if err := k.checkScope(o, &r); err != nil {
		return r, err
	}
	if r.WhenRefused == "" {
		r.WhenRefused = pierhead.RefusedAnonymous
	}
	if r.WhenRefused != pierhead.RefusedAnonymous && r.WhenRefused != pierhead.RefusedFail {
		return r, badInput("when_refused: there is no choice %q", "the choices are anonymous and fail", cut(string(r.WhenRefused)))
	}
	if r.Name == pierhead.HostedRegistryName {
		if err := k.checkHosted(o, &r); err != nil {
			return r, err
		}
		return r, k.checkTies(o, r)
	}
	for _, check := range []func(*pierhead.Registry) error{checkType, checkMatch, checkCredential, checkCA, checkRealms, checkNetworks, checkProxy, checkSample, checkCreate, checkHelper} {
		if err := check(&r); err != nil {
			return r, err
		}
	}
	if err := k.checkSealedTo(r); err != nil {
		return r, err
	}
	return r, k.checkTies(o, r)
}

// checkHosted accepts a predefined registry in which only what may be changed was changed.
func (k *call) checkHosted(o owner, r *pierhead.Registry) error {
	want := k.store.hosted.placed(pierhead.Registry{Type: pierhead.RegistryHosted}, o.name)
	same := (r.Type == "" || r.Type == want.Type) && (len(r.Match) == 0 || slices.Equal(r.Match, want.Match)) &&
		r.Credential == pierhead.RegistryCredential{} && (!r.PlainHTTP || want.PlainHTTP) && r.CA == "" && len(r.Realms) == 0 && len(r.PrivateNetworks) == 0 &&
		r.Proxy == "" && r.Sample == "" && !r.CreateRepositories && r.Helper == ""
	if !same {
		return badInput("the predefined registry %s can only be switched on and off and limited to projects", "add a registry of your own for anything else", r.Name)
	}
	r.Type, r.Match, r.PlainHTTP = want.Type, want.Match, want.PlainHTTP
	return nil
}

// checkScope sorts the projects and sees that the organization has them.
func (k *call) checkScope(o owner, r *pierhead.Registry) error {
	if r.Projects.All && len(r.Projects.Names) > 0 {
		return badInput("projects: it is either all or a list", "leave one of them out")
	}
	r.Projects.Names = slices.Compact(slices.Sorted(slices.Values(r.Projects.Names)))
	for _, name := range r.Projects.Names {
		var n int
		if err := k.row(`SELECT COUNT(*) FROM projects WHERE owner_id = ? AND name = ?`, []any{o.id, name}, &n); err != nil {
			return err
		}
		if n == 0 {
			return badInput("projects: %s has no project %q", "make it first: pier project create "+o.name+"/NAME", o.name, cut(name))
		}
	}
	return nil
}

// checkType infers the type where there is none, and refuses one whose registries are elsewhere than the patterns say.
func checkType(r *pierhead.Registry) error {
	switch r.Type {
	case "":
		r.Type = pierhead.TypeOfMatch(r.Match)
	case pierhead.RegistryHosted:
		return badInput("type: the one hosted registry of an organization is its %s", "other registries are of another type", pierhead.HostedRegistryName)
	}
	if !slices.Contains(pierhead.RegistryTypes(), r.Type) {
		return badInput("type: there is no registry type %q", "the types are ecr, gcp, acr, dockerhub, jfrog and generic", cut(string(r.Type)))
	}
	return nil
}

func checkMatch(r *pierhead.Registry) error {
	if len(r.Match) == 0 {
		return badInput("match: it is empty", "give at least one pattern, for example myregistry.azurecr.io/*")
	}
	if len(r.Match) > maxPatterns {
		return badInput("match: more than %d patterns", "use wildcards, or several registries", maxPatterns)
	}
	seen := map[string]bool{}
	for _, text := range r.Match {
		pattern, err := image.ParsePattern(text)
		if err == nil {
			err = pattern.CheckSave()
		}
		switch {
		case errors.Is(err, image.ErrUserinfo):
			return badInput("match: a pattern has a user name or password in it", "write host/path/* and give the login as the credential")
		case err != nil:
			return badInput("match: %v", "write it as HOST/PATH/*, for example myregistry.azurecr.io/* or docker.io/myusername/*", err)
		case seen[pattern.String()]:
			return badInput("match: %q stands there twice", "leave one of them out", cut(text))
		}
		if err := checkHostOfType(*r, pattern); err != nil {
			return err
		}
		seen[pattern.String()] = true
	}
	return nil
}

// checkHostOfType sees that a vendor's registry is at the vendor's hosts, and that a login goes only to hosts that somebody
// named: a wildcard in the host is for the clouds, whose logins are made for their own hosts alone.
func checkHostOfType(r pierhead.Registry, pattern image.Pattern) error {
	vendor := image.Vendor(r.Type)
	switch {
	case (vendor.Cloud() || vendor == image.VendorDockerHub) && pattern.Vendor() != vendor:
		return badInput("match: %q is not at a host of type %s", "leave the type out, or write the host as the vendor has it: "+hostForms[r.Type], cut(pattern.Written()), r.Type)
	case pattern.HostHasGlob() && !vendor.Cloud():
		return badInput("match: %q has a wildcard in its host", "a registry of type "+string(r.Type)+" needs hosts in full: its login must not go to a host that nobody named", cut(pattern.Written()))
	}
	return nil
}

// hostForms are what the hosts of the vendors' registries look like.
var hostForms = map[pierhead.RegistryType]string{
	pierhead.RegistryECR: "123456789012.dkr.ecr.eu-west-1.amazonaws.com", pierhead.RegistryGCP: "europe-west1-docker.pkg.dev or gcr.io",
	pierhead.RegistryACR: "myregistry.azurecr.io", pierhead.RegistryDockerHub: "docker.io",
}

// hostsOf is the sorted hosts of a checked registry's patterns, as a text.
func hostsOf(r pierhead.Registry) string {
	hosts, _ := image.LiteralHosts(r.Match)
	return strings.Join(hosts, ", ")
}

// sealedKeyID is the key that a sealed text names, or "" when it is none: "sealed:v1:<16 hex digits>:<base64url>", in
// which at least a point (65 bytes) and a tag (16) must be.
func sealedKeyID(sealed pierhead.Sealed) string {
	parts := strings.Split(string(sealed), ":")
	if len(sealed) > maxSealed || len(parts) != 4 || parts[0] != "sealed" || parts[1] != "v1" || !isKeyID(parts[2]) {
		return ""
	}
	if raw, err := base64.RawURLEncoding.DecodeString(parts[3]); err != nil || len(raw) < 65+16 {
		return ""
	}
	return parts[2]
}

// checkSealedTo sees that an agent of the organization published the key, so that somebody can open the credential.
func (k *call) checkSealedTo(r pierhead.Registry) error {
	if r.Credential.Sealed == "" {
		return nil
	}
	keys, err := k.dataKeys(r.OrganizationID)
	if err != nil {
		return err
	}
	id := sealedKeyID(r.Credential.Sealed)
	if !slices.ContainsFunc(keys, func(key pierhead.DataKey) bool { return key.ID == id }) {
		return badInput("credential: it is sealed to the key %s, which no agent of the organization has", "seal it to the organization's key: pier does so by itself", id)
	}
	return nil
}

func checkCA(r *pierhead.Registry) error {
	hint := "give one or more certificates in PEM form (-----BEGIN CERTIFICATE-----), and no key"
	if len(r.CA) > maxCA {
		return badInput("ca: longer than %d bytes", hint, maxCA)
	}
	rest := []byte(strings.TrimSpace(r.CA))
	for len(rest) > 0 {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil || block.Type != "CERTIFICATE" {
			return badInput("ca: it has something that is not a certificate in it", hint)
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return badInput("ca: a certificate does not parse", hint)
		}
		rest = []byte(strings.TrimSpace(string(rest)))
	}
	return nil
}

func checkRealms(r *pierhead.Registry) error {
	if len(r.Realms) > maxListed {
		return badInput("realms: more than %d", "list the hosts of token servers only", maxListed)
	}
	var realms []string
	for _, text := range r.Realms {
		host, err := image.CanonicalHost(text)
		if err != nil || image.HasGlob(host) {
			return badInput("realms: an entry is not a host", "write the token server's HOST or HOST:PORT, without wildcards")
		}
		realms = append(realms, host)
	}
	slices.Sort(realms)
	r.Realms = slices.Compact(realms)
	return nil
}

func checkNetworks(r *pierhead.Registry) error {
	if len(r.PrivateNetworks) > maxListed {
		return badInput("private_networks: more than %d", "join neighbouring networks", maxListed)
	}
	var networks []string
	for _, text := range r.PrivateNetworks {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return badInput("private_networks: %q is not a network", "write it as ADDRESS/BITS, for example 10.20.0.0/16", cut(text))
		}
		if prefix != prefix.Masked() {
			return badInput("private_networks: %s has bits set past its length", "write "+prefix.Masked().String(), prefix)
		}
		networks = append(networks, prefix.String())
	}
	r.PrivateNetworks = networks
	return nil
}
