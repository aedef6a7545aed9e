package cli

import (
	"fmt"
	"os"
)

// calm is what serval run does first; the program says what has become of it.
func init() {
	programs["calm"] = func() {
		calmTimers()
		_, tried := os.LookupEnv(slackTried)
		fmt.Println(os.Getpid(), os.Args[1:], "slack", slack(), "tried", tried)
	}
}
