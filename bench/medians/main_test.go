package main

import (
	"strings"
	"testing"
)

func TestSummarize(t *testing.T) {
	in := `{"label":"hello net/http","server_cpu_us_per_req":10}
{"label":"hello linked","server_cpu_us_per_req":14}
{"label":"hello linked","server_cpu_us_per_req":11,"rps":5,"p99_us":2500}
{"label":"hello linked","server_cpu_us_per_req":12}
`
	var out strings.Builder
	failed, err := summarize(strings.NewReader(in), &out)
	if err != nil || failed != 0 {
		t.Fatalf("failed %d, err %v", failed, err)
	}
	for _, want := range []string{
		"| hello linked | 3 | 12.0 | 11.0 to 14.0 |",
		"hello linked / hello net/http = 1.20 (goal: at most 1.15, not reached)",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func TestSummarizeCountsFailures(t *testing.T) {
	failed, err := summarize(strings.NewReader(`{"label":"a b","http_5xx":2,"back":1}`), new(strings.Builder))
	if err != nil || failed != 3 {
		t.Fatalf("failed %d, err %v", failed, err)
	}
	if _, err := summarize(strings.NewReader("{}\nno"), new(strings.Builder)); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Fatalf("err %v, want one that names line 2", err)
	}
}
