package transport

import (
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/quic-go/quic-go"
)

// The protocols that are negotiated by TLS (ALPN).
const (
	protoPeer     = "serval-peer/1"
	protoGossip   = "serval-gossip/1"
	protoTripwire = "serval-tripwire/1"
)

// serverTLS is the given configuration for a listener.
func serverTLS(base *tls.Config, protos ...string) *tls.Config {
	c := base.Clone()
	c.MinVersion = tls.VersionTLS13
	c.NextProtos = protos
	c.SessionTicketsDisabled = true
	if ownCheck(c) {
		c.ClientAuth = tls.RequireAnyClientCert
		return c
	}
	c.ClientAuth = tls.RequireAndVerifyClientCert
	if c.ClientCAs == nil {
		c.ClientCAs = c.RootCAs
	}
	return c
}

// clientTLS is the given configuration for dialing. Nodes are known by the name
// in their certificate, which the hello has to match, not by their address: so
// unless the configuration has a check of its own, the chain alone is verified.
func clientTLS(base *tls.Config, proto string) *tls.Config {
	c := base.Clone()
	c.MinVersion = tls.VersionTLS13
	c.NextProtos = []string{proto}
	c.ClientSessionCache = nil
	if c.RootCAs == nil {
		c.RootCAs = c.ClientCAs
	}
	if ownCheck(c) {
		return c
	}
	roots, then := c.RootCAs, c.VerifyConnection
	c.InsecureSkipVerify = true
	c.VerifyConnection = func(s tls.ConnectionState) error {
		if len(s.PeerCertificates) == 0 {
			return errors.New("the peer has no certificate")
		}
		o := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
		for _, i := range s.PeerCertificates[1:] {
			o.Intermediates.AddCert(i)
		}
		if _, err := s.PeerCertificates[0].Verify(o); err != nil {
			return fmt.Errorf("verifying the peer's certificate: %w", err)
		}
		if then != nil {
			return then(s)
		}
		return nil
	}
	return c
}

// ownCheck reports whether a configuration verifies the peer by itself.
func ownCheck(c *tls.Config) bool {
	return c.InsecureSkipVerify && (c.VerifyConnection != nil || c.VerifyPeerCertificate != nil)
}

// certificateName is the default of Config.PeerName.
func certificateName(s tls.ConnectionState) (string, error) {
	if len(s.PeerCertificates) == 0 {
		return "", errors.New("the peer has no certificate")
	}
	c := s.PeerCertificates[0]
	if len(c.DNSNames) > 0 {
		return c.DNSNames[0], nil
	}
	if c.Subject.CommonName == "" {
		return "", errors.New("the peer's certificate has no name")
	}
	return c.Subject.CommonName, nil
}

// resetKey is the key of QUIC's stateless resets. It outlives the process, so
// that a node that has started again can tell its peers that the connections
// that they still have are void (RFC 9000 §10.3).
func resetKey(c *tls.Config) *quic.StatelessResetKey {
	var cert *tls.Certificate
	if len(c.Certificates) > 0 {
		cert = &c.Certificates[0]
	} else if c.GetCertificate != nil {
		cert, _ = c.GetCertificate(&tls.ClientHelloInfo{}) // without one New fails soon enough
	}
	if cert == nil {
		return nil
	}
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		return nil
	}
	b, err := hkdf.Key(sha256.New, key, nil, "serval quic stateless reset", len(quic.StatelessResetKey{}))
	if err != nil {
		return nil
	}
	return (*quic.StatelessResetKey)(b)
}
