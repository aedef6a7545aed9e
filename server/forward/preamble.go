package forward

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"

	"github.com/fxamacker/cbor/v2"
)

// preamble is what goes before a request on its stream: a magic number, the
// length as two bytes, and a CBOR map whose unknown keys are skipped, so that nodes
// of different versions understand each other.
type preamble struct {
	// Hops is how often the request has been forwarded, this time included.
	Hops int `cbor:"1,keyasint"`
	// Remote is the client's address as Request.RemoteAddr has it, Local the
	// address that it connected to; "" if it is not known.
	Remote string `cbor:"2,keyasint,omitempty"`
	Local  string `cbor:"3,keyasint,omitempty"`
	// Major and Minor are the version of HTTP that the client speaks.
	Major int `cbor:"4,keyasint,omitempty"`
	Minor int `cbor:"5,keyasint,omitempty"`
	// TLS is how the client's connection is secured, nil if it is not.
	TLS *tlsState `cbor:"6,keyasint,omitempty"`
}

// tlsState is the part of tls.ConnectionState that applications ask for (Servlet 6.1
// §3.10: cipher suite, key size, certificates).
type tlsState struct {
	Version      uint16   `cbor:"1,keyasint,omitempty"`
	Suite        uint16   `cbor:"2,keyasint,omitempty"`
	ServerName   string   `cbor:"3,keyasint,omitempty"`
	Protocol     string   `cbor:"4,keyasint,omitempty"`
	Resumed      bool     `cbor:"5,keyasint,omitempty"`
	Certificates [][]byte `cbor:"6,keyasint,omitempty"`
}

const (
	// magic begins a preamble: "sF" and the version of its layout.
	magic = "sF\x01"
	// maxPreamble bounds it: certificates are what is long, and more than this
	// is refused by TLS stacks too.
	maxPreamble = 60 << 10
	// maxHops bounds what a preamble may say; one is all that the protocol uses.
	maxHops = 16
)

var (
	errMagic = errors.New("forward: the stream does not begin with a preamble")

	encodeMode = must(cbor.EncOptions{}.EncMode())
	decodeMode = must(cbor.DecOptions{MaxNestedLevels: 4, MaxArrayElements: 16, MaxMapPairs: 32, IndefLength: cbor.IndefLengthForbidden}.DecMode())
)

// must is for options that are constants.
func must[T any](mode T, err error) T {
	if err != nil {
		panic("forward: " + err.Error())
	}
	return mode
}

// describe makes the preamble of a request that is forwarded for the hops-th time.
func describe(r *http.Request, hops int) *preamble {
	p := &preamble{Hops: hops, Remote: r.RemoteAddr, Major: r.ProtoMajor, Minor: r.ProtoMinor}
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		p.Local = local.String()
	}
	if s := r.TLS; s != nil {
		p.TLS = &tlsState{Version: s.Version, Suite: s.CipherSuite, ServerName: s.ServerName, Protocol: s.NegotiatedProtocol, Resumed: s.DidResume}
		for _, c := range s.PeerCertificates {
			p.TLS.Certificates = append(p.TLS.Certificates, c.Raw)
		}
	}
	return p
}

// append adds the preamble's bytes.
func (p *preamble) append(dst []byte) ([]byte, error) {
	body, err := encodeMode.Marshal(p)
	if err != nil {
		return dst, fmt.Errorf("forward: preamble: %w", err)
	}
	if len(body) > maxPreamble {
		return dst, fmt.Errorf("forward: the client's certificates have %d bytes, more than %d", len(body), maxPreamble)
	}
	dst = append(dst, magic...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(body)))
	return append(dst, body...), nil
}

// readPreamble reads a preamble, and nothing beyond it.
func readPreamble(r io.Reader) (*preamble, error) {
	var head [len(magic) + 2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	if string(head[:len(magic)]) != magic {
		return nil, errMagic
	}
	n := int(binary.BigEndian.Uint16(head[len(magic):]))
	if n > maxPreamble {
		return nil, fmt.Errorf("forward: a preamble of %d bytes, more than %d", n, maxPreamble)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, err
	}
	p := new(preamble)
	if err := decodeMode.Unmarshal(body, p); err != nil {
		return nil, fmt.Errorf("forward: preamble: %w", err)
	}
	if p.Hops < 1 || p.Hops > maxHops {
		return nil, fmt.Errorf("forward: a preamble with %d hops, 1 to %d are possible", p.Hops, maxHops)
	}
	if p.Major < 1 || p.Major > 3 || p.Minor < 0 || p.Minor > 1 {
		return nil, fmt.Errorf("forward: a preamble with HTTP/%d.%d", p.Major, p.Minor)
	}
	return p, nil
}

// state is the TLS state for Request.TLS, nil if the connection was not secured.
func (p *preamble) state() (*tls.ConnectionState, error) {
	if p.TLS == nil {
		return nil, nil
	}
	s := &tls.ConnectionState{
		Version: p.TLS.Version, CipherSuite: p.TLS.Suite, ServerName: p.TLS.ServerName, HandshakeComplete: true,
		NegotiatedProtocol: p.TLS.Protocol, DidResume: p.TLS.Resumed,
	}
	for _, raw := range p.TLS.Certificates {
		c, err := x509.ParseCertificate(raw)
		if err != nil {
			return nil, fmt.Errorf("forward: preamble: certificate: %w", err)
		}
		s.PeerCertificates = append(s.PeerCertificates, c)
	}
	return s, nil
}

// address is "ip:port" as a net.Addr; nil for anything else.
func address(s string) net.Addr {
	a, err := netip.ParseAddrPort(s)
	if err != nil {
		return nil
	}
	return net.TCPAddrFromAddrPort(a)
}
