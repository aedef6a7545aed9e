package examples

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestPagesShowTheirSource(t *testing.T) {
	handlers := map[string]http.HandlerFunc{
		"/session": sessionDemo, "/listeners": listenersDemo, "/filters": filtersDemo, "/dispatch": dispatchDemo,
		"/errors": errorsDemo, "/upload": uploadDemo, "/pages": pagesDemo, "/sse": sseDemo, "/websocket": websocketDemo,
	}
	for _, f := range features {
		h := handlers[f.Path]
		if h == nil {
			t.Errorf("%s has no handler", f.Path)
			continue
		}
		w := httptest.NewRecorder()
		h(w, httptest.NewRequest("GET", f.Path, nil))
		for _, want := range []string{"<h1>" + f.Name, "package examples", `aria-current="page"`} {
			if !strings.Contains(w.Body.String(), want) {
				t.Errorf("%s: status %d without %q", f.Path, w.Code, want)
			}
		}
	}
}

func TestIndexLinksEveryFeature(t *testing.T) {
	w := httptest.NewRecorder()
	index(w, httptest.NewRequest("GET", "/", nil))
	for _, f := range features {
		if !strings.Contains(w.Body.String(), `href="`+f.Path+`"`) {
			t.Errorf("no link to %s", f.Path)
		}
	}
}

func TestSource(t *testing.T) {
	for target, want := range map[string]int{"/source/sse.go": 200, "/source/nosuch.go": 404, "/source/../../web.xml": 200} {
		w := httptest.NewRecorder()
		source(w, httptest.NewRequest("GET", target, nil))
		if w.Code != want {
			t.Errorf("%s: status %d, want %d", target, w.Code, want)
		}
	}
}

func TestFrames(t *testing.T) {
	masked := []byte{0x81, 0x85, 1, 2, 3, 4, 'h' ^ 1, 'e' ^ 2, 'l' ^ 3, 'l' ^ 4, 'o' ^ 1}
	op, payload, err := readFrame(bytes.NewReader(masked))
	if err != nil || op != opText || string(payload) != "hello" {
		t.Errorf("op %d, payload %q, error %v", op, payload, err)
	}
	for name, frame := range map[string][]byte{
		"unmasked":   {0x81, 1, 'x'},
		"fragmented": {0x01, 0x81, 0, 0, 0, 0, 'x'},
		"too long":   {0x81, 0xfe, 0xff, 0xff, 0, 0, 0, 0},
		"cut":        {0x81, 0x85, 1, 2},
	} {
		if _, _, err := readFrame(bytes.NewReader(frame)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	var b bytes.Buffer
	if err := writeFrame(&b, opText, bytes.Repeat([]byte("x"), 300)); err != nil || b.Len() != 304 || b.Bytes()[1] != 126 {
		t.Errorf("a frame of 300 bytes takes %d, error %v", b.Len(), err)
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add([]byte{0x81, 0x85, 1, 2, 3, 4, 'h', 'e', 'l', 'l', 'o'})
	f.Add([]byte{0x88, 0x80, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, payload, err := readFrame(bytes.NewReader(b)); err == nil && len(payload) > maxMessage {
			t.Fatalf("a payload of %d bytes", len(payload))
		}
	})
}
