package config

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/serval-server/serval/conf"
	"github.com/serval-server/serval/descriptor/stricttoml"
)

// home makes a home with the given server.toml.
func home(t *testing.T, toml string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "conf"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "conf", "server.toml"), []byte(toml), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestNoFile(t *testing.T) {
	dir := t.TempDir()
	c, err := Load(Options{Home: dir})
	if err != nil {
		t.Fatal(err)
	}
	if want := Default(dir); !reflect.DeepEqual(c, want) {
		t.Errorf("got %+v\nwant %+v", c, want)
	}
}

func TestShippedFileHoldsTheDefaults(t *testing.T) {
	dir := home(t, string(conf.Server))
	c, err := Load(Options{Home: dir})
	if err != nil {
		t.Fatal(err)
	}
	want := Default(dir)
	want.File = filepath.Join(dir, "conf", "server.toml")
	want.Hosts[0].Aliases, want.Valves.AccessLog.Exclude, want.Cluster.Seeds = []string{}, []string{}, []string{}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got %+v\nwant %+v", c, want)
	}
}

// TestShippedFileDocumentsEveryKey uncomments the sections that are off and
// looks for every key of the model, and that what stands there is the default.
func TestShippedFileDocumentsEveryKey(t *testing.T) {
	full := regexp.MustCompile(`(?m)^#(\[|[a-z0-9-]+ = )`).ReplaceAllString(string(conf.Server), "$1")
	full = strings.Replace(full, "self-signed = false", "", 1)
	dir := home(t, full)
	c, err := Load(Options{Home: dir})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range stricttoml.Keys(Config{}) {
		if len(p) > 2 && p[0] == "hosts" && p[2] == "valves" {
			continue // said once, at [valves]
		}
		key := p[len(p)-1]
		at := regexp.MustCompile(`(?m)^#?\s*(\[*[a-z.0-9-]*\b)?` + regexp.QuoteMeta(key) + `(\]| =)|\{ cert = .*key = `)
		if !at.MatchString(string(conf.Server)) {
			t.Errorf("%s is not in conf/server.toml", p)
		}
	}
	var v Valves
	for i, rv := 0, reflect.ValueOf(&v).Elem(); i < rv.NumField(); i++ {
		if f := rv.Field(i); f.Kind() == reflect.Pointer {
			f.Set(reflect.New(f.Type().Elem()))
			f.Interface().(stricttoml.Defaulter).SetDefaults()
			got, want := reflect.ValueOf(c.Valves).Field(i).Elem(), f.Elem()
			for j := range got.NumField() {
				if g, w := got.Field(j), want.Field(j); !reflect.DeepEqual(g.Interface(), w.Interface()) && (g.Kind() != reflect.Slice || g.Len()+w.Len() > 0) {
					t.Errorf("%s.%s: file %v, default %v", rv.Type().Field(i).Name, got.Type().Field(j).Name, g, w)
				}
			}
		}
	}
	var tls TLS
	tls.SetDefaults()
	tls.Certificates = c.Connectors[1].TLS.Certificates
	if !reflect.DeepEqual(*c.Connectors[1].TLS, tls) {
		t.Errorf("tls %+v, want %+v", *c.Connectors[1].TLS, tls)
	}
}

// TestDocumentedKeysExist looks at the keys that docs/server-configuration.md names.
func TestDocumentedKeysExist(t *testing.T) {
	doc, err := os.ReadFile("../../docs/server-configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, p := range stricttoml.Keys(Config{}) {
		known[strings.ReplaceAll(p.String(), ".*", "")] = true
	}
	n := 0
	for _, m := range regexp.MustCompile("`\\[?((?:server|limits|connectors|hosts|log|valves|cluster|cache)\\.[a-z0-9.-]+)").FindAllStringSubmatch(string(doc), -1) {
		key := strings.NewReplacer("connectors.http.", "connectors.", "hosts.0.", "hosts.").Replace(m[1])
		if key == "server.toml" || strings.HasPrefix(key, "valves.custom.") {
			continue
		}
		n++
		if !known[key] {
			t.Errorf("%s is not a key", m[1])
		}
	}
	if n < 30 {
		t.Errorf("only %d keys found: does the page still name them?", n)
	}
}

func TestEveryProblemIsReported(t *testing.T) {
	dir := home(t, `[server]
node = "a.b"
default-host = "nowhere"
drain-timeout = 30
[limits]
max-header-size = "1KiB"
max-conections = 5
[[connectors]]
name = "x"
address = "8080:80:80"
[[connectors]]
name = "x"
[connectors.tls]
min-version = "1.1"
[valves.remote-address]
deny = ["10.0.0.0/8", "nonsense"]
`)
	file := filepath.Join(dir, "conf", "server.toml")
	_, err := Load(Options{Home: dir})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`:4:1: server.drain-timeout: "30" is not a duration: write a number with a unit`,
		`:7:1: limits.max-conections: unknown key in limits; did you mean "max-connections"?`,
		`:10:1: connectors.0.address: "8080:80:80" is not an address`,
		`:16:23: valves.remote-address.deny.1: "nonsense" is not an IP address or network`,
	} {
		if !strings.Contains(err.Error(), file+want) {
			t.Errorf("no %q in:\n%v", file+want, err)
		}
	}
	dir = home(t, `[server]
node = "a.b"
default-host = "nowhere"
[limits]
max-header-size = "1KiB"
max-connections = -5
[[connectors]]
name = "x"
address = ":0"
[[connectors]]
name = "x"
[connectors.tls]
min-version = "1.1"
[[hosts]]
name = "localhost"
aliases = ["a.example", "A.Example", "b c"]
deploy-ignore = "("
[hosts.valves.access-log]
rotate = "weekly"
pattern = "%h %y"
exclude = ["health"]
[valves.compression]
level = 11
[valves.custom.mine]
`)
	_, err = Load(Options{Home: dir})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`:2:1: server.node: "a.b" cannot be a route`,
		`:3:1: server.default-host: there is no host "nowhere"`,
		`:5:1: limits.max-header-size: 1KiB is out of range`,
		`:6:1: limits.max-connections: -5 is negative`,
		`:11:1: connectors.1.name: "x" is the name of connectors.0 (line 8) too`,
		`connectors.1.address: is missing`,
		`:12:1: connectors.1.tls: needs certificates`,
		`:13:1: connectors.1.tls.min-version: "1.1" is not one of 1.2, 1.3`,
		`:16:25: hosts.0.aliases.1: "A.Example" is taken by hosts.0.aliases.0`,
		`:16:38: hosts.0.aliases.2: "b c" is not a host name`,
		`:17:1: hosts.0.deploy-ignore: error parsing regexp`,
		`:19:1: hosts.0.valves.access-log.rotate: "weekly" is not one of daily, hourly, never`,
		`:21:12: hosts.0.valves.access-log.exclude.0: "health" does not start with /`,
		`:23:1: valves.compression.level: 11 is out of range`,
		`:20:1: hosts.0.valves.access-log.pattern: pattern, column 4: unknown code %y`,
		`:24:1: valves.custom.mine: no valve of this name`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in:\n%v", want, err)
		}
	}
}

func TestOverrides(t *testing.T) {
	dir := home(t, "[[connectors]]\nname='tls'\naddress=':1'\n[connectors.tls]\nself-signed=true\n[[connectors]]\nname='plain'\naddress=':2'\n")
	c, err := Load(Options{Home: dir, HTTP: "localhost:9", Node: "n1", Sets: []string{
		"limits.max-body-size=1MiB", "connectors.tls.tls.http3=false", "hosts.localhost.aliases=['x.example']", "valves.access-log.enabled=false",
	}})
	if err != nil {
		t.Fatal(err)
	}
	if c.Connectors[1].Address != "localhost:9" || c.Connectors[0].Address != ":1" || c.Server.Node != "n1" || c.Limits.MaxBodySize != 1<<20 ||
		c.Connectors[0].TLS.HTTP3 || c.Hosts[0].Aliases[0] != "x.example" || c.Valves.AccessLog.Enabled || c.Valves.AccessLog.Pattern != "common" {
		t.Errorf("got %+v", c)
	}
	for set, want := range map[string]string{
		"limits.max-body=1":           `--set limits.max-body=1: limits.max-body: unknown key in limits; did you mean "max-body-size"?`,
		"connectors.https.address=:1": `connectors has no element "https"`,
		"nonsense":                    `want key=value`,
		"server.node=a.b":             `--set server.node=a.b: server.node: "a.b" cannot be a route`,
		"connectors.plain.address=x":  `--set connectors.plain.address=x: connectors.1.address: "x" is not an address`,
	} {
		if _, err := Load(Options{Home: dir, Sets: []string{set}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("--set %s: %v, want %s", set, err, want)
		}
	}
	if _, err := Load(Options{Home: dir, HTTP: "x"}); err == nil || !strings.HasPrefix(err.Error(), "--http x: connectors.1.address") {
		t.Errorf("--http x: %v", err)
	}
}

func TestFileAndHomeProblems(t *testing.T) {
	dir := t.TempDir()
	for name, o := range map[string]Options{
		"no such file":   {Home: dir, File: filepath.Join(dir, "x.toml")},
		"no such folder": {Home: filepath.Join(dir, "x")},
		"a folder":       {Home: dir, File: dir},
	} {
		if _, err := Load(o); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
	dir = home(t, "[server\n")
	if _, err := Load(Options{Home: dir}); err == nil || !strings.Contains(err.Error(), "server.toml:1:") {
		t.Errorf("syntax error: %v", err)
	}
}

func TestUnits(t *testing.T) {
	for in, want := range map[string]Size{"0": 0, "17": 17, "8KiB": 8192, "8k": 8192, "2 MB": 2 << 20, "1GiB": 1 << 30, "-1": -1, "1.5M": -1, "KiB": -1, "9999999999T": -1, "": -1} {
		var z Size
		if err := z.UnmarshalText([]byte(in)); (err != nil) != (want < 0) || err == nil && z != want {
			t.Errorf("Size(%q) = %d, %v", in, z, err)
		}
	}
	for in, ok := range map[string]bool{"8080": true, ":0": true, "[::1]:80": true, "unix:x": true, "unix:": false, "x": false, ":http": false, ":99999": false, "": false} {
		var a Address
		if err := a.UnmarshalText([]byte(in)); (err == nil) != ok {
			t.Errorf("Address(%q): %v", in, err)
		}
	}
}

// FuzzLoad checks that whatever is accepted is complete.
func FuzzLoad(f *testing.F) {
	f.Add(string(conf.Server))
	f.Add("[[hosts]]\nname='localhost'\n[hosts.valves.health]\n")
	f.Add("[[connectors]]\naddress='unix:x'\n[connectors.tls]\nself-signed=true\n")
	dir := f.TempDir()
	file := filepath.Join(dir, "server.toml")
	f.Fuzz(func(t *testing.T, src string) {
		if err := os.WriteFile(file, []byte(src), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Load(Options{Home: dir, File: file})
		if err != nil {
			return
		}
		if len(c.Connectors) == 0 || len(c.Hosts) == 0 || c.Connectors[0].Address == "" || c.Server.DefaultHost == "" {
			t.Fatalf("incomplete: %+v", c)
		}
	})
}
