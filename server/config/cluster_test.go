package config

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/serval-server/serval/cluster/identity"
)

// member makes a home with a node's certificate.
func member(t *testing.T, name, toml string) string {
	t.Helper()
	dir, ca := home(t, toml), filepath.Join(t.TempDir(), "ca")
	if _, err := identity.InitCA(ca); err != nil {
		t.Fatal(err)
	}
	if err := identity.Enroll(ca, name, filepath.Join(dir, "conf", "cluster")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestClusterNames(t *testing.T) {
	for _, c := range []struct{ toml, name, node string }{
		{"", "n1", "n1"},
		{"route = false", "n1", ""},
		{`name = "n1"`, "n1", "n1"},
		{"[server]\nnode = \"n1\"", "n1", "n1"},
		{"name = \"n1\"\n[server]\nnode = \"west\"", "n1", "west"},
		{"route = false\n[server]\nnode = \"n1\"", "n1", ""},
	} {
		cfg, err := Load(Options{Home: member(t, "n1", "[cluster]\nenabled = true\n"+c.toml)})
		if err != nil {
			t.Errorf("%q: %v", c.toml, err)
		} else if cfg.Cluster.Name != c.name || cfg.Server.Node != c.node {
			t.Errorf("%q: the node is %q with the route %q, want %q and %q", c.toml, cfg.Cluster.Name, cfg.Server.Node, c.name, c.node)
		}
	}
}

func TestSeedsAreCompleted(t *testing.T) {
	cfg, err := Load(Options{Home: home(t, "[cluster]\naddress = \":15000\"\nseeds = [\"a\", \"b.example.org:1\", \"10.0.0.1\", \"::1\", \"[::1]\", \"[::1]:2\"]")})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"a:15000", "b.example.org:1", "10.0.0.1:15000", "[::1]:15000", "[::1]:15000", "[::1]:2"}; !reflect.DeepEqual(cfg.Cluster.Seeds, want) {
		t.Errorf("got %q", cfg.Cluster.Seeds)
	}
}

func TestCaches(t *testing.T) {
	cfg, err := Load(Options{Home: home(t, "[[cache]]\nname = \"carts\"\nmode = \"dist\"\nowners = 3\nconsistency = \"strict\"\nack = \"quorum\"\nack_timeout = \"500ms\"\non_timeout = \"fail\"\nmisroute = \"claim\""),
		Sets: []string{"cache.carts.ack=all"}})
	if err != nil {
		t.Fatal(err)
	}
	want := []Cache{{"carts", "DIST", 3, "all", Duration(500e6), "fail", "claim", "strict"}, defaultCache()}
	if !reflect.DeepEqual(cfg.Caches, want) {
		t.Errorf("got %+v", cfg.Caches)
	}
	if cfg.Cache("carts") == nil || cfg.Cache("default") == nil || cfg.Cache("x") != nil {
		t.Error("Cache does not find what there is")
	}
	cfg, err = Load(Options{Home: t.TempDir(), Sets: []string{"cache.default.mode=DIST"}})
	if err != nil || len(cfg.Caches) != 1 || cfg.Caches[0].Mode != "DIST" {
		t.Errorf("%+v, %v", cfg, err)
	}
}

func TestClusterProblems(t *testing.T) {
	for _, c := range []struct{ toml, want string }{
		{"[cluster]\nenabled = true", `:1:1: cluster.identity: the node has no complete identity in `},
		{"[cluster]\nenabled = true", `"serval cluster init"`},
		{"[cluster]\nenabled = true", `"serval cluster enroll NAME --out `},
		{"[cluster]\naddress = \"unix:x\"", `:2:1: cluster.address: "unix:x": other nodes cannot reach a Unix socket`},
		{"[cluster]\naddress = \":0\"", `:2:1: cluster.address: ":0" has no port`},
		{"[cluster]\nenabled = true\naddress = \":8080\"", `:3:1: cluster.address: ":8080" is the address of connectors.0 too`},
		{"[cluster]\nname = \"a.b\"", `:2:1: cluster.name: "a.b" cannot be a node's name`},
		{"[cluster]\nzone = \"a b\"", `:2:1: cluster.zone: "a b"`},
		{"[cluster]\nadvertise = \"a:b\"", `:2:1: cluster.advertise: "a:b" is not an address`},
		{"[cluster]\nseeds = [\"a:1\",\n\"b:0\"]", `:3:1: cluster.seeds.1: "b:0" is not an address`},
		{"[cluster]\nseeds = [\"a b\"]", `cluster.seeds.0: "a b" is not an address`},
		{"[cluster]\nseeds = [\"a:b:c\"]", `cluster.seeds.0: "a:b:c" is not an address`},
		{"[cluster]\nidentity = \"\"", `:2:1: cluster.identity: cannot be empty`},
		{"[cluster]\nseed = [\"a\"]", `did you mean "seeds"`},
		{"[[cache]]\nmode = \"REPL\"", `:1:1: cache.0.name: is missing`},
		{"[[cache]]\nname = \"a b\"", `:2:1: cache.0.name: "a b" cannot be a cache's name`},
		{"[[cache]]\nname = \"a\"\n[[cache]]\nname = \"a\"", `:4:1: cache.1.name: "a" is the name of cache.0 too`},
		{"[[cache]]\nname = \"a\"\nmode = \"ASYNC\"", `:3:1: cache.0.mode: "ASYNC" is not one of REPL, DIST`},
		{"[[cache]]\nname = \"a\"\nack = \"two\"", `:3:1: cache.0.ack: "two" is not one of none, one, quorum, all`},
		{"[[cache]]\nname = \"a\"\nowners = 0", `:3:1: cache.0.owners: 0 is out of range`},
		{"[[cache]]\nname = \"a\"\nmode = \"DIST\"\nconsistency = \"strict\"", `:4:1: cache.0.consistency: strict needs owners = 3`},
		{"[[cache]]\nname = \"a\"\nack_timeout = \"1ms\"", `:3:1: cache.0.ack_timeout: 1ms is out of range`},
		{"[[cache]]\nname = \"a\"\nack-timeout = \"1s\"", `did you mean "ack_timeout"`},
		{"[[cache]]\nname = \"a\"\non_timeout = \"wait\"", `cache.0.on_timeout: "wait" is not one of degrade, fail`},
		{"[[cache]]\nname = \"a\"\nmisroute = \"x\"", `cache.0.misroute: "x" is not one of forward, claim`},
	} {
		_, err := Load(Options{Home: home(t, c.toml)})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v\nwant %s", c.toml, err, c.want)
		}
	}
	_, err := Load(Options{Home: member(t, "n1", "[cluster]\nenabled = true\nname = \"n2\"")})
	if err == nil || !strings.Contains(err.Error(), `:3:1: cluster.name: the name is "n2", the certificate in `) || !strings.Contains(err.Error(), `is for "n1": enroll n2`) {
		t.Errorf("got %v", err)
	}
	_, err = Load(Options{Home: member(t, "n1", "[cluster]\nenabled = true\n[server]\nnode = \"n2\"")})
	if err == nil || !strings.Contains(err.Error(), `:4:1: server.node: the node is "n2", the certificate in `) {
		t.Errorf("got %v", err)
	}
}
