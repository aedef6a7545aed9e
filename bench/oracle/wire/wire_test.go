package wire

import (
	"bytes"
	"testing"
)

func TestParse(t *testing.T) {
	tests := []struct {
		name, in string
		methods  []string
		status   []int
		framing  []string
		body     []string
	}{
		{"length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabHTTP/1.1 204 x\r\n\r\n", nil, []int{200, 204}, []string{"length", ""}, []string{"ab", ""}},
		{"chunked", "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n1\r\nc\r\n0\r\nT: 1\r\n\r\n", nil, []int{200}, []string{"chunked"}, []string{"abc"}},
		{"cut chunk", "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", nil, []int{200}, []string{"chunked-truncated"}, []string{"ab"}},
		{"cut length", "HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\nab", nil, []int{200}, []string{"length-short"}, []string{"ab"}},
		{"eof", "HTTP/1.0 200 OK\r\n\r\nabc", nil, []int{200}, []string{"eof"}, []string{"abc"}},
		{"head", "HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\nHTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n", []string{"HEAD"}, []int{200, 404}, []string{"", "length"}, []string{"", ""}},
		{"continue", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", nil, []int{100, 200}, []string{"", "length"}, []string{"", ""}},
		{"not http", "hello", nil, []int{0}, []string{""}, []string{""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := Parse([]byte(tt.in), tt.methods)
			if len(got) != len(tt.status) {
				t.Fatalf("%d responses, want %d", len(got), len(tt.status))
			}
			for i, r := range got {
				if r.Status != tt.status[i] || r.Framing != tt.framing[i] || string(r.Body) != tt.body[i] {
					t.Errorf("response %d: status %d framing %q body %q", i, r.Status, r.Framing, r.Body)
				}
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabHTTP/1.1 204 x\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 200 \r\nContent-Length: -1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var n int
		for _, r := range Parse(bytes.Clone(b), nil) {
			n += len(r.Body) + len(r.Raw)
		}
		if n > len(b) {
			t.Fatalf("%d bytes of bodies out of %d", n, len(b))
		}
	})
}
