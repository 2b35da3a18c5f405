package machine

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"sync"
	"testing"
	"time"
)

// An Authority signs a certificate for every name that is asked for.
type Authority struct {
	PEM         []byte // what those trust who trust it
	Certificate func(hello *tls.ClientHelloInfo) (*tls.Certificate, error)
}

// NewAuthority makes one for a day.
func NewAuthority(t *testing.T) *Authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "the test's authority"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	root, err := x509.ParseCertificate(der)
	must(t, err)
	a := &Authority{PEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
	var mu sync.Mutex
	issued := map[string]*tls.Certificate{}
	a.Certificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		mu.Lock()
		defer mu.Unlock()
		if known := issued[hello.ServerName]; known != nil {
			return known, nil
		}
		leaf := &x509.Certificate{SerialNumber: big.NewInt(int64(len(issued) + 2)), DNSNames: []string{hello.ServerName}, NotBefore: template.NotBefore, NotAfter: template.NotAfter}
		der, err := x509.CreateCertificate(rand.Reader, leaf, root, key.Public(), key)
		if err != nil {
			return nil, err
		}
		issued[hello.ServerName] = &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
		return issued[hello.ServerName], nil
	}
	return a
}
