package filters

import (
	"fmt"
	"hash/maphash"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// attrRateCount is the request attribute that tells the application how many
// requests its client has made in this bucket.
const attrRateCount = "org.apache.catalina.filters.RateLimitFilter.Count"

// maxClients bounds the addresses that are counted one by one in a bucket;
// those that come later share counters, so that each may be refused early but
// none too late.
const maxClients = 1 << 16

// NewRateLimit makes a filter that counts the requests of each client address
// and refuses those over a number:
//
//	bucketDuration  60 seconds
//	bucketRequests  300
//	enforce         true; false only counts (request attribute
//	                org.apache.catalina.filters.RateLimitFilter.Count)
//	statusCode      429
//	statusMessage   "Too many requests"
//	exposeHeaders   false; true sends RateLimit and RateLimit-Policy
//	policyName      none; in those headers
//
// Buckets begin at whole multiples of their duration, as those of Tomcat's
// ExactRateLimiter. Addresses of IPv6 count by their first 64 bits, since a
// client has all the rest. A refusal says in Retry-After when the next bucket
// begins. Place it after remote-ip behind a proxy.
func NewRateLimit(values map[string]string) (func(http.Handler) http.Handler, error) {
	p := newParams("rate-limit", values)
	l := &rateLimit{
		duration: time.Duration(p.int("bucketDuration", 60, 1, 24*3600)) * time.Second,
		requests: p.int("bucketRequests", 300, 1, 1<<30),
		enforce:  p.bool("enforce", true),
		status:   p.int("statusCode", http.StatusTooManyRequests, 400, 599),
		message:  p.text("statusMessage", "Too many requests"),
		expose:   p.bool("exposeHeaders", false),
		seed:     maphash.MakeSeed(),
	}
	l.policy = strconv.Quote(p.text("policyName", "default"))
	p.ignore("rateLimitClassName")
	if err := p.err(); err != nil {
		return nil, err
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { l.serve(w, r, next) })
	}, nil
}

type rateLimit struct {
	duration time.Duration
	requests int
	enforce  bool
	status   int
	message  string
	expose   bool
	policy   string
	seed     maphash.Seed

	mu     sync.Mutex
	bucket int64                // guarded by mu; number of the bucket that is counted
	counts map[netip.Prefix]int // guarded by mu
	shared *[maxClients]int     // guarded by mu; for those that counts has no room for
}

func (l *rateLimit) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	count, left := l.count(clientOf(r), time.Now())
	if l.expose {
		l.headers(w.Header(), count, left)
	}
	if count > l.requests && l.enforce {
		w.Header().Set("Retry-After", seconds(left))
		refuse(w, r, l.status, l.message)
		return
	}
	tell(r, attrRateCount, count)
	next.ServeHTTP(w, r)
}

// headers are those of draft-ietf-httpapi-ratelimit-headers.
func (l *rateLimit) headers(h http.Header, count int, left time.Duration) {
	h.Set("RateLimit-Policy", fmt.Sprintf("%s;q=%d;w=%s", l.policy, l.requests, seconds(l.duration)))
	h.Set("RateLimit", fmt.Sprintf("%s;r=%d;t=%s", l.policy, max(l.requests-count, 0), seconds(left)))
}

// seconds rounds up.
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}

// count adds a request and returns how many there are in this bucket and how
// long it still lasts.
func (l *rateLimit) count(client netip.Prefix, now time.Time) (int, time.Duration) {
	bucket := now.UnixNano() / int64(l.duration)
	left := time.Duration((bucket+1)*int64(l.duration) - now.UnixNano())
	l.mu.Lock()
	defer l.mu.Unlock()
	if bucket != l.bucket || l.counts == nil {
		l.bucket, l.counts, l.shared = bucket, make(map[netip.Prefix]int), nil
	}
	if _, known := l.counts[client]; known || len(l.counts) < maxClients {
		l.counts[client]++
		return l.counts[client], left
	}
	if l.shared == nil {
		l.shared = new([maxClients]int)
	}
	slot := &l.shared[maphash.Comparable(l.seed, client)%maxClients]
	*slot++
	return *slot, left
}

// clientOf is the address that a request counts for: the whole of IPv4, the
// network of IPv6. What has no address (a Unix socket) counts as one.
func clientOf(r *http.Request) netip.Prefix {
	addr := remoteAddr(r)
	if !addr.IsValid() {
		return netip.Prefix{}
	}
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	prefix, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}

// remoteAddr is the address of the request's client, without zone and port;
// the zero Addr if it has none.
func remoteAddr(r *http.Request) netip.Addr {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	return parseAddr(host)
}

func parseAddr(s string) netip.Addr {
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap().WithZone("")
}
