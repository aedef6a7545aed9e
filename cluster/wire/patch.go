package wire

import (
	"errors"

	"github.com/serval-server/serval/cluster/replica"
)

// Patch says how new differs from old, in fewer bytes than new itself takes; if
// that cannot be had, it returns false.
func Patch(old, new replica.Value) ([]byte, bool) { return nil, false }

// Unpatch applies what Patch made. It fails if old is not the value that the
// patch was made against.
func Unpatch(old replica.Value, patch []byte) (replica.Value, error) {
	return replica.Value{}, errors.New("wire: not yet")
}
