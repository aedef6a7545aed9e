package demo_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/serval-server/serval/server/cli"
	"github.com/serval-server/serval/server/demo"
	"github.com/serval-server/serval/server/demo/shop"
	"github.com/serval-server/serval/webapp/servlet"
)

// isNode makes the test's program a serval, for the nodes of the demo.
const isNode = "SERVAL_TEST_NODE"

func TestMain(m *testing.M) {
	if os.Getenv(isNode) != "" {
		os.Exit(cli.Main(cli.Options{Args: os.Args[1:], Version: "0.0-test", Linked: map[string]servlet.App{"shop": shop.App}}))
	}
	os.Exit(m.Run())
}

// customer shops through the balancer.
type customer struct {
	t      *testing.T
	base   string
	client *http.Client
}

func newCustomer(t *testing.T, base string) *customer {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &customer{t: t, base: base, client: &http.Client{Jar: jar, Timeout: 20 * time.Second, Transport: &http.Transport{}}}
	t.Cleanup(c.client.CloseIdleConnections)
	return c
}

// do makes a request and returns its page.
func (c *customer) do(method, path string, form url.Values) string {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.base+path, strings.NewReader(form.Encode()))
	if err != nil {
		c.t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := c.client.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	page, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil || res.StatusCode != http.StatusOK {
		c.t.Fatalf("%s %s: %s %v\n%s", method, path, res.Status, err, page)
	}
	return string(page)
}

var (
	basket = regexp.MustCompile(`aria-label="Cart, (\d+) pieces"`)
	served = regexp.MustCompile(`This page comes from <b>node(\d)</b>`)
)

// cart is what the cart's page says: how many pieces, and by which node.
func (c *customer) cart() (pieces, node string) {
	c.t.Helper()
	page := c.do(http.MethodGet, "/shop/cart", nil)
	p, n := basket.FindStringSubmatch(page), served.FindStringSubmatch(page)
	if p == nil || n == nil {
		c.t.Fatalf("no cart in\n%s", page)
	}
	return p[1], n[1]
}

// TestDemo fills a cart, kills the node that has it, and finds it again; kills that
// node after the first one is back, and finds it again.
func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts three servers")
	}
	var mu sync.Mutex
	var lines []string
	dir := t.TempDir()
	d, err := demo.Start(t.Context(), demo.Options{
		Nodes: 3, Address: "127.0.0.1:0", Shoppers: 2, Program: []string{os.Args[0]}, Env: []string{isNode + "=1"}, Dir: dir,
	}, func(line string) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, line)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
			t.Errorf("files are left: %v", left)
		}
		mu.Lock()
		defer mu.Unlock()
		if said := func(l string) bool { return strings.Contains(l, "is killed") }; !slices.ContainsFunc(lines, said) {
			t.Errorf("the lines do not tell of it: %q", lines)
		}
		if t.Failed() {
			t.Logf("%s", strings.Join(lines, "\n"))
		}
	}()
	c := newCustomer(t, d.URL())
	for range 3 {
		c.do(http.MethodPost, "/shop/cart/add", url.Values{"id": {"tent"}})
	}
	pieces, first := c.cart()
	if pieces != "3" {
		t.Fatalf("%s pieces in the cart", pieces)
	}
	second := survive(t, d, c, first)
	number := int(first[0] - '0')
	if err := d.Revive(number); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := d.Await(ctx, number); err != nil {
		t.Fatal(err)
	}
	survive(t, d, c, second)
}

// survive kills the node that has the cart, and returns the one that has it then.
func survive(t *testing.T, d *demo.Demo, c *customer, node string) string {
	t.Helper()
	if err := d.Toggle(int(node[0] - '0')); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	pieces, next := c.cart()
	t.Logf("node%s is dead, node%s answers after %s", node, next, time.Since(began).Round(time.Millisecond))
	if pieces != "3" || next == node {
		t.Fatalf("%s pieces at node%s", pieces, next)
	}
	return next
}

// TestDemoOptions: what cannot be is said at once.
func TestDemoOptions(t *testing.T) {
	for _, o := range []demo.Options{{Nodes: 1}, {Nodes: 10}, {Shoppers: -1}, {Address: "127.0.0.1:99999"}} {
		if d, err := demo.Start(t.Context(), o, nil); err == nil {
			t.Errorf("%+v is accepted", o)
			_ = d.Close() // it should not be there
		}
	}
}
