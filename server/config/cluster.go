package config

import (
	"cmp"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/serval-server/serval/cluster/identity"
)

// Cluster is the table [cluster]: this node's part in a cluster of servers that keep
// each other's sessions.
type Cluster struct {
	Enabled bool `toml:"enabled"`
	// Address is where the node listens for the others, UDP and TCP.
	Address Address `toml:"address"`
	// Advertise is what the others are told instead, "host" or "host:port".
	Advertise string `toml:"advertise"`
	// Name is the node's, that of its certificate. Load completes it: "" is
	// server.node, and if that is empty too, the certificate's.
	Name string `toml:"name"`
	Zone string `toml:"zone"`
	// Seeds are addresses of other nodes, "host:port" after Load.
	Seeds []string `toml:"seeds"`
	// Identity is the folder with the node's certificate.
	Identity string `toml:"identity"`
	// Route appends the node's name to session ids.
	Route bool `toml:"route"`
}

// Cache is an element of [[cache]]: how the sessions of the applications that name
// it (cache-name) are kept. After Load there is one called "default".
type Cache struct {
	Name        string   `toml:"name"`
	Mode        string   `toml:"mode"`        // REPL or DIST
	Owners      int      `toml:"owners"`      // in DIST: copies, the home's included
	Ack         string   `toml:"ack"`         // none, one, quorum or all
	AckTimeout  Duration `toml:"ack_timeout"` // for a living, silent owner
	OnTimeout   string   `toml:"on_timeout"`  // degrade or fail
	Misroute    string   `toml:"misroute"`    // forward or claim
	Consistency string   `toml:"consistency"` // available or strict
}

// DefaultCache is the name of the cache that there always is.
const DefaultCache = "default"

// maxOwners bounds the copies of a session: a cluster has few nodes.
const maxOwners = 64

// SetDefaults gives an element of [[cache]] its defaults.
func (c *Cache) SetDefaults() {
	*c = Cache{
		Mode: "REPL", Owners: 2, Ack: "one", AckTimeout: Duration(2 * time.Second), OnTimeout: "degrade",
		Misroute: "forward", Consistency: "available",
	}
}

func defaultCluster() Cluster {
	return Cluster{Address: ":14000", Identity: "conf/cluster", Route: true}
}

func defaultCache() Cache {
	var c Cache
	c.SetDefaults()
	c.Name = DefaultCache
	return c
}

var (
	cacheName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	zoneName  = regexp.MustCompile(`^[\x21-\x7e]{0,64}$`)
)

// caches checks [[cache]] and adds the one that there always is.
func (l *loader) caches() {
	seen := map[string]int{}
	for i := range l.c.Caches {
		c, at := &l.c.Caches[i], fmt.Sprintf("cache.%d", i)
		if c.Name == "" {
			l.bad(at+".name", "is missing: it is what an application's cache-name says; %q is that of applications that say nothing", DefaultCache)
		} else if !cacheName.MatchString(c.Name) {
			l.bad(at+".name", "%q cannot be a cache's name: 1 to 64 letters, digits, ., - or _", c.Name)
		}
		if j, dup := seen[c.Name]; dup && c.Name != "" {
			l.bad(at+".name", "%q is the name of cache.%d too", c.Name, j)
		}
		seen[c.Name] = i
		c.Mode = strings.ToUpper(c.Mode)
		l.oneOf(at+".mode", c.Mode, "REPL", "DIST")
		l.oneOf(at+".ack", c.Ack, "none", "one", "quorum", "all")
		l.oneOf(at+".on_timeout", c.OnTimeout, "degrade", "fail")
		l.oneOf(at+".misroute", c.Misroute, "forward", "claim")
		l.oneOf(at+".consistency", c.Consistency, "available", "strict")
		if c.Owners < 1 || c.Owners > maxOwners {
			l.bad(at+".owners", "%d is out of range: 1 to %d copies, the home's included", c.Owners, maxOwners)
		} else if c.Consistency == "strict" && c.Mode == "DIST" && c.Owners < 3 {
			l.bad(at+".consistency", "strict needs owners = 3 or more, or mode = \"REPL\": of %d owners none is a majority without the others", c.Owners)
		}
		if c.AckTimeout < Duration(10*time.Millisecond) || c.AckTimeout > Duration(time.Minute) {
			l.bad(at+".ack_timeout", "%s is out of range: 10ms to 1m", c.AckTimeout)
		}
	}
	if _, ok := seen[DefaultCache]; !ok {
		l.c.Caches = append(l.c.Caches, defaultCache())
	}
}

// cluster checks [cluster], and that a node that is in one can prove itself.
func (l *loader) cluster() {
	c := &l.c.Cluster
	if _, unix := c.Address.Unix(); unix {
		l.bad("cluster.address", "%q: other nodes cannot reach a Unix socket; write \":14000\"", c.Address)
	} else if c.Address != "" && c.Address.Port() == 0 {
		l.bad("cluster.address", "%q has no port: other nodes must know it", c.Address)
	}
	if c.Enabled && c.Address == "" {
		l.bad("cluster.address", "is empty: write address = \":14000\"")
	}
	for i := range l.c.Connectors {
		if c.Enabled && c.Address != "" && l.c.Connectors[i].Address == c.Address {
			l.bad("cluster.address", "%q is the address of connectors.%d too", c.Address, i)
		}
	}
	if c.Advertise != "" {
		l.hostPort("cluster.advertise", c.Advertise)
	}
	if c.Name != "" && !identity.ValidName(c.Name) {
		l.bad("cluster.name", "%q cannot be a node's name: 1 to 64 letters, digits, - or _", c.Name)
	}
	if !zoneName.MatchString(c.Zone) {
		l.bad("cluster.zone", "%q cannot be a zone's name: up to 64 printable ASCII characters without spaces", c.Zone)
	}
	for i, s := range c.Seeds {
		host, port := l.hostPort(fmt.Sprintf("cluster.seeds.%d", i), s)
		c.Seeds[i] = net.JoinHostPort(host, cmp.Or(port, strconv.Itoa(c.Address.Port())))
	}
	if c.Identity == "" {
		l.bad("cluster.identity", "cannot be empty: it is the folder with the node's certificate")
	}
	if c.Enabled {
		l.proof(c)
	}
}

// hostPort takes "host" or "host:port" apart, or reports it.
func (l *loader) hostPort(path, s string) (host, port string) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		host, port, err = strings.Trim(s, "[]"), "", nil
		if strings.Contains(host, ":") && net.ParseIP(host) == nil {
			err = fmt.Errorf("%q", s)
		}
	} else if n, perr := strconv.ParseUint(port, 10, 16); perr != nil || n == 0 {
		err = fmt.Errorf("port %q", port)
	}
	if err != nil || host == "" || strings.ContainsAny(host, " /@") {
		l.bad(path, "%q is not an address: write \"host\" or \"host:14000\", with a name or an IP address", s)
	}
	return host, port
}

// proof looks at the node's certificate, and completes the node's names.
func (l *loader) proof(c *Cluster) {
	id, err := identity.Load(l.c.Path(c.Identity))
	if err != nil {
		l.bad("cluster.identity", "%v", err)
		return
	}
	switch {
	case c.Name != "" && c.Name != id.Name():
		l.bad("cluster.name", "the name is %q, the certificate in %s is for %q: enroll %s, or change the name", c.Name, l.c.Path(c.Identity), id.Name(), c.Name)
	case c.Name == "" && l.c.Server.Node != "" && l.c.Server.Node != id.Name():
		l.bad("server.node", "the node is %q, the certificate in %s is for %q: enroll %s, or change the name (or set cluster.name)",
			l.c.Server.Node, l.c.Path(c.Identity), id.Name(), l.c.Server.Node)
	}
	c.Name = id.Name()
	if !c.Route {
		l.c.Server.Node = ""
	} else if l.c.Server.Node == "" {
		l.c.Server.Node = c.Name
	}
}

// Cache returns the cache of a name, nil if there is none.
func (c *Config) Cache(name string) *Cache {
	i := slices.IndexFunc(c.Caches, func(x Cache) bool { return x.Name == name })
	if i < 0 {
		return nil
	}
	return &c.Caches[i]
}
