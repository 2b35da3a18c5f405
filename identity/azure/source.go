package azure

import (
	"context"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// A source is what somebody proves with who he is.
type source string

const (
	fromSecret      source = "secret"      // a service principal out of a secret
	fromFederation  source = "federation"  // a workload identity
	fromEnvironment source = "environment" // a service principal in the node's environment
	fromManaged     source = "managed"     // a managed identity
)

// find looks for what this node is. It asks the environment and, where that says nothing, the metadata service.
func (w wire) find(ctx context.Context) (source, error) {
	has := func(name string) bool { return os.Getenv(name) != "" }
	switch {
	case has("AZURE_FEDERATED_TOKEN_FILE"):
		return fromFederation, needs("AZURE_FEDERATED_TOKEN_FILE")
	case has("AZURE_CLIENT_SECRET"):
		return fromEnvironment, needs("AZURE_CLIENT_SECRET")
	case has("AZURE_CLIENT_CERTIFICATE_PATH"):
		return fromEnvironment, needs("AZURE_CLIENT_CERTIFICATE_PATH")
	case has("IDENTITY_ENDPOINT"), has("MSI_ENDPOINT"):
		return fromManaged, nil
	}
	if err := w.probe(ctx); err != nil {
		return "", err
	}
	return fromManaged, nil
}

// needs says which of the variables beside one that is set are missing.
func needs(set string) error {
	var missing []string
	for _, name := range []string{"AZURE_CLIENT_ID", "AZURE_TENANT_ID"} {
		if os.Getenv(name) == "" {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return &Error{Kind: ErrNoIdentity, Text: "this node has " + set + " without " + strings.Join(missing, " and "),
		Hint: "the operator of this node sets both AZURE_CLIENT_ID and AZURE_TENANT_ID in the agent's environment, or removes " + set}
}

const (
	metadataHost = "169.254.169.254"
	probeTime    = 2 * time.Second
)

// probe asks the metadata service the way it refuses to be asked, without the header Metadata. Other clouds have one at the
// same address: only Azure's knows this path and answers 400.
func (w wire) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+metadataHost+"/metadata/identity/oauth2/token", nil)
	if err != nil {
		return err
	}
	answer, err := w.Do(request)
	if err != nil {
		return nowhere("its metadata service does not answer")
	}
	defer answer.Body.Close()
	switch code := answer.StatusCode; {
	case code == http.StatusBadRequest, code == http.StatusGone, code == http.StatusTooManyRequests, code >= 500,
		strings.HasPrefix(answer.Header.Get("Server"), "IMDS/"):
		return nil
	}
	return nowhere("what answers at " + metadataHost + " is not Azure's metadata service")
}

func nowhere(why string) error {
	return &Error{Kind: ErrNoIdentity, Text: "this node has no identity in Azure: no AZURE_… variables say who it is, and " + why,
		Hint: "the operator of this node assigns a managed identity to the machine, or sets AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_FEDERATED_TOKEN_FILE; elsewhere than in Azure, put a service principal into the registry's secret"}
}

// ofNode makes the node's actor in a cloud.
func (i *Identity) ofNode(c Cloud, from source) (actor, error) {
	client := os.Getenv("AZURE_CLIENT_ID")
	if from == fromManaged {
		return i.ofManaged(c, client)
	}
	where, err := authorityOf(c, true)
	if err != nil {
		return actor{}, err
	}
	who := actor{source: from, name: "application " + printable(client), authority: where.host, tenant: os.Getenv("AZURE_TENANT_ID"), secret: os.Getenv("AZURE_CLIENT_SECRET")}
	options := i.ClientOptions()
	options.Cloud = cloud.Configuration{ActiveDirectoryAuthorityHost: where.url()}
	if from == fromFederation {
		who.credential, err = azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
			ClientOptions: options, DisableInstanceDiscovery: where.private, AdditionallyAllowedTenants: allowedTenants()})
	} else {
		who.credential, err = azidentity.NewEnvironmentCredential(&azidentity.EnvironmentCredentialOptions{
			ClientOptions: options, DisableInstanceDiscovery: where.private})
	}
	if err != nil {
		return actor{}, unusable(err)
	}
	return who, nil
}

// allowedTenants are the tenants beside its own that the operator lets the node go to.
func allowedTenants() []string {
	return strings.FieldsFunc(os.Getenv("AZURE_ADDITIONALLY_ALLOWED_TENANTS"), func(r rune) bool { return r == ';' })
}

// unusable is about a certificate, a tenant or an address that the library cannot read. Its text names files and
// variables, never what is in them.
func unusable(err error) error {
	return &Error{Kind: ErrNoIdentity, Text: "the identity in this node's environment cannot be used: " + OneLine(err.Error()),
		Hint: "the operator of this node checks the variables AZURE_… of the agent"}
}

func (i *Identity) ofManaged(c Cloud, client string) (actor, error) {
	if c == Germany {
		return actor{}, gone(c)
	}
	options := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: i.ClientOptions()}
	who := actor{source: fromManaged, name: "the managed identity of this node"}
	if client != "" {
		options.ID = azidentity.ClientID(client)
		who.name = "the managed identity " + printable(client)
	}
	var err error
	if who.credential, err = azidentity.NewManagedIdentityCredential(options); err != nil {
		return actor{}, unusable(err)
	}
	return who, nil
}

// ofPrincipal makes the actor of a service principal out of a secret. It is made anew for every token: they last longer
// than the logins made of them.
func (i *Identity) ofPrincipal(c Cloud, p *ServicePrincipal) (actor, error) {
	where, err := authorityOf(c, false)
	if err != nil {
		return actor{}, err
	}
	who := actor{source: fromSecret, name: "application " + printable(p.Client), authority: where.host, tenant: p.Tenant, secret: string(p.Secret.Reveal())}
	options := i.ClientOptions()
	options.Cloud = cloud.Configuration{ActiveDirectoryAuthorityHost: where.url()}
	who.credential, err = azidentity.NewClientSecretCredential(p.Tenant, p.Client, who.secret,
		&azidentity.ClientSecretCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: where.private})
	if err != nil {
		return actor{}, &Error{Kind: ErrRefused, Text: "the service principal in the secret cannot be used: its tenant or its client secret is not one",
			Hint: "write the tenant's id or domain, the application's id and its client secret as Azure shows them"}
	}
	return who, nil
}
