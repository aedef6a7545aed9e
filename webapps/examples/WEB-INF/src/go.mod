module example.com/examples

go 1.26.0

require github.com/serval-server/serval v0.0.0
