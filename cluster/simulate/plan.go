package main

import (
	"math/rand/v2"
	"time"

	"github.com/serval-server/serval/cluster/replica"
	"github.com/serval-server/serval/cluster/wire"
)

// plan is the shape of one run; a seed draws it.
type plan struct {
	hosts, sessions int
	busy            time.Duration // with faults and requests
	think           time.Duration
	misroute        float64
	linger          float64 // the chance that the application takes its time
	late            int     // hosts that join while the others are at work
	value           int     // how many bytes a value has at least
	real            bool    // ids have the form of the servers'
}

// faults is how much goes wrong in one run.
type faults struct {
	every                          time.Duration // between two faults
	detect                         time.Duration // until a silent peer leaves the view
	alarm                          float64       // the chance, per tick and peer, of a false alarm
	forever                        float64       // the chance that a node that went does not return
	crash, pause, partition, drain bool
	config, loss, jump             bool
	redeploy                       bool // an application is deployed anew in a process that goes on
}

func drawPlan(w *world) {
	r := w.rng
	w.plan = plan{
		hosts: 2 + r.IntN(maxHosts-1), sessions: 1 + r.IntN(8),
		busy:     time.Duration(5+r.IntN(20)) * time.Second,
		think:    time.Duration(20+r.IntN(400)) * time.Millisecond,
		misroute: []float64{0, 0.02, 0.2, 1}[r.IntN(4)],
		linger:   []float64{0, 0.3}[r.IntN(2)],
	}
	w.cfg = replica.Config{
		AckTimeout: 2 * time.Second, Retry: 100 * time.Millisecond,
		MaxIdle: 12 * time.Second, Grace: 4 * time.Second, AdoptAfter: 2 * time.Second,
		DeadTTL: 60 * time.Second, DigestEvery: time.Second,
	}
	w.cfg.Touch = []time.Duration{0, -1, w.cfg.MaxIdle / 4}[r.IntN(3)]
	w.cfg.MisrouteClaim, w.cfg.Misroutes = r.IntN(3) == 0, []int{0, 1, -1}[r.IntN(3)]
	w.cfg.Budget, w.cfg.Window = []int{0, 2}[r.IntN(2)], []int{0, 1}[r.IntN(2)]
	w.cfg.Pack = []time.Duration{-1, time.Millisecond, time.Second}[r.IntN(3)]
	if r.IntN(2) == 0 {
		// Nothing expires before the end: what is lost is lost by mistake.
		w.cfg.MaxIdle, w.cfg.DeadTTL = 80*time.Second, 160*time.Second
	}
	if w.cfg.Strict = r.IntN(3) == 0; w.cfg.Strict {
		w.plan.hosts = max(3, w.plan.hosts)
	}
	drawConfig(w)
	if r.IntN(3) == 0 {
		w.plan.late = 1 + r.IntN(w.plan.hosts-1)
	}
	w.faults = faults{
		every:  time.Duration(300+r.IntN(4000)) * time.Millisecond,
		detect: time.Duration(300+r.IntN(2200)) * time.Millisecond,
		crash:  r.IntN(2) == 0, pause: r.IntN(2) == 0, partition: r.IntN(2) == 0, drain: r.IntN(3) == 0,
		config: r.IntN(4) == 0, loss: r.IntN(2) == 0, jump: r.IntN(4) == 0,
		alarm: []float64{0.002, 0, 0, 0}[r.IntN(4)], forever: []float64{0.3, 0, 0, 0}[r.IntN(4)],
	}
	drawNetwork(w)
	// Of numbers of its own, so that the other seeds stay what they were.
	w.faults.redeploy = rand.New(rand.NewPCG(w.seed, 2)).IntN(4) == 0
}

// drawConfig draws what may change while the cluster runs.
func drawConfig(w *world) {
	r := w.rng
	w.cfg.Owners = []int{0, 0, 2, 3}[r.IntN(4)]
	if w.cfg.Strict && w.cfg.Owners == 2 {
		w.cfg.Owners = 3
	}
	w.cfg.Ack = replica.AckPolicy(r.IntN(4))
	w.cfg.FailOnTimeout = r.IntN(2) == 0
}

func drawNetwork(w *world) {
	r := w.rng
	w.net = network{jitter: []time.Duration{0, 20 * time.Millisecond, 200 * time.Millisecond}[r.IntN(3)]}
	if r.IntN(3) == 0 {
		w.net.spike = 0.005
	}
	if w.net.streams = r.IntN(2) == 0; w.net.streams {
		w.stats.add("streams")
		w.cfg.Retry = []time.Duration{100 * time.Millisecond, 5 * time.Second}[r.IntN(2)]
		w.net.wire = r.IntN(2) == 0
		w.cfg.Unpatch = wire.Unpatch
		if w.net.wire {
			w.plan.value, w.plan.real = []int{0, 700, 3000}[r.IntN(3)], r.IntN(2) == 0
		}
		w.net.bound = []int{4, 64, 1 << 20}[r.IntN(3)]
		w.net.idle = time.Duration(500+r.IntN(2500)) * time.Millisecond
		return
	}
	if r.IntN(2) == 0 {
		w.net.drop = r.Float64() * 0.3
	}
	if r.IntN(2) == 0 {
		w.net.dup = r.Float64() * 0.05
	}
}
