package identity

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// cluster makes an authority and the folders of nodes.
func cluster(t *testing.T, names ...string) (ca string, dirs map[string]string) {
	t.Helper()
	ca = filepath.Join(t.TempDir(), "ca")
	if _, err := InitCA(ca); err != nil {
		t.Fatal(err)
	}
	dirs = map[string]string{}
	for _, name := range names {
		dirs[name] = filepath.Join(t.TempDir(), "cluster")
		if err := Enroll(ca, name, dirs[name]); err != nil {
			t.Fatal(err)
		}
	}
	return ca, dirs
}

func mustLoad(t *testing.T, dir string) *Identity {
	t.Helper()
	id, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// handshake connects two identities and returns the names that each has seen.
func handshake(t *testing.T, client, server *Identity) (atClient, atServer string, err error) {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	deadline := time.Now().Add(10 * time.Second)
	_, _ = a.SetDeadline(deadline), b.SetDeadline(deadline)
	type side struct {
		name string
		err  error
	}
	done := make(chan side, 1)
	end := func(c *tls.Conn) side {
		err := c.Handshake()
		if err != nil {
			return side{err: err}
		}
		name, err := PeerName(c.ConnectionState())
		return side{name, err}
	}
	go func() {
		c := tls.Server(b, server.TLS())
		s := end(c)
		if s.err == nil { // TLS 1.3: the client learns the server's verdict with the first bytes
			_, s.err = c.Write([]byte{1})
		}
		b.Close()
		done <- s
	}()
	c := tls.Client(a, client.TLS())
	at := end(c)
	if at.err == nil {
		_, at.err = c.Read(make([]byte, 1))
	}
	a.Close()
	other := <-done
	return at.name, other.name, errors.Join(at.err, other.err)
}

func TestNodesOfOneClusterMeet(t *testing.T) {
	_, dirs := cluster(t, "a", "node_b-2")
	a, b := mustLoad(t, dirs["a"]), mustLoad(t, dirs["node_b-2"])
	atClient, atServer, err := handshake(t, a, b)
	if err != nil || atClient != "node_b-2" || atServer != "a" {
		t.Fatalf("got %q and %q, %v", atClient, atServer, err)
	}
	if a.Cluster() != b.Cluster() || len(a.Cluster()) != 16 {
		t.Errorf("clusters %q and %q", a.Cluster(), b.Cluster())
	}
	if !bytes.Equal(a.GossipKey(), b.GossipKey()) || len(a.GossipKey()) != 32 {
		t.Error("the gossip keys differ")
	}
	if w := a.Warning(); w != "" {
		t.Errorf("a new certificate warns: %s", w)
	}
}

func TestStrangersDoNotMeet(t *testing.T) {
	_, ours := cluster(t, "a")
	_, theirs := cluster(t, "a")
	if _, _, err := handshake(t, mustLoad(t, ours["a"]), mustLoad(t, theirs["a"])); err == nil {
		t.Fatal("nodes of two clusters shook hands")
	} else if !strings.Contains(err.Error(), "not of this cluster") {
		t.Errorf("got %v", err)
	}
	// Whoever has no certificate at all.
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	_, _ = a.SetDeadline(time.Now().Add(10*time.Second)), b.SetDeadline(time.Now().Add(10*time.Second))
	go func() { _, _ = tls.Client(a, &tls.Config{InsecureSkipVerify: true}).Read(make([]byte, 1)) }()
	if err := tls.Server(b, mustLoad(t, ours["a"]).TLS()).Handshake(); err == nil {
		t.Fatal("a client without a certificate got in")
	}
}

func TestExpiredPeerIsRefused(t *testing.T) {
	ca, dirs := cluster(t, "a")
	old := filepath.Join(t.TempDir(), "old")
	past := time.Now().Add(-NodeLifetime - time.Hour)
	if err := enroll(ca, "old", old, past); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(old); err == nil || !strings.Contains(err.Error(), "serval cluster enroll old") {
		t.Errorf("an expired identity was loaded: %v", err)
	}
	expired, err := load(old, func() time.Time { return past })
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := handshake(t, expired, mustLoad(t, dirs["a"])); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("got %v", err)
	}
}

func TestWarningBeforeTheEnd(t *testing.T) {
	_, dirs := cluster(t, "a")
	id, err := load(dirs["a"], func() time.Time { return time.Now().Add(NodeLifetime - 29*24*time.Hour) })
	if err != nil {
		t.Fatal(err)
	}
	if w := id.Warning(); !strings.Contains(w, "serval cluster enroll a --out "+dirs["a"]) {
		t.Errorf("got %q", w)
	}
	if left := time.Until(id.Ends()); left < NodeLifetime-time.Hour || left > NodeLifetime {
		t.Errorf("it ends in %v", left)
	}
	id.now = func() time.Time { return time.Now().Add(NodeLifetime + time.Hour) }
	if w := id.Warning(); !strings.Contains(w, "has ended on") {
		t.Errorf("after the end: %q", w)
	}
}

func TestEnrollingAgainNeedsNoRestart(t *testing.T) {
	ca, dirs := cluster(t, "a")
	now := time.Now()
	id, err := load(dirs["a"], func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	serial := func() string {
		c, err := id.TLS().GetCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		return c.Leaf.SerialNumber.String()
	}
	first := serial()
	if err := Enroll(ca, "a", dirs["a"]); err != nil {
		t.Fatal(err)
	}
	now = now.Add(2 * lookInterval)
	second := serial()
	if first == second {
		t.Error("the new certificate was not taken up")
	}
	// What is not for this node, or is broken, is not taken up and said.
	if err := Enroll(ca, "b", dirs["a"]); err != nil {
		t.Fatal(err)
	}
	now = now.Add(2 * lookInterval)
	if serial() != second || id.Name() != "a" || !strings.Contains(id.Warning(), "is for the node b, this is a") {
		t.Errorf("name %s, warning %q", id.Name(), id.Warning())
	}
	if err := os.Remove(filepath.Join(dirs["a"], NodeFile)); err != nil {
		t.Fatal(err)
	}
	now = now.Add(2 * lookInterval)
	if serial() != second || id.Warning() == "" {
		t.Error("a removed certificate is no longer shown, or nothing is said")
	}
}

// TestAnotherAuthority: with both authorities in every ca.pem, nodes of both meet.
func TestAnotherAuthority(t *testing.T) {
	oldCA, old := cluster(t, "a")
	newCA, young := cluster(t, "b")
	var both []byte
	for _, dir := range []string{oldCA, newCA} {
		data, err := os.ReadFile(filepath.Join(dir, CAFile))
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, data...)
	}
	for _, dir := range []string{old["a"], young["b"]} {
		if err := os.WriteFile(filepath.Join(dir, CAFile), both, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := handshake(t, mustLoad(t, old["a"]), mustLoad(t, young["b"])); err != nil {
		t.Error(err)
	}
}

func TestAnAuthorityIsNeverOverwritten(t *testing.T) {
	ca, dirs := cluster(t, "a")
	before, err := os.ReadFile(filepath.Join(ca, CAFile))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := InitCA(ca); !errors.Is(err, fs.ErrExist) {
		t.Errorf("init again: %v", err)
	}
	if err := os.Remove(filepath.Join(ca, CAFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := InitCA(ca); !errors.Is(err, fs.ErrExist) {
		t.Errorf("init over a lone key: %v", err)
	}
	if err := os.WriteFile(filepath.Join(ca, CAFile), before, 0o600); err != nil {
		t.Fatal(err)
	}
	other, _ := cluster(t)
	if err := Enroll(other, "a", dirs["a"]); err == nil || !strings.Contains(err.Error(), "of another cluster") {
		t.Errorf("enrolling into another cluster's folder: %v", err)
	}
	if got, _ := os.ReadFile(filepath.Join(dirs["a"], CAFile)); !bytes.Equal(got, before) {
		t.Error("ca.pem was changed")
	}
}

func TestModes(t *testing.T) {
	ca, dirs := cluster(t, "a")
	for _, name := range []string{
		filepath.Join(ca, CAKeyFile), filepath.Join(ca, GossipKeyFile), filepath.Join(dirs["a"], NodeFile), filepath.Join(dirs["a"], GossipKeyFile),
	} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if m := info.Mode().Perm(); m != 0o600 {
			t.Errorf("%s has mode %04o", name, m)
		}
		if err := os.Chmod(name, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Load(dirs["a"]); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("loading what anybody can read: %v", err)
	}
	if err := Enroll(ca, "b", t.TempDir()); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("enrolling with a key that anybody can read: %v", err)
	}
	if entries, err := os.ReadDir(dirs["a"]); err != nil || len(entries) != 3 {
		t.Errorf("a node's folder has %v, %v; want three files, none of them the authority's key", entries, err)
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	ca, dirs := cluster(t, "a", "b")
	empty := t.TempDir()
	noKey := filepath.Join(t.TempDir(), "nokey")
	if err := Enroll(ca, "x", noKey); err != nil {
		t.Fatal(err)
	}
	spoiled := func(file, text string) string {
		dir := filepath.Join(t.TempDir(), "spoiled")
		if err := Enroll(ca, "x", dir); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	onlyKey := func() string {
		data, err := os.ReadFile(filepath.Join(dirs["a"], NodeFile))
		if err != nil {
			t.Fatal(err)
		}
		return string(data[:bytes.Index(data, []byte("-----BEGIN CERT"))])
	}
	otherCert := func() string {
		data, err := os.ReadFile(filepath.Join(dirs["b"], NodeFile))
		if err != nil {
			t.Fatal(err)
		}
		return onlyKey() + string(data[bytes.Index(data, []byte("-----BEGIN CERT")):])
	}
	loading := func(dir string) error { _, err := Load(dir); return err }
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"load nothing", loading(empty), "serval cluster init"},
		{"load names enroll", loading(empty), "serval cluster enroll NAME --out " + empty},
		{"enroll without an authority", Enroll(empty, "a", t.TempDir()), "serval cluster init --dir " + empty},
		{"enroll at a node", Enroll(noKey, "a", t.TempDir()), "enroll where the authority's key is kept"},
		{"bad name", Enroll(ca, "a.b", t.TempDir()), `"a.b" cannot be a node's name`},
		{"empty name", Enroll(ca, "", t.TempDir()), "1 to 64 letters"},
		{"no PEM", loading(spoiled(NodeFile, "nonsense")), "node.pem has no private key in PEM form"},
		{"key alone", loading(spoiled(NodeFile, onlyKey())), "node.pem has no certificate in PEM form"},
		{"strange pair", loading(spoiled(NodeFile, otherCert())), "do not belong together"},
		{"no authority in it", loading(spoiled(CAFile, "")), "ca.pem has no certificate"},
		{"short gossip key", loading(spoiled(GossipKeyFile, "00ff")), "gossip.key is not a key of 32 bytes"},
		{"too large", loading(spoiled(CAFile, strings.Repeat("x", maxFile+1))), "more than 65536 bytes"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%s: got %v\nwant %s", c.name, c.err, c.want)
		}
	}
}
