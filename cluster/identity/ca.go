package identity

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

// The files of a folder. A node's has the first three, an authority's CAFile,
// CAKeyFile and GossipKeyFile.
const (
	CAFile        = "ca.pem"     // certificates of the authority, PEM; several while it is replaced
	NodeFile      = "node.pem"   // the node's private key and certificate, PEM
	GossipKeyFile = "gossip.key" // 32 random bytes, in hexadecimal
	CAKeyFile     = "ca-key.pem" // the authority's private key, PEM
)

// Lifetimes of what is issued, and how long before the end [Identity.Warning] speaks.
const (
	CALifetime   = 10 * 365 * 24 * time.Hour
	NodeLifetime = 2 * 365 * 24 * time.Hour
	WarnBefore   = 30 * 24 * time.Hour
)

// backdate lets a certificate hold on nodes whose clocks are behind.
const backdate = 24 * time.Hour

// gossipKeySize selects AES-256 for the gossip's packets.
const gossipKeySize = 32

var nodeName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// ValidName reports whether a node can have this name: 1 to 64 letters, digits,
// - and _, which is also what a session id's route can be.
func ValidName(name string) bool { return nodeName.MatchString(name) }

// InitCA makes a cluster's authority and gossip key in dir, which is made if need
// be, and returns the cluster's random id. If dir has one of the files already,
// nothing is changed and the error wraps [fs.ErrExist].
func InitCA(dir string) (cluster string, err error) { return initCA(dir, time.Now()) }

func initCA(dir string, now time.Time) (string, error) {
	for _, name := range []string{CAFile, CAKeyFile, GossipKeyFile} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return "", fmt.Errorf("%s: %w: an authority is never replaced; to make another cluster, choose another folder", filepath.Join(dir, name), fs.ErrExist)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	var id [8]byte
	var gossip [gossipKeySize]byte
	_, _ = rand.Read(id[:]) // never fails
	_, _ = rand.Read(gossip[:])
	cluster := hex.EncodeToString(id[:])
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", fmt.Errorf("making the authority's key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: "serval cluster " + cluster, SerialNumber: cluster},
		NotBefore:    now.Add(-backdate), NotAfter: now.Add(CALifetime),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return "", fmt.Errorf("making the authority's certificate: %w", err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	return cluster, errors.Join(
		create(filepath.Join(dir, CAKeyFile), keyPEM),
		create(filepath.Join(dir, CAFile), encodeCert(cert)),
		create(filepath.Join(dir, GossipKeyFile), []byte(hex.EncodeToString(gossip[:])+"\n")))
}

// Enroll makes the files of the node called name in the folder out, which is made
// if need be, with the authority in dir. out may be dir, for a node that keeps the
// authority too. A node.pem that is there is replaced (the node takes it up while
// it runs); a ca.pem of another cluster is not: the error says so.
func Enroll(dir, name, out string) error { return enroll(dir, name, out, time.Now()) }

func enroll(dir, name, out string, now time.Time) error {
	if !ValidName(name) {
		return fmt.Errorf("%q cannot be a node's name: 1 to 64 letters, digits, - or _", name)
	}
	ca, err := loadCA(dir)
	if err != nil {
		return err
	}
	if now.After(ca.cert.NotAfter) {
		return fmt.Errorf("%s: the authority has ended on %s: make another one with \"serval cluster init\"", filepath.Join(dir, CAFile), day(ca.cert.NotAfter))
	}
	gossip, err := readSecret(filepath.Join(dir, GossipKeyFile))
	if err != nil {
		return err
	}
	if _, err := decodeGossipKey(filepath.Join(dir, GossipKeyFile), gossip); err != nil {
		return err
	}
	node, err := ca.issue(name, now)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o700); err != nil {
		return err
	}
	if err := same(filepath.Join(out, CAFile), ca.pem); err != nil {
		return err
	}
	if err := same(filepath.Join(out, GossipKeyFile), gossip); err != nil {
		return err
	}
	return replace(filepath.Join(out, NodeFile), node)
}

// authority is what [InitCA] has made.
type authority struct {
	pem  []byte // of CAFile, the whole
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func loadCA(dir string) (*authority, error) {
	name := filepath.Join(dir, CAFile)
	data, err := readBounded(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s has no authority (%s): make one with \"serval cluster init --dir %s\", once for the whole cluster", dir, CAFile, dir)
	}
	if err != nil {
		return nil, err
	}
	certs, err := decodeCerts(name, data)
	if err != nil {
		return nil, err
	}
	keyName := filepath.Join(dir, CAKeyFile)
	keyData, err := readSecret(keyName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s has no %s: enroll where the authority's key is kept, in the folder that \"serval cluster init\" made", dir, CAKeyFile)
	}
	if err != nil {
		return nil, err
	}
	key, err := decodeKey(keyName, keyData)
	if err != nil {
		return nil, err
	}
	for _, c := range certs {
		if pub, ok := c.PublicKey.(*ecdsa.PublicKey); ok && c.IsCA && pub.Equal(key.Public()) {
			return &authority{pem: data, cert: c, key: key}, nil
		}
	}
	return nil, fmt.Errorf("%s does not belong to any certificate of %s", keyName, name)
}

// issue makes the contents of a node's NodeFile.
func (a *authority) issue(name string, now time.Time) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the key of node %s: %w", name, err)
	}
	end := now.Add(NodeLifetime)
	if end.After(a.cert.NotAfter) {
		end = a.cert.NotAfter
	}
	template := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: name, SerialNumber: a.cert.Subject.SerialNumber},
		DNSNames:     []string{name},
		NotBefore:    now.Add(-backdate), NotAfter: end,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("making the certificate of node %s: %w", name, err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	return append(keyPEM, encodeCert(cert)...), nil
}

func serial() *big.Int {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[0] &= 0x7f           // positive
	b[0] |= 0x40           // and of full length
	return new(big.Int).SetBytes(b[:])
}

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// create writes a secret file that must not exist.
func create(name string, data []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

// same writes a file that is not there, or checks that it says the same.
func same(name string, data []byte) error {
	old, err := readBounded(name)
	if errors.Is(err, fs.ErrNotExist) {
		return create(name, data)
	}
	if err == nil && !bytes.Equal(bytes.TrimSpace(old), bytes.TrimSpace(data)) {
		err = fmt.Errorf("%s is that of another cluster, or of this one before its authority changed: remove it, or choose another folder", name)
	}
	return err
}

// replace writes a file so that a reader sees the old one or the new one.
func replace(name string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // what is left of it has no use
	}
	return err
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02") }
