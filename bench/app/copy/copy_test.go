package main

import "testing"

func TestCopiesAreCurrent(t *testing.T) {
	if err := run("..", "../../home/webapps", true); err != nil {
		t.Error(err)
	}
}
