package agent

import (
	"errors"
	"fmt"
	"io/fs"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/secret"
	"pierhead.dev/pierhead/secret/sealed"
)

// DataKeys are the private keys that open sealed credentials. They are made on the first node, lie in its own directory,
// and never go to the control plane.
type DataKeys struct{ keys sealed.Keys }

// OpenDataKeys reads the keys at path, or makes a first one there.
func OpenDataKeys(path string) (*DataKeys, error) {
	keys, err := sealed.ReadKeys(path)
	if errors.Is(err, fs.ErrNotExist) {
		var key sealed.Key
		if key, err = sealed.GenerateKey(); err == nil {
			keys = sealed.Keys{key}
			err = sealed.WriteKeys(path, keys)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("the node's data keys: %w", err)
	}
	return &DataKeys{keys: keys}, nil
}

// KeptDataKeys reads the keys at path; where there are none, the node has none: it opens no sealed credential, and serves
// registries with a secret reference or by its own identity.
func KeptDataKeys(path string) (*DataKeys, error) {
	keys, err := sealed.ReadKeys(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the node's data keys: %w", err)
	}
	return &DataKeys{keys: keys}, nil
}

// GivenDataKeys reads keys as a file or a secret store has them. The error does not repeat them.
func GivenDataKeys(text []byte) (*DataKeys, error) {
	keys, err := sealed.ParseKeys(text)
	return &DataKeys{keys: keys}, err
}

// None tells whether the node has no data key.
func (k *DataKeys) None() bool { return len(k.keys) == 0 }

// Public is the half that is published: what new credentials are sealed to; the zero key where there is none.
func (k *DataKeys) Public() pierhead.DataKey {
	if k.None() {
		return pierhead.DataKey{}
	}
	public := k.keys[0].Public()
	return pierhead.DataKey{ID: public.ID(), PublicKey: public.String()}
}

// Unseal opens a registry's sealed login. It is bound to the registry's id, organization, type and literal hosts: if the
// control plane says that the registry has other hosts now, the login stays closed.
func (k *DataKeys) Unseal(registry pierhead.Registry, hosts []string) (secret.Value, error) {
	if k.None() {
		return secret.Value{}, pierhead.NewProblem(pierhead.ErrPull, fmt.Sprintf("the login of registry %s is sealed, and this node has no data key to open it", registry.Name),
			"the operator gives this node the key of the organization's first one: pier agent --data-key FILE; or keep the login in a secret store, and name it with --secret")
	}
	binding := sealed.Binding{OrganizationID: registry.OrganizationID, RegistryID: registry.ID, Type: string(registry.Type), Hosts: hosts}
	value, err := sealed.Open(k.keys, binding, string(registry.Credential.Sealed))
	if err != nil {
		return secret.Value{}, &pierhead.Problem{Kind: pierhead.ErrPull, Cause: err,
			Text: fmt.Sprintf("the sealed login of registry %s does not open on this node: %v", registry.Name, err),
			Hint: "an organization admin types it in again: pier registry update " + registry.Name + " --username NAME --password-stdin"}
	}
	return value, nil
}
