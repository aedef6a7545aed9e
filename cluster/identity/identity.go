package identity

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Identity is what a node proves itself with. It is safe for concurrent use.
type Identity struct {
	dir    string
	gossip []byte
	now    func() time.Time

	mu      sync.Mutex
	looked  time.Time // guarded by mu: when the files were looked at
	stamp   [2]string // guarded by mu: what they looked like then
	current *material // guarded by mu
	failed  error     // guarded by mu: why the files of stamp were not taken, nil
}

// material is what one state of the files holds. It is not changed.
type material struct {
	name, cluster string
	cert          *tls.Certificate
	roots         *x509.CertPool
}

// Load reads the folder of a node. The error says which file is missing or wrong
// and which command makes it.
func Load(dir string) (*Identity, error) { return load(dir, time.Now) }

func load(dir string, now func() time.Time) (*Identity, error) {
	id := &Identity{dir: dir, now: now}
	stamp, err := id.stamps()
	if err != nil {
		return nil, missing(dir, err)
	}
	m, err := read(dir, now())
	if err != nil {
		return nil, missing(dir, err)
	}
	name := filepath.Join(dir, GossipKeyFile)
	data, err := readSecret(name)
	if err != nil {
		return nil, missing(dir, err)
	}
	if id.gossip, err = decodeGossipKey(name, data); err != nil {
		return nil, err
	}
	id.current, id.stamp, id.looked = m, stamp, now()
	return id, nil
}

// missing adds to an error about a file that is not there what makes it.
func missing(dir string, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return fmt.Errorf("the node has no complete identity in %s: %w; make the cluster's authority once with \"serval cluster init\", "+
		"then this node's certificate with \"serval cluster enroll NAME --out %s\" (or copy the folder that enroll made elsewhere)", dir, err, dir)
}

// Name is the node's name, from its certificate.
func (id *Identity) Name() string { return id.material().name }

// Cluster is the id of the cluster: that of the authority that signed the node's
// certificate.
func (id *Identity) Cluster() string { return id.material().cluster }

// GossipKey is the key of the gossip's packets, 32 bytes. It is not to be changed.
func (id *Identity) GossipKey() []byte { return id.gossip }

// Ends is when the node's certificate ends.
func (id *Identity) Ends() time.Time { return id.material().cert.Leaf.NotAfter }

// Warning says what an operator should know of the files: that the certificate
// ends within [WarnBefore] or has ended, or that new files could not be taken up. "" if there
// is nothing to say.
func (id *Identity) Warning() string {
	m := id.material()
	id.mu.Lock()
	failed := id.failed
	id.mu.Unlock()
	if failed != nil {
		return fmt.Sprintf("the files in %s have changed and are not used: %v", id.dir, failed)
	}
	switch now, end := id.now(), m.cert.Leaf.NotAfter; {
	case now.After(end):
		return fmt.Sprintf("the certificate of node %s has ended on %s, and no other node connects to it: make another with \"serval cluster enroll %s --out %s\"; no restart is needed", m.name, day(end), m.name, id.dir)
	case now.Add(WarnBefore).After(end):
		return fmt.Sprintf("the certificate of node %s ends on %s: make another with \"serval cluster enroll %s --out %s\"; no restart is needed", m.name, day(end), m.name, id.dir)
	}
	return ""
}

// TLS is the configuration for both ends of a connection between two nodes: TLS
// 1.3 without resumption, both sides with a certificate of the cluster's
// authority, whatever address they have. The caller sets NextProtos. Who the peer
// is says [PeerName].
func (id *Identity) TLS() *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		SessionTicketsDisabled: true,
		ClientAuth:             tls.RequireAnyClientCert,
		// A node is dialed by its address and known by the name in its
		// certificate, so that there is no host name to compare with:
		// VerifyConnection does the whole verification, on both sides.
		InsecureSkipVerify: true,
		VerifyConnection:   id.verify,
		GetCertificate:     func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return id.material().cert, nil },
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return id.material().cert, nil
		},
	}
}

// verify accepts peers that the cluster's authority has signed for.
func (id *Identity) verify(cs tls.ConnectionState) error {
	if len(cs.PeerCertificates) == 0 {
		return errors.New("the peer has no certificate")
	}
	leaf := cs.PeerCertificates[0]
	if leaf.IsCA {
		return errors.New("the peer shows an authority's certificate")
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: id.material().roots, CurrentTime: id.now(),
		Intermediates: x509.NewCertPool(), // the authority signs nodes itself
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return fmt.Errorf("the peer's certificate (%s) is not of this cluster: %w", leaf.Subject.CommonName, err)
	}
	_, err = nameOf(leaf)
	return err
}

// PeerName is the name of the node at the other end of a connection that was made
// with [Identity.TLS].
func PeerName(cs tls.ConnectionState) (string, error) {
	if !cs.HandshakeComplete || len(cs.PeerCertificates) == 0 {
		return "", errors.New("the peer has not shown a certificate")
	}
	return nameOf(cs.PeerCertificates[0])
}

// nameOf is the node's name in a certificate.
func nameOf(c *x509.Certificate) (string, error) {
	if len(c.DNSNames) != 1 || !ValidName(c.DNSNames[0]) {
		return "", fmt.Errorf("the certificate of %s names no node", c.Subject)
	}
	return c.DNSNames[0], nil
}

// lookInterval is how often handshakes look whether the files have changed.
const lookInterval = time.Second

// material is what holds now; it reads the files again when they have changed.
func (id *Identity) material() *material {
	id.mu.Lock()
	defer id.mu.Unlock()
	now := id.now()
	if now.Sub(id.looked) < lookInterval && !now.Before(id.looked) {
		return id.current
	}
	id.looked = now
	stamp, err := id.stamps()
	if err == nil && stamp == id.stamp {
		return id.current
	}
	var m *material
	if err == nil {
		m, err = read(id.dir, now)
	}
	if err == nil && m.name != id.current.name {
		err = fmt.Errorf("%s is for the node %s, this is %s", filepath.Join(id.dir, NodeFile), m.name, id.current.name)
	}
	id.failed = err
	if err == nil {
		id.current, id.stamp = m, stamp
	}
	return id.current
}

// stamps tells two states of the files apart.
func (id *Identity) stamps() (out [2]string, err error) {
	for i, name := range []string{CAFile, NodeFile} {
		info, err := os.Stat(filepath.Join(id.dir, name))
		if err != nil {
			return out, err
		}
		out[i] = fmt.Sprint(info.ModTime().UnixNano(), info.Size())
	}
	return out, nil
}

// read makes the material of a folder.
func read(dir string, now time.Time) (*material, error) {
	caName, nodeName := filepath.Join(dir, CAFile), filepath.Join(dir, NodeFile)
	caData, err := readBounded(caName)
	if err != nil {
		return nil, err
	}
	authorities, err := decodeCerts(caName, caData)
	if err != nil {
		return nil, err
	}
	data, err := readSecret(nodeName)
	if err != nil {
		return nil, err
	}
	key, err := decodeKey(nodeName, data)
	if err != nil {
		return nil, err
	}
	certs, err := decodeCerts(nodeName, data)
	if err != nil {
		return nil, err
	}
	leaf := certs[0]
	if pub, ok := leaf.PublicKey.(*ecdsa.PublicKey); !ok || !pub.Equal(key.Public()) {
		return nil, fmt.Errorf("%s: key and certificate do not belong together", nodeName)
	}
	name, err := nameOf(leaf)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", nodeName, err)
	}
	m := &material{name: name, cert: &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}, roots: x509.NewCertPool()}
	for _, ca := range authorities {
		m.roots.AddCert(ca)
	}
	if now.After(leaf.NotAfter) {
		return nil, fmt.Errorf("%s: the certificate of node %s has ended on %s: make another with \"serval cluster enroll %s --out %s\"", nodeName, name, day(leaf.NotAfter), name, dir)
	}
	i := slices.IndexFunc(authorities, func(ca *x509.Certificate) bool { return leaf.CheckSignatureFrom(ca) == nil })
	if i < 0 {
		return nil, fmt.Errorf("%s: the certificate of node %s was not signed by an authority of %s: enroll the node by that authority", nodeName, name, caName)
	}
	m.cluster = authorities[i].Subject.SerialNumber
	return m, nil
}

// maxFile bounds the files that are read; a real one has some kilobytes at most.
const maxFile = 64 << 10

func readBounded(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s has more than %d bytes", name, maxFile)
	}
	return data, err
}

// readSecret reads a file that strangers must not be able to read, and only its
// owner to change. Its group may read it: mounted secrets (Kubernetes) are like that.
func readSecret(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o027 != 0 && os.PathSeparator == '/' {
		return nil, fmt.Errorf("%s can be read or changed by others (mode %04o): chmod 600 %s", name, info.Mode().Perm(), name)
	}
	return readBounded(name)
}

func decodeCerts(name string, data []byte) (out []*x509.Certificate, err error) {
	for len(data) > 0 {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s has no certificate in PEM form", name)
	}
	return out, nil
}

func decodeKey(name string, data []byte) (*ecdsa.PrivateKey, error) {
	for len(data) > 0 {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "PRIVATE KEY" {
			continue
		}
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if key, ok := key.(*ecdsa.PrivateKey); ok {
			return key, nil
		}
		return nil, fmt.Errorf("%s: the private key is a %T; ECDSA is what \"serval cluster\" makes", name, key)
	}
	return nil, fmt.Errorf("%s has no private key in PEM form", name)
}

func decodeGossipKey(name string, data []byte) ([]byte, error) {
	key, err := hex.DecodeString(strings.TrimSpace(string(data)))
	if err != nil || len(key) != gossipKeySize {
		return nil, fmt.Errorf("%s is not a key of %d bytes in hexadecimal: take the file that \"serval cluster init\" made", name, gossipKeySize)
	}
	return key, nil
}
