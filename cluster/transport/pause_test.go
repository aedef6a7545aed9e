package transport

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestPause: a pause comes only while messages come fast, and not for long
// where it brings nothing.
func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pause
		resumed := make(chan time.Time, 1)
		p.init(time.Millisecond, 0, func() { resumed <- time.Now() })
		defer p.stop()
		for range 100 { // 1000 messages per second
			time.Sleep(10 * time.Millisecond)
			p.count(10)
			p.begin(0)
		}
		if p.on {
			t.Fatalf("a pause at %.0f messages per second", p.rate)
		}
		fast := func() {
			for range 100 { // 10000 per second
				time.Sleep(time.Millisecond)
				p.count(10)
			}
		}
		fast()
		began := time.Now()
		if p.begin(4); !p.on {
			t.Fatalf("no pause at %.0f messages per second", p.rate)
		}
		if d := (<-resumed).Sub(began); d != time.Millisecond {
			t.Errorf("the pause took %v", d)
		}
		p.end(8) // doubled: that was worth it
		if p.begin(4); !p.on {
			t.Fatal("no pause although the last one was worth it")
		}
		<-resumed
		p.end(5)
		for want := pauseSkip; want <= pauseMaxSkip; want *= 2 {
			for range want {
				if p.begin(4); p.on {
					t.Fatalf("a pause where %d batches were to leave without", want)
				}
				time.Sleep(time.Millisecond)
				p.count(10)
			}
			if p.begin(4); !p.on {
				t.Fatalf("no pause after %d batches", want)
			}
			<-resumed
			p.end(5)
		}
	})
}

func TestNoPause(t *testing.T) {
	for name, p := range map[string]*pause{"none wanted": {}, "bulk": {}} {
		window := 0
		length := time.Duration(-1)
		if name == "bulk" {
			window, length = 1, time.Hour
		}
		p.init(length, window, func() { t.Error("resumed") })
		p.count(1000)
		if p.begin(0); p.on {
			t.Errorf("%s: a pause", name)
		}
		p.stop()
	}
}
