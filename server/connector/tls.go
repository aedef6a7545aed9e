package connector

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/serval-server/serval/server/config"
)

// certStore holds the TLS configuration that is in force. Connections ask it at
// each handshake, so that a new one takes effect at once.
type certStore struct {
	c       config.TLS
	path    func(string) string
	current atomic.Pointer[tls.Config]
}

func newCertStore(c *config.TLS, path func(string) string) (*certStore, error) {
	s := &certStore{c: *c, path: path}
	return s, s.load()
}

// config is what listeners are configured with: it asks for the current one.
func (s *certStore) config() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		NextProtos:         s.nextProtos(),
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.current.Load(), nil },
	}
}

func (s *certStore) nextProtos() []string {
	if s.c.HTTP2 {
		return []string{"h2", "http/1.1"}
	}
	return []string{"http/1.1"}
}

// load reads the files and puts them in force, or changes nothing.
func (s *certStore) load() error {
	t := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: s.nextProtos()}
	if s.c.MinVersion == "1.3" {
		t.MinVersion = tls.VersionTLS13
	}
	for _, pair := range s.c.Certificates {
		cert, err := tls.LoadX509KeyPair(s.path(pair.Cert), s.path(pair.Key))
		if err != nil {
			return fmt.Errorf("certificate %s: %w", pair.Cert, err)
		}
		t.Certificates = append(t.Certificates, cert)
	}
	if s.c.SelfSigned {
		cert, err := s.selfSigned()
		if err != nil {
			return fmt.Errorf("self-signed certificate: %w", err)
		}
		t.Certificates = []tls.Certificate{cert}
	}
	if err := s.clients(t); err != nil {
		return err
	}
	s.current.Store(t)
	return nil
}

// clients sets what is asked of a client's certificate.
func (s *certStore) clients(t *tls.Config) error {
	if s.c.ClientCA != "" {
		pem, err := os.ReadFile(s.path(s.c.ClientCA))
		if err != nil {
			return fmt.Errorf("client-ca: %w", err)
		}
		t.ClientCAs = x509.NewCertPool()
		if !t.ClientCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("client-ca: %s holds no certificate in PEM form", s.c.ClientCA)
		}
	}
	switch s.c.ClientAuth {
	case "require":
		t.ClientAuth = tls.RequireAndVerifyClientCert
	case "request":
		t.ClientAuth = tls.RequestClientCert
		if t.ClientCAs != nil {
			t.ClientAuth = tls.VerifyClientCertIfGiven
		}
	}
	return nil
}

// selfSigned makes a certificate for this machine that lasts as long as the process;
// a reload keeps it.
func (s *certStore) selfSigned() (tls.Certificate, error) {
	if old := s.current.Load(); old != nil {
		return old.Certificates[0], nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return tls.Certificate{}, err
	}
	names := []string{"localhost"}
	if host, err := os.Hostname(); err == nil {
		names = append(names, host)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "localhost (self-signed)"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: names, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
