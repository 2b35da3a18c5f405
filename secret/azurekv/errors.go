package azurekv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"pierhead.dev/pierhead/identity/azure"
	"pierhead.dev/pierhead/secret"
)

// explain makes a secret's error of what came of a request.
func explain(ref secret.Ref, address Address, who azure.Principal, err error) error {
	var identity *azure.Error
	var answer *azcore.ResponseError
	switch {
	case errors.As(err, &identity):
		return fromIdentity(ref, address, identity)
	case errors.As(err, &answer):
		return fromVault(ref, address, who, answer)
	case errors.Is(err, context.DeadlineExceeded):
		return &secret.Error{Kind: secret.ErrUnreachable, Ref: ref, Text: address.Host + " did not answer within " + wholeTime.String(), Hint: "whoever runs the node's network lets it reach that host on port 443; if it does, the vault is throttling or in trouble: try again in a minute"}
	case errors.Is(err, errChallenge):
		return &secret.Error{Kind: secret.ErrUnreachable, Ref: ref, Text: address.Host + " asks for a token in a way that no vault does: none is sent there", Hint: hintProxy}
	}
	// The library's own error would quote the answer.
	return &secret.Error{Kind: secret.ErrUnreachable, Ref: ref, Text: address.Host + " did not answer with a secret", Hint: hintProxy}
}

const hintProxy = "whoever runs the node's network looks for a proxy or a DNS entry that answers in the vault's place"

func fromIdentity(ref secret.Ref, address Address, e *azure.Error) error {
	out := &secret.Error{Kind: secret.ErrNotAllowed, Ref: ref, Text: e.Text, Hint: e.Hint}
	if errors.Is(e, azure.ErrUnreachable) {
		out.Kind = secret.ErrUnreachable
	}
	if errors.Is(e, azure.ErrNoHost) && strings.HasPrefix(e.Text, address.Host+" ") {
		out.Hint = "check the vault's name: there is no such vault (az keyvault list), or the zone of its private endpoint (privatelink.vaultcore.azure.net) is not linked to the node's network"
	}
	return out
}

// A fault is Key Vault's body of an error.
type fault struct {
	Error struct {
		Code, Message string
		Inner         struct{ Code string } `json:"innererror"`
	}
}

// words are the vault's own, in one line.
func (f fault) words() string {
	text := f.Error.Code
	if f.Error.Inner.Code != "" {
		text += " (" + f.Error.Inner.Code + ")"
	}
	return azure.OneLine(text + " " + f.Error.Message)
}

func fromVault(ref secret.Ref, address Address, who azure.Principal, answer *azcore.ResponseError) error {
	var f fault
	if body, err := runtime.Payload(answer.RawResponse); err == nil {
		_ = json.Unmarshal(body, &f) // what is not Key Vault's has no code
	}
	text := fmt.Sprintf("%s answered %d %s", address.Host, answer.StatusCode, f.words())
	e := &secret.Error{Kind: secret.ErrUnreachable, Ref: ref, Text: strings.TrimSpace(text)}
	switch code := answer.StatusCode; {
	case f.Error.Inner.Code == "SecretDisabled", strings.Contains(f.Error.Message, "disabled secret"):
		return disabled(ref)
	case code == http.StatusNotFound && f.Error.Code == "SecretNotFound":
		e.Kind, e.Hint = secret.ErrNotFound, "check the name and version: az keyvault secret list --vault-name "+address.Vault()+" tells those that there are; a deleted one is kept for a while (az keyvault secret list-deleted)"
	case code == http.StatusForbidden:
		e.Kind, e.Text, e.Hint = secret.ErrNotAllowed, fmt.Sprintf("%s refused %s: 403 %s", address.Host, who, f.words()), hintForbidden(address, who, f)
	case code == http.StatusUnauthorized:
		e.Kind, e.Text = secret.ErrNotAllowed, fmt.Sprintf("%s does not take the token of %s: 401 %s", address.Host, who, f.words())
		e.Hint = "the vault takes tokens of its own tenant only, and the identity's is " + tenantOf(who) + ": use an identity of the vault's tenant (az keyvault show --name " + address.Vault() + " --query properties.tenantId)"
	case code == http.StatusTooManyRequests:
		e.Text, e.Hint = address.Host+" is throttling (429), after several tries", "nothing is wrong with the secret: try again in a minute; a vault serves a few hundred requests a second to all who ask it"
	case code >= 500, code == http.StatusRequestTimeout:
		e.Hint = "try again in some minutes; https://status.azure.com tells of Azure's troubles"
	default:
		e.Hint = hintProxy
	}
	return e
}

// hintForbidden says what to grant to whom, and names the vault's firewall, which answers with the same status.
func hintForbidden(address Address, who azure.Principal, f fault) string {
	firewall := "the vault's firewall must let the node's address or network in (az keyvault network-rule add --name " + address.Vault() + ")"
	switch f.Error.Inner.Code {
	case "ForbiddenByFirewall", "ForbiddenByConnection":
		return "whoever administers the vault: " + firewall
	}
	return "whoever administers the vault grants the role: az role assignment create --assignee " + who.Assignee() + ` --role "Key Vault Secrets User" --scope $(az keyvault show --name ` + address.Vault() +
		" --query id --output tsv); with access policies, az keyvault set-policy --name " + address.Vault() + " --object-id " + who.Assignee() + " --secret-permissions get. It takes some minutes to work. If the role is there, " + firewall
}

func tenantOf(who azure.Principal) string {
	if who.Tenant == "" {
		return "not known"
	}
	return who.Tenant
}

func disabled(ref secret.Ref) error {
	return &secret.Error{Kind: secret.ErrNotAllowed, Ref: ref, Text: "it is disabled", Hint: "whoever looks after the secret enables it (az keyvault secret set-attributes --enabled true) or sets a new version"}
}
