package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"time"

	"pierhead.dev/pierhead/identity/amazontest"
)

// Where Amazon is.
const (
	internet = "10.77.0.1"
	account  = "123456789012"
	region   = "eu-west-1"
	ecrHost  = account + ".dkr.ecr." + region + ".amazonaws.com"
	ecrAPI   = "api.ecr." + region + ".amazonaws.com"
	stsAPI   = "sts." + region + ".amazonaws.com"
)

// A cloud is a fake of Amazon's container registry, with one account's access key.
type cloud struct {
	*amazontest.Cloud
	key   *amazontest.Key
	roots string // file with its certificate
	close func() error
}

// newCloud serves it at its own names.
func newCloud(roots string) (*cloud, error) {
	c := &cloud{Cloud: amazontest.New(), roots: roots}
	c.key = c.AccessKey(c.User("aws", account, "bench").Allow("ecr:GetAuthorizationToken", "*"))
	certificate, err := c.certificate()
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", internet+":443")
	if err != nil {
		return nil, err
	}
	server := &http.Server{Handler: c.Cloud, ErrorLog: log.New(io.Discard, "", 0)}
	go server.Serve(tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{certificate}}))
	c.close = server.Close
	return c, nil
}

// certificate is one that is its own authority, for Amazon's names.
func (c *cloud) certificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"}, DNSNames: []string{ecrAPI, ecrHost, stsAPI}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, os.WriteFile(c.roots, text, 0o644)
}

// exchanges is how many logins were made so far.
func (c *cloud) exchanges() int { return c.Count("ecr:GetAuthorizationToken") }
