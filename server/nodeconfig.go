package server

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/serval-server/serval/cluster"
	"github.com/serval-server/serval/cluster/identity"
	"github.com/serval-server/serval/cluster/membership"
	"github.com/serval-server/serval/server/config"
)

// nodeConfig is what the configuration says of the cluster, nil if there is none.
func (s *Server) nodeConfig(cfg *config.Config) (*cluster.Config, error) {
	if s.opt.Cluster != nil {
		return s.opt.Cluster(cfg)
	}
	c := &cfg.Cluster
	if !c.Enabled {
		return nil, nil
	}
	id, err := identity.Load(cfg.Path(c.Identity))
	if err != nil {
		return nil, fmt.Errorf("cluster.identity: %w", err)
	}
	s.wait.Go(func() { warnOf(s.life, s.log, id.Warning) })
	listen := string(c.Address)
	address, err := membership.Advertise(listen, c.Advertise, c.Seeds)
	if err != nil {
		return nil, fmt.Errorf("cluster.advertise: %w", err)
	}
	if host, port, err := net.SplitHostPort(listen); err == nil && host == "localhost" {
		listen = net.JoinHostPort(address.Addr().String(), port) // both UDP and TCP, one family
	}
	node := &cluster.Config{
		Name: c.Name, Zone: c.Zone, Address: address.String(), Caches: caches(cfg), DataDir: cfg.Path(cfg.Server.DataDir), Linger: linger,
		CertificateEnds: id.Ends, Failed: s.abort,
		Connect: cluster.QUIC(cluster.QUICConfig{
			Listen: listen, Identity: id, Seeds: c.Seeds, Conflict: s.abort, Logger: s.log.With("component", "cluster", "node", c.Name),
		}),
	}
	return node, nil
}

// linger is how long a node that has left refuses the requests that were on their
// way to it: longer than a message takes.
const linger = 150 * time.Millisecond

// How often the node's certificate is looked at, and how long the same warning is not
// repeated.
const (
	lookEvery = time.Hour
	warnEvery = 24 * time.Hour
)

// warnOf logs what warning says, at once when it is something else and then once a
// day, until the context ends.
func warnOf(ctx context.Context, log *slog.Logger, warning func() string) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var said string
	var at time.Time
	for {
		if w := warning(); w != said || w != "" && time.Since(at) >= warnEvery {
			if said, at = w, time.Now(); w != "" {
				log.Warn(w)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// caches are the [[cache]] tables in the cluster's words.
func caches(cfg *config.Config) []cluster.Cache {
	var list []cluster.Cache
	for _, c := range cfg.Caches {
		list = append(list, cluster.Cache{
			Name: c.Name, Mode: cluster.Mode(c.Mode), Owners: c.Owners, Ack: cluster.Ack(c.Ack), AckTimeout: c.AckTimeout.D(),
			OnTimeout: cluster.OnTimeout(c.OnTimeout), Misroute: cluster.Misroute(c.Misroute), Consistency: cluster.Consistency(c.Consistency),
		})
	}
	return list
}
