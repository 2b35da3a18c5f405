package azuretest

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"time"
)

// An Application is somebody in the tenant: a service principal, or a managed identity.
type Application struct {
	Client   string // the application's id
	Object   string // the service principal's
	Resource string // of a managed identity
	System   bool   // a managed identity that is the machine's own

	cloud        *Cloud
	secrets      []clientSecret
	certificates map[string]*x509.Certificate // by thumbprint, as in assertions
	federated    []federation
	disabled     bool
	conditional  bool
	roles        map[string]bool
}

type clientSecret struct {
	value   string
	expires time.Time
}

type federation struct{ issuer, subject, audience string }

// Audience is what federated tokens are for.
const Audience = "api://AzureADTokenExchange"

// Application registers one, with a service principal.
func (c *Cloud) Application() *Application {
	a := &Application{Client: NewID(), Object: NewID(), cloud: c, certificates: map[string]*x509.Certificate{}, roles: map[string]bool{}}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.applications[a.Client] = a
	return a
}

// Assign gives the machine a user-assigned managed identity.
func (c *Cloud) Assign(name string) *Application {
	a := c.Application()
	a.Resource = "/subscriptions/" + NewID() + "/resourcegroups/nodes/providers/Microsoft.ManagedIdentity/userAssignedIdentities/" + name
	c.mu.Lock()
	defer c.mu.Unlock()
	c.machine = append(c.machine, a)
	return a
}

// AssignSystem gives the machine an identity of its own.
func (c *Cloud) AssignSystem() *Application {
	a := c.Assign("")
	a.System, a.Resource = true, "/subscriptions/"+NewID()+"/resourcegroups/nodes/providers/Microsoft.Compute/virtualMachines/node-1"
	return a
}

// Secret makes a client secret that lasts for a while; a negative while has ended.
func (a *Application) Secret(life time.Duration) string {
	value := a.cloud.keep(newSecret())
	a.cloud.mu.Lock()
	defer a.cloud.mu.Unlock()
	a.secrets = append(a.secrets, clientSecret{value, time.Now().Add(life)})
	return value
}

// Certificate registers a certificate and returns it with its key, in PEM.
func (a *Application) Certificate() []byte {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		a.cloud.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "pier"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		a.cloud.t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		a.cloud.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.cloud.t.Fatal(err)
	}
	thumbprint := sha256.Sum256(der)
	a.cloud.mu.Lock()
	a.certificates[base64.StdEncoding.EncodeToString(thumbprint[:])] = certificate
	a.cloud.mu.Unlock()
	var out bytes.Buffer
	_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: der})     // into memory
	_ = pem.Encode(&out, &pem.Block{Type: "PRIVATE KEY", Bytes: private}) // likewise
	a.cloud.keep(base64.StdEncoding.EncodeToString(private))              // one line of it would be found as well
	return out.Bytes()
}

// Federate lets the tokens of an issuer for a subject stand for the application.
func (a *Application) Federate(issuer, subject, audience string) {
	a.cloud.mu.Lock()
	defer a.cloud.mu.Unlock()
	a.federated = append(a.federated, federation{issuer, subject, audience})
}

// Disable has Entra refuse it.
func (a *Application) Disable() {
	a.cloud.mu.Lock()
	defer a.cloud.mu.Unlock()
	a.disabled = true
}

// Block has a Conditional Access policy refuse it.
func (a *Application) Block() {
	a.cloud.mu.Lock()
	defer a.cloud.mu.Unlock()
	a.conditional = true
}

// secretIs says whether a client secret is right, and whether its time is over.
func (a *Application) secretIs(value string) (right, expired bool) {
	for _, s := range a.secrets {
		if subtle.ConstantTimeCompare([]byte(s.value), []byte(value)) == 1 {
			return true, !time.Now().Before(s.expires)
		}
	}
	return false, false
}
