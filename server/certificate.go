package server

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/internal/durable"
)

// Lives of certificates of our own.
const (
	authorityLife = 10 * 365 * 24 * time.Hour
	leafLife      = 90 * 24 * time.Hour
	leafRenewal   = 30 * 24 * time.Hour // before its end
	reloadEvery   = time.Minute         // how often certificate files are looked at
)

// authorityFile holds the authority's key and certificate in one file, so that no crash leaves one without the other.
// trustFile is the certificate alone, for people to copy to clients.
const (
	authorityFile = "authority.pem"
	trustFile     = "ca.pem"
)

// An authority signs this server's certificates; its own is what clients trust.
type authority struct {
	key         crypto.Signer
	certificate *x509.Certificate
}

// openAuthority reads the authority in a directory, or makes it.
func openAuthority(directory string, now func() time.Time) (*authority, error) {
	if directory == "" {
		return nil, errors.New("--tls self: no directory to keep its authority in")
	}
	path := filepath.Join(directory, authorityFile)
	text, err := os.ReadFile(path)
	var opened *authority
	switch {
	case err == nil:
		if opened, err = parseAuthority(path, text); err != nil {
			return nil, err
		}
	case errors.Is(err, fs.ErrNotExist):
		opened, err = makeAuthority(path, now())
	}
	if err == nil {
		err = opened.layOut(filepath.Join(directory, trustFile))
	}
	if err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	return opened, nil
}

// makeAuthority makes an authority and keeps it at path.
func makeAuthority(path string, now time.Time) (*authority, error) {
	made, err := newAuthority(now)
	if err != nil {
		return nil, err
	}
	key, err := x509.MarshalPKCS8PrivateKey(made.key)
	if err != nil {
		return nil, err
	}
	directory := filepath.Dir(path)
	if err := durable.NewDirs(durable.OS{}, filepath.Dir(directory)).Ensure(directory); err != nil {
		return nil, err
	}
	text := append(made.pem(), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
	return made, durable.WriteFile(durable.OS{}, path, text)
}

// layOut writes the certificate, and never the key, where people find it.
func (a *authority) layOut(path string) error {
	if written, err := os.ReadFile(path); err == nil && bytes.Equal(written, a.pem()) {
		return nil
	}
	return durable.WriteFile(durable.OS{}, path, a.pem())
}

func parseAuthority(path string, text []byte) (*authority, error) {
	broken := pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("the certificate authority in %s cannot be read", path),
		"restore it, or delete it for a new one that every client has to trust anew")
	pair, err := tls.X509KeyPair(text, text)
	if err != nil {
		return nil, broken
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok || !pair.Leaf.IsCA {
		return nil, broken
	}
	return &authority{key, pair.Leaf}, nil
}

func newAuthority(now time.Time) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "Pierhead " + hex.EncodeToString(serial().Bytes()[:4])},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(authorityLife),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	return &authority{key, certificate}, err
}

// serial is 127 random bits, never short.
func serial() *big.Int {
	bytes := make([]byte, 16)
	_, _ = rand.Read(bytes) // never fails; it ends the process instead
	bytes[0] = bytes[0]&0x7f | 0x40
	return new(big.Int).SetBytes(bytes)
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})
}

func (a *authority) hash() string {
	return "sha256:" + hex.EncodeToString(a.sum())
}

func (a *authority) sum() []byte {
	sum := sha256.Sum256(a.certificate.Raw)
	return sum[:]
}

// sign makes a server certificate.
func (a *authority) sign(names []string, now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "pierhead"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(leafLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else if name != "" {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	return &tls.Certificate{Certificate: [][]byte{der, a.certificate.Raw}, PrivateKey: key, Leaf: leaf}, err
}

// A selfSigned has the current certificate of an authority, and makes the next before it ends.
type selfSigned struct {
	authority *authority
	names     []string
	now       func() time.Time
	mu        sync.Mutex
	current   *tls.Certificate
}

func newSelfSigned(a *authority, names []string, now func() time.Time) *selfSigned {
	all := append([]string{"localhost", "127.0.0.1", "::1"}, names...)
	if machine, err := os.Hostname(); err == nil {
		all = append(all, machine)
	}
	slices.Sort(all)
	return &selfSigned{authority: a, names: slices.Compact(all), now: now}
}

func (s *selfSigned) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if s.current != nil && s.current.Leaf.NotAfter.Sub(now) > leafRenewal {
		return s.current, nil
	}
	made, err := s.authority.sign(s.names, now)
	if err != nil {
		return s.current, err
	}
	s.current = made
	return made, nil
}

// A pairFiles has the certificate of two files, and reads them again when they were replaced: certificates are renewed
// while the server runs.
type pairFiles struct {
	cert, key string
	now       func() time.Time
	mu        sync.Mutex
	current   *tls.Certificate
	looked    time.Time
	modified  time.Time
}

func newPairFiles(cert, key string, now func() time.Time) (*pairFiles, error) {
	p := &pairFiles{cert: cert, key: key, now: now}
	if err := p.read(); err != nil {
		return nil, &pierhead.Problem{Kind: pierhead.ErrBadInput, Text: fmt.Sprintf("the certificate %s and the key %s cannot be used", cert, key),
			Hint: "give PEM files that belong together and that pier may read", Cause: err}
	}
	return p, nil
}

func (p *pairFiles) read() error {
	p.looked = p.now()
	info, err := os.Stat(p.cert)
	if err != nil || info.ModTime().Equal(p.modified) {
		return err
	}
	pair, err := tls.LoadX509KeyPair(p.cert, p.key)
	if err != nil {
		return err
	}
	p.current, p.modified = &pair, info.ModTime()
	return nil
}

// certificate keeps the old pair when the new one cannot be read: a renewal that is half done must not end service.
func (p *pairFiles) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now().Sub(p.looked) > reloadEvery {
		_ = p.read()
	}
	return p.current, nil
}
