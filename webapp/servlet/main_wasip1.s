//go:build wasip1

// An empty file: it lets the package declare main.main without a body.
