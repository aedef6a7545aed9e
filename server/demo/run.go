package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/term"
)

// redraw is how often the table is drawn, and report how often a line is printed
// where there is none.
const (
	redraw = 250 * time.Millisecond
	report = 10 * time.Second
)

// Run runs the demo until the context ends, somebody presses q or Ctrl-C, or a
// signal comes.
func Run(ctx context.Context, o Options) error {
	o, err := o.withDefaults()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	out := &lineWriter{w: o.Stdout}
	out.printf("starting %d nodes ...", o.Nodes)
	d, err := Start(ctx, o, out.line)
	if err != nil {
		if ctx.Err() != nil {
			return nil // somebody has lost patience
		}
		return err
	}
	out.printf("the shop is at %s/shop/", d.URL())
	if screen := openScreen(o.Stdout); screen != nil {
		out.mute()
		err = screen.run(ctx, d)
		out.printf("%d requests, %d retried, %d failed; %d carts looked at, %d not as they were",
			d.balancer.requests.Load(), d.balancer.retried.Load(), d.balancer.failed.Load(), d.shoppers.checked.Load(), d.shoppers.lost.Load())
	} else {
		d.tell(ctx, out)
	}
	return errors.Join(err, d.Close())
}

// tell prints the table from time to time, until the context ends.
func (d *Demo) tell(ctx context.Context, out *lineWriter) {
	var s sampler
	tick := time.NewTicker(report)
	defer tick.Stop()
	for {
		s.picture(d, time.Now())
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		p := s.picture(d, time.Now())
		p.news = nil
		for _, l := range p.lines(false) {
			out.printf("%s", l)
		}
	}
}

// lineWriter prints lines from any goroutine.
type lineWriter struct {
	mu    sync.Mutex
	w     io.Writer // guarded by mu
	muted bool      // guarded by mu: news are on the screen
}

func (l *lineWriter) line(s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.muted {
		fmt.Fprintln(l.w, s)
	}
}

func (l *lineWriter) printf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.w, format+"\n", args...)
}

func (l *lineWriter) mute() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.muted = true
}

// screen is a terminal in raw mode.
type screen struct {
	out  *os.File
	keys *os.File
	old  *term.State
}

// openScreen takes the terminal over, or returns nil if there is none.
func openScreen(w io.Writer) *screen {
	out, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(out.Fd())) || !term.IsTerminal(int(os.Stdin.Fd())) {
		return nil
	}
	old, err := term.MakeRaw(int(os.Stdin.Fd()))
	if err != nil {
		return nil
	}
	return &screen{out: out, keys: os.Stdin, old: old}
}

// run draws the table and obeys the keys.
func (s *screen) run(ctx context.Context, d *Demo) error {
	// Another buffer and no cursor; what was there before comes back at the end.
	fmt.Fprint(s.out, "\x1b[?1049h\x1b[?25l")
	defer func() {
		fmt.Fprint(s.out, "\x1b[?25h\x1b[?1049l")
		_ = term.Restore(int(s.keys.Fd()), s.old) // there is nothing else to try
	}()
	// A read of a terminal cannot be called off: this goroutine ends with the
	// program, which is about to end when nobody reads what it sends.
	pressed := make(chan byte)
	go func() {
		key := make([]byte, 1)
		for {
			if n, err := s.keys.Read(key); n == 0 || err != nil {
				return
			}
			select {
			case pressed <- key[0]:
			case <-ctx.Done():
				return
			}
		}
	}()
	tick := time.NewTicker(redraw)
	defer tick.Stop()
	var rates sampler
	for {
		s.draw(rates.picture(d, time.Now()).lines(true))
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		case key := <-pressed:
			switch {
			case key == 'q' || key == 3: // Ctrl-C
				return nil
			case key >= '1' && int(key-'0') <= len(d.nodes):
				if err := d.Toggle(int(key - '0')); err != nil {
					d.news.add(err.Error())
				}
			}
		}
	}
}

// draw writes the lines over those of before.
func (s *screen) draw(lines []string) {
	width, height, err := term.GetSize(int(s.out.Fd()))
	if err != nil || width <= 0 {
		width, height = 80, 24
	}
	text := "\x1b[H"
	for i, l := range lines {
		if i >= height-1 {
			break
		}
		if runes := []rune(l); len(runes) > width {
			l = string(runes[:width])
		}
		text += l + "\x1b[K\r\n"
	}
	fmt.Fprint(s.out, text+"\x1b[J")
}
