package descriptor

import (
	"fmt"

	"github.com/serval-server/serval/descriptor/stricttoml"
)

// didYouMean is a hint to the nearest of the known words, or "" if none is near.
func didYouMean(word string, known []string) string {
	if best := stricttoml.Nearest(word, known); best != "" {
		return fmt.Sprintf(" (did you mean %q?)", best)
	}
	return ""
}
