package linked_test

import (
	"strings"
	"testing"

	"github.com/serval-server/serval/webapp"
	"github.com/serval-server/serval/webapp/runtime/linked"
	"github.com/serval-server/serval/webapp/runtimetest"
	"github.com/serval-server/serval/webapp/servlet"
)

func TestConformance(t *testing.T) {
	runtimetest.Run(t, runtimetest.Options{Runtime: linked.New(map[string]servlet.App{"app": runtimetest.App()})})
}

func TestUnknown(t *testing.T) {
	rt := linked.New(map[string]servlet.App{"shop": {}, "cart": {}})
	for path, name := range map[string]string{"": "ROOT", "/x": "x"} {
		_, err := rt.Start(t.Context(), webapp.Launch{Context: servlet.NewContext(servlet.ContextConfig{Path: path})})
		if err == nil || !strings.Contains(err.Error(), `"`+name+`"`) || !strings.Contains(err.Error(), "cart, shop") {
			t.Errorf("%q: %v", path, err)
		}
	}
	if !rt.Has("shop") || rt.Has("x") {
		t.Error("Has is wrong")
	}
}
