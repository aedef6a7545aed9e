package deploy

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
)

// TestManage drives Deploy, Reload and Undeploy.
func TestManage(t *testing.T) {
	h := newTestHost(t, nil)
	h.start()
	h.zip("outside/shop.zip", "zip one")
	h.write("outside/shop2/index.txt", "folder")
	h.write("outside/bad/broken", "bad")
	ctx := t.Context()
	deploy := func(bundle, name string) AppInfo {
		t.Helper()
		info, err := h.Deploy(ctx, h.path(bundle), name)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	if info := deploy("outside/shop.zip", ""); info.Path != "/shop" || info.State != Running {
		t.Errorf("%+v", info)
	}
	h.wantText("/shop/", "zip one")
	h.scan2()
	h.zip("outside/shop.zip", "zip two")
	deploy("outside/shop.zip", "")
	h.wantText("/shop/", "zip two")
	deploy("outside/shop2", "shop")
	h.wantText("/shop/", "folder")
	if h.has("webapps/shop.zip") {
		t.Error("the zip would take precedence")
	}
	if _, err := h.Deploy(ctx, h.path("outside/bad"), "shop"); err == nil {
		t.Error("deployed a broken bundle")
	}
	h.wantText("/shop/?file=index.txt", "folder")
	h.wantState("/shop", Failed)
	deploy("outside/shop.zip", "shop##2")
	h.wantText("/shop/", "zip two")
	if info, err := h.Reload(ctx, ParseName("/shop##2")); err != nil || info.Generation != 2 {
		t.Errorf("%+v, %v", info, err)
	}
	h.scan2()
	if err := h.Undeploy(ctx, ParseName("/shop##2")); err != nil {
		t.Error(err)
	}
	if h.has("webapps/shop##2") || h.has("webapps/shop##2.zip") {
		t.Error("files are left")
	}
	for _, err := range []error{
		h.Undeploy(ctx, ParseName("/none")),
		second(h.Reload(ctx, ParseName("/none"))),
		second(h.Deploy(ctx, h.path("outside/none.zip"), "")),
		second(h.Deploy(ctx, h.path("outside/shop.zip"), "a#..#b")),
		second(h.Deploy(ctx, h.path("conf"), "WEB-INF")),
	} {
		if err == nil {
			t.Error("no error")
		}
	}
	if left, _ := filepath.Glob(h.path("webapps/.*")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

// TestDeployOverExternal: what a context file deploys from elsewhere is not
// silently shadowed.
func TestDeployOverExternal(t *testing.T) {
	h := newTestHost(t, nil)
	h.place("ewar xml-ewar")
	h.start()
	h.zip("outside/app.war", "other")
	if _, err := h.Deploy(t.Context(), h.path("outside/app.war"), ""); err == nil || h.has("webapps/app.war") {
		t.Errorf("deployed: %v", err)
	}
	h.wantText("/app/", "ewar")
}

func second(_ AppInfo, err error) error { return err }

// TestStop: sessions are saved, and nothing goes on.
func TestStop(t *testing.T) {
	h := newTestHost(t, nil)
	h.place("war")
	h.start()
	if err := h.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if events := h.world.take(); !slices.Equal(events, []string{"start /app war", fmt.Sprintf("stop /app war %d", SaveSessions)}) {
		t.Error(events)
	}
	h.wantCode("/app/", 404)
	if err := h.Start(t.Context()); err == nil {
		t.Error("started again")
	}
	if _, err := h.Deploy(t.Context(), h.path("webapps/app.war"), ""); err == nil {
		t.Error("deployed after the end")
	}
}
