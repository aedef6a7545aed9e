package filters

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestRemoteIP ports the scenarios of Tomcat's TestRemoteIpFilter.
func TestRemoteIP(t *testing.T) {
	trusted := map[string]string{"internalProxies": "192.168.0.10,192.168.0.11", "trustedProxies": "proxy1|proxy2|10.9.9.[0-9]+"}
	tests := []struct {
		name    string
		params  map[string]string
		peer    string
		headers []string
		remote  string // address
		forw    string // X-Forwarded-For afterwards
		by      string // X-Forwarded-By afterwards
		tls     bool
		host    string
	}{
		{"no header", nil, "10.0.0.1", nil, "10.0.0.1", "", "", false, ""},
		{"one hop", nil, "10.0.0.1", []string{"X-Forwarded-For: 140.211.11.130"}, "140.211.11.130", "", "", false, ""},
		{"over internal proxies", nil, "192.168.0.10", []string{"X-Forwarded-For: 140.211.11.130, 192.168.0.10, 192.168.0.11"}, "140.211.11.130", "", "", false, ""},
		{"trusted proxies are listed", trusted, "192.168.0.10", []string{"X-Forwarded-For: 140.211.11.130, 10.9.9.1, 10.9.9.2"}, "140.211.11.130", "", "10.9.9.1, 10.9.9.2", false, ""},
		{"peer is a trusted proxy", trusted, "10.9.9.9", []string{"X-Forwarded-For: 140.211.11.130"}, "140.211.11.130", "", "10.9.9.9", false, ""},
		{"peer is a stranger", nil, "140.211.11.130", []string{"X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https"}, "140.211.11.130", "1.2.3.4", "", false, ""},
		{"what the client claims stays behind", nil, "10.0.0.1", []string{"X-Forwarded-For: 1.1.1.1, 140.211.11.130, 10.0.0.7"}, "140.211.11.130", "1.1.1.1", "", false, ""},
		{"several headers", nil, "10.0.0.1", []string{"X-Forwarded-For: 1.1.1.1", "X-Forwarded-For: 140.211.11.130"}, "140.211.11.130", "1.1.1.1", "", false, ""},
		{"all internal", nil, "10.0.0.1", []string{"X-Forwarded-For: 10.0.0.3, 10.0.0.2"}, "10.0.0.3", "", "", false, ""},
		{"garbage ends the reading", nil, "10.0.0.1", []string{"X-Forwarded-For: 1.2.3.4, <script>, 10.0.0.2"}, "10.0.0.2", "1.2.3.4, <script>", "", false, ""},
		{"only garbage", nil, "10.0.0.1", []string{"X-Forwarded-For: unknown"}, "10.0.0.1", "unknown", "", false, ""},
		{"IPv6 with port", nil, "::1", []string{"X-Forwarded-For: [2001:db8::1]:4711"}, "2001:db8::1", "", "", false, ""},
		{"https", nil, "10.0.0.1", []string{"X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https"}, "1.2.3.4", "", "", true, ""},
		{"https all the way", nil, "10.0.0.1", []string{"X-Forwarded-Proto: https,HTTPS"}, "10.0.0.1", "", "", true, ""},
		{"https in part", nil, "10.0.0.1", []string{"X-Forwarded-Proto: https,http"}, "10.0.0.1", "", "", false, ""},
		{"host", map[string]string{"hostHeader": "X-Forwarded-Host", "portHeader": "X-Forwarded-Port"}, "10.0.0.1", []string{"X-Forwarded-Host: shop.example", "X-Forwarded-Port: 8443", "X-Forwarded-Proto: https"}, "10.0.0.1", "", "", true, "shop.example:8443"},
		{"usual port is not said", map[string]string{"hostHeader": "X-Forwarded-Host", "portHeader": "X-Forwarded-Port"}, "10.0.0.1", []string{"X-Forwarded-Host: shop.example:1", "X-Forwarded-Port: 443", "X-Forwarded-Proto: https"}, "10.0.0.1", "", "", true, "shop.example"},
		{"host that is none", map[string]string{"hostHeader": "X-Forwarded-Host"}, "10.0.0.1", []string{"X-Forwarded-Host: a/b"}, "10.0.0.1", "", "", false, "example.com"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got *http.Request
			h, _ := wrap(t, NewRemoteIP, tt.params, func(_ http.ResponseWriter, r *http.Request) { got = r })
			r := request("GET", "http://example.com/", tt.headers...)
			r.RemoteAddr = netip.AddrPortFrom(netip.MustParseAddr(tt.peer), 1234).String()
			serve(h, r)
			if a := remoteAddr(got).String(); a != tt.remote {
				t.Errorf("address %s, want %s", a, tt.remote)
			}
			if f := strings.Join(got.Header["X-Forwarded-For"], "; "); f != tt.forw {
				t.Errorf("X-Forwarded-For %q, want %q", f, tt.forw)
			}
			if b := got.Header.Get("X-Forwarded-By"); b != tt.by {
				t.Errorf("X-Forwarded-By %q, want %q", b, tt.by)
			}
			if (got.TLS != nil) != tt.tls {
				t.Errorf("TLS %v, want %v", got.TLS != nil, tt.tls)
			}
			if tt.host != "" && got.Host != tt.host {
				t.Errorf("host %q, want %q", got.Host, tt.host)
			}
		})
	}
}

func FuzzRemoteIP(f *testing.F) {
	for _, s := range []string{"1.2.3.4, 10.0.0.1", "[::1]:80", ",,", "unknown", "fe80::1%eth0"} {
		f.Add(s)
	}
	h, err := NewRemoteIP(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, value string) {
		r := request("GET", "/")
		r.RemoteAddr = "10.0.0.1:1"
		r.Header["X-Forwarded-For"] = []string{value}
		h(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if !remoteAddr(r).IsValid() {
				t.Errorf("%q: the client's address is %q", value, r.RemoteAddr)
			}
		})).ServeHTTP(nil, r)
	})
}

func TestRemoteAddr(t *testing.T) {
	for _, tt := range []struct {
		c      Constructor
		params map[string]string
		peer   string
		status int
	}{
		{NewRemoteAddr, map[string]string{"allow": `127\.\d+\.\d+\.\d+|::1`}, "127.0.0.1:1", 200},
		{NewRemoteAddr, map[string]string{"allow": `127\.\d+\.\d+\.\d+`}, "10.0.0.1:1", 403},
		{NewRemoteAddr, map[string]string{"allow": `127\.0`}, "127.0.0.1:1", 403}, // the whole address
		{NewRemoteAddr, map[string]string{"deny": "10.0.0.0/8", "denyStatus": "404"}, "10.0.0.1:1", 404},
		{NewRemoteAddr, map[string]string{"deny": "10.0.0.0/8"}, "11.0.0.1:1", 200},
		{NewRemoteAddr, nil, "11.0.0.1:1", 403},
		{NewRemoteCIDR, map[string]string{"allow": "10.0.0.0/8, ::1", "deny": "10.1.0.0/16"}, "10.0.0.1:1", 200},
		{NewRemoteCIDR, map[string]string{"allow": "10.0.0.0/8, ::1", "deny": "10.1.0.0/16"}, "10.1.0.1:1", 403},
		{NewRemoteCIDR, map[string]string{"allow": "10.0.0.0/8, ::1"}, "[::1]:1", 200},
		{NewRemoteCIDR, map[string]string{"allow": "10.0.0.0/8"}, "[::ffff:10.0.0.1]:1", 200},
		{NewRemoteCIDR, map[string]string{"allow": "10.0.0.0/8"}, "@", 403},
	} {
		h, _ := wrap(t, tt.c, tt.params, nil)
		r := request("GET", "/")
		r.RemoteAddr = tt.peer
		if w := serve(h, r); w.Code != tt.status {
			t.Errorf("%v from %s: status %d, want %d", tt.params, tt.peer, w.Code, tt.status)
		}
	}
	for _, params := range []map[string]string{{"allow": "10.0.0.0/99"}, {"deny": "x"}, {"denyStatus": "200"}, {"usePeerAddress": "true"}} {
		if _, err := NewRemoteCIDR(params); err == nil {
			t.Errorf("%v: no error", params)
		}
	}
	if _, err := NewRemoteAddr(map[string]string{"allow": "("}); err == nil {
		t.Error("a broken expression: no error")
	}
}

// TestRateLimit ports Tomcat's TestRateLimitFilter.
func TestRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, reached := wrap(t, NewRateLimit, map[string]string{"bucketRequests": "5", "bucketDuration": "10", "exposeHeaders": "true", "policyName": "p"}, nil)
		get := func(peer string) int {
			r := request("GET", "/")
			r.RemoteAddr = peer
			w := serve(h, r)
			if policy := w.Header().Get("RateLimit-Policy"); policy != `"p";q=5;w=10` {
				t.Errorf("RateLimit-Policy %q", policy)
			}
			if w.Code == 429 && w.Header().Get("Retry-After") != "10" {
				t.Errorf("Retry-After %q, want 10", w.Header().Get("Retry-After"))
			}
			return w.Code
		}
		for i := range 8 {
			want := 200
			if i >= 5 {
				want = 429
			}
			if got := get("1.2.3.4:" + strconv.Itoa(i+1)); got != want {
				t.Errorf("request %d: %d, want %d", i+1, got, want)
			}
		}
		if got := get("1.2.3.5:1"); got != 200 {
			t.Errorf("another client: %d", got)
		}
		for i := range 6 { // one network of IPv6 is one client
			want := 200
			if i == 5 {
				want = 429
			}
			if got := get(fmt.Sprintf("[2001:db8::%d]:1", i+1)); got != want {
				t.Errorf("IPv6 request %d: %d, want %d", i+1, got, want)
			}
		}
		time.Sleep(10 * time.Second) // of the bubble
		if got := get("1.2.3.4:1"); got != 200 {
			t.Errorf("in the next bucket: %d", got)
		}
		if *reached != 12 {
			t.Errorf("%d requests went through, want 12", *reached)
		}
	})
}

// TestRateLimitBounded shows that many addresses neither fill the memory nor
// lift the limit.
func TestRateLimitBounded(t *testing.T) {
	l := &rateLimit{duration: time.Hour, requests: 1}
	now := time.Unix(1, 0)
	for i := range maxClients + 10 {
		l.count(netip.PrefixFrom(netip.AddrFrom4([4]byte{1, byte(i >> 16), byte(i >> 8), byte(i)}), 32), now)
	}
	if len(l.counts) != maxClients {
		t.Errorf("%d addresses are counted, want %d", len(l.counts), maxClients)
	}
	last := netip.MustParsePrefix("9.9.9.9/32")
	for i := range 3 {
		if n, _ := l.count(last, now); n < i+1 {
			t.Errorf("request %d of an address without a counter of its own is counted as %d", i+1, n)
		}
	}
}

func TestRateLimitNotEnforced(t *testing.T) {
	h, reached := wrap(t, NewRateLimit, map[string]string{"bucketRequests": "1", "enforce": "false"}, nil)
	for range 3 {
		if w := serve(h, request("GET", "/")); w.Code != 200 {
			t.Errorf("status %d", w.Code)
		}
	}
	if *reached != 3 {
		t.Errorf("%d requests went through, want 3", *reached)
	}
}

func TestHeaderSecurity(t *testing.T) {
	secure := func(r *http.Request) *http.Request { r.TLS = &tls.ConnectionState{}; return r }
	for _, tt := range []struct {
		params map[string]string
		r      *http.Request
		want   map[string]string
	}{
		{nil, request("GET", "/"), map[string]string{"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Strict-Transport-Security": ""}},
		{nil, secure(request("GET", "/")), map[string]string{"Strict-Transport-Security": "max-age=0"}},
		{map[string]string{"hstsMaxAgeSeconds": "31536000", "hstsIncludeSubDomains": "true", "hstsPreload": "true"}, secure(request("GET", "/")),
			map[string]string{"Strict-Transport-Security": "max-age=31536000;includeSubDomains;preload"}},
		{map[string]string{"hstsEnabled": "false", "antiClickJackingEnabled": "false", "blockContentTypeSniffingEnabled": "false"}, secure(request("GET", "/")),
			map[string]string{"X-Frame-Options": "", "X-Content-Type-Options": "", "Strict-Transport-Security": ""}},
		{map[string]string{"antiClickJackingOption": "allow-from", "antiClickJackingUri": "https://a.example"}, request("GET", "/"), map[string]string{"X-Frame-Options": "ALLOW-FROM https://a.example"}},
		{map[string]string{"antiClickJackingOption": "sameorigin"}, request("GET", "/"), map[string]string{"X-Frame-Options": "SAMEORIGIN"}},
	} {
		h, _ := wrap(t, NewHeaderSecurity, tt.params, nil)
		w := serve(h, tt.r)
		for name, want := range tt.want {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%v: %s %q, want %q", tt.params, name, got, want)
			}
		}
	}
	for _, params := range []map[string]string{{"antiClickJackingOption": "MAYBE"}, {"antiClickJackingOption": "ALLOW-FROM"}, {"hstsMaxAgeSeconds": "-1"}} {
		if _, err := NewHeaderSecurity(params); err == nil {
			t.Errorf("%v: no error", params)
		}
	}
}
