package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// command is a line of the tutorial with what it has to print.
type command struct {
	text string
	want string
}

// tutorial reads the console blocks of a Markdown document.
func tutorial(t *testing.T, name string) []command {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var list []command
	inside := false
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSuffix(line, "\n")
		text, isCommand := strings.CutPrefix(line, "$ ")
		switch {
		case strings.HasPrefix(line, "```"):
			inside = line == "```console"
		case !inside:
		case isCommand:
			list = append(list, command{text: text})
		default:
			list[len(list)-1].want += line + "\n"
		}
	}
	if len(list) == 0 {
		t.Fatalf("%s has no console blocks", name)
	}
	return list
}

// shell is a bash that runs one line after the other.
type shell struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Reader
	n   int
}

func startShell(t *testing.T, dir string, env []string) *shell {
	t.Helper()
	// Not the test's context: it ends before the cleanup below, which would find the
	// shell killed and leave the server behind that it has started.
	cmd := exec.CommandContext(context.Background(), "bash", "--norc")
	cmd.Dir, cmd.Env, cmd.WaitDelay = dir, env, 10*time.Second
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// What was started in the background ends with the test.
		_, _ = io.WriteString(in, "trap 'kill $(jobs -p); wait' EXIT; exit 0\n")
		_ = in.Close()
		_, _ = io.Copy(io.Discard, out)
		if err := cmd.Wait(); err != nil && !errors.As(err, new(*exec.ExitError)) {
			t.Log(err)
		}
	})
	return &shell{t: t, in: in, out: bufio.NewReader(out)}
}

// run runs a line and returns what it has printed.
func (s *shell) run(line string) string {
	s.t.Helper()
	s.n++
	mark := fmt.Sprintf("@@%d@@", s.n)
	if _, err := fmt.Fprintf(s.in, "%s\necho '%s'\n", line, mark); err != nil {
		s.t.Fatalf("%s: %v", line, err)
	}
	var out strings.Builder
	for {
		l, err := s.out.ReadString('\n')
		if strings.HasSuffix(l, mark+"\n") {
			out.WriteString(strings.TrimSuffix(l, mark+"\n"))
			return out.String()
		}
		out.WriteString(l)
		if err != nil {
			s.t.Fatalf("%s: %v after %q", line, err, out.String())
		}
	}
}

// until runs a line until it prints what is wanted: deployment takes a moment.
func (s *shell) until(line, want string) {
	s.t.Helper()
	got := ""
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if got = s.run(line); got == want {
			return
		}
	}
	s.t.Fatalf("$ %s\nprints %q, want %q\nserver log:\n%s", line, got, want, s.run("tail -5 server.log"))
}

// TestReadme does what the README says, as its reader would.
func TestReadme(t *testing.T) {
	commands := tutorial(t, "README.md")
	dir := t.TempDir()
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	s := startShell(t, dir, append(os.Environ(), "PATH="+filepath.Dir(program(t))+":"+os.Getenv("PATH"), "GOFLAGS="))
	for _, c := range commands {
		line := strings.ReplaceAll(c.text, "localhost:8080", address)
		background, isBackground := strings.CutSuffix(line, "&")
		switch {
		case isBackground:
			s.run(background + " >>server.log 2>&1 &")
			s.until("serval status >/dev/null 2>&1 && echo up", "up\n")
		case c.want != "":
			s.until(line, c.want)
		default:
			if out := s.run(line + " || echo FAILED"); strings.Contains(out, "FAILED") {
				t.Fatalf("$ %s\n%s", line, out)
			}
		}
	}
	if out := s.run("cat server.log"); bytes.Contains([]byte(out), []byte("panic")) {
		t.Error(out)
	}
}
