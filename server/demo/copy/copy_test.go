package main

import (
	"os"
	"testing"
)

func TestCopiesAreCurrent(t *testing.T) {
	if err := run(os.DirFS("../../../webapps/shop"), "..", true); err != nil {
		t.Error(err)
	}
}
