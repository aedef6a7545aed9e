//go:build linux

package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// message is how long a message is on TCP, with the writer's number.
const message = 100

// tcpLink is TLS over one TCP connection.
type tcpLink struct {
	w     *writers
	raw   *net.TCPConn
	c     *tls.Conn
	group bool

	mu      sync.Mutex
	more    sync.Cond
	order   []int  // guarded by mu: writers whose messages are on the way
	queue   []byte // guarded by mu: group: what waits
	flying  bool   // guarded by mu: group: a batch is not yet acknowledged
	closed  bool
	batches uint64
}

func dialTCP(proto, dir, addr string, w *writers) (link, error) {
	conf, err := loadTLS(dir, "send")
	if err != nil {
		return nil, err
	}
	raw, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	l := &tcpLink{w: w, raw: raw.(*net.TCPConn), c: tls.Client(raw, conf), group: proto == "tcpgroup"}
	l.more.L = &l.mu
	if err := l.c.Handshake(); err != nil {
		return nil, err
	}
	go l.read()
	if l.group {
		go l.flush()
	}
	return l, nil
}

func (l *tcpLink) write(writer, n int) {
	var m [message]byte
	binary.BigEndian.PutUint32(m[:], uint32(n))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.order = append(l.order, writer)
	if l.group {
		l.queue = append(l.queue, m[:]...)
		l.more.Signal()
		return
	}
	l.batches++
	_, _ = l.c.Write(m[:])
}

// flush writes what has queued whenever all before is acknowledged.
func (l *tcpLink) flush() {
	var batch []byte
	for {
		l.mu.Lock()
		for !l.closed && (l.flying || len(l.queue) == 0) {
			l.more.Wait()
		}
		if l.closed {
			l.mu.Unlock()
			return
		}
		batch, l.queue = l.queue, batch[:0]
		l.flying = true
		l.batches++
		l.mu.Unlock()
		if _, err := l.c.Write(batch); err != nil {
			return
		}
	}
}

// read takes acknowledgements: the number of messages received so far.
func (l *tcpLink) read() {
	r := bufio.NewReader(l.c)
	var b [8]byte
	var done uint64
	for {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return
		}
		n := binary.BigEndian.Uint64(b[:])
		l.mu.Lock()
		who := l.order[:n-done]
		l.order = l.order[n-done:]
		if l.flying && len(l.order)*message == len(l.queue) {
			l.flying = false
			l.more.Signal()
		}
		l.mu.Unlock()
		done = n
		for _, i := range who {
			l.w.acked[i] <- struct{}{}
		}
	}
}

func (l *tcpLink) traffic() (bytes, batches uint64) {
	sys, err := l.raw.SyscallConn()
	check(err)
	check(sys.Control(func(fd uintptr) {
		i, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		check(err)
		const headers = 20 + 32 // IPv4, TCP with timestamps
		bytes = i.Bytes_acked + i.Bytes_received + headers*uint64(i.Segs_in+i.Segs_out)
	}))
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes, l.batches
}

func (l *tcpLink) close() {
	l.mu.Lock()
	l.closed = true
	l.more.Broadcast()
	l.mu.Unlock()
	_ = l.raw.Close()
}

// receiveTCP acknowledges messages once per what it has read at a time.
func receiveTCP(dir string) (addr string, end func(), err error) {
	conf, err := loadTLS(dir, "recv")
	if err != nil {
		return "", nil, err
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", conf)
	if err != nil {
		return "", nil, err
	}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go acknowledge(c)
		}
	}()
	return ln.Addr().String(), func() { ln.Close() }, nil
}

func acknowledge(c net.Conn) {
	r := bufio.NewReaderSize(c, 64<<10)
	var n uint64
	var b [8]byte
	for {
		if _, err := r.Discard(message); err != nil {
			return
		}
		if n++; r.Buffered() >= message {
			continue
		}
		binary.BigEndian.PutUint64(b[:], n)
		if _, err := c.Write(b[:]); err != nil {
			return
		}
	}
}

// makeCertificates makes a certificate for each end, which both know.
func makeCertificates(dir string) error {
	for i, name := range []string{"send", "recv"} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		c := &x509.Certificate{
			SerialNumber: big.NewInt(int64(i + 1)), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
			KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		}
		der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
		if err != nil {
			return err
		}
		pk, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name+".crt"), der, 0o600); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name+".key"), pk, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func loadTLS(dir, me string) (*tls.Config, error) {
	pool := x509.NewCertPool()
	conf := &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, ServerName: "recv"}
	for _, name := range []string{"send", "recv"} {
		der, err := os.ReadFile(filepath.Join(dir, name+".crt"))
		if err != nil {
			return nil, err
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		pool.AddCert(c)
		if name != me {
			continue
		}
		pk, err := os.ReadFile(filepath.Join(dir, name+".key"))
		if err != nil {
			return nil, err
		}
		key, err := x509.ParsePKCS8PrivateKey(pk)
		if err != nil {
			return nil, fmt.Errorf("key of %s: %w", name, err)
		}
		conf.Certificates = []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}
	}
	return conf, nil
}
