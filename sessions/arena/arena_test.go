package arena

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// Blocks keep their bytes whatever else is allocated and freed, and an arena
// whose blocks are all freed keeps at most one chunk a class.
func TestBlocksKeepTheirBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a Arena
		defer a.Release()
		type block struct {
			ref  Ref
			want []byte
		}
		var blocks []block
		var mark byte
		t.Repeat(map[string]func(*rapid.T){
			"alloc": func(t *rapid.T) {
				n := rapid.OneOf(rapid.IntRange(1, 600), rapid.IntRange(1, 3*maxBlock)).Draw(t, "n")
				r, b, err := a.Alloc(n)
				if err != nil || len(b) < n || r.IsZero() {
					t.Fatalf("Alloc(%d): %v, %d bytes, %v", n, r, len(b), err)
				}
				mark++
				for i := range b {
					b[i] = mark
				}
				blocks = append(blocks, block{r, bytes.Repeat([]byte{mark}, len(b))})
			},
			"free": func(t *rapid.T) {
				if len(blocks) == 0 {
					return
				}
				i := rapid.IntRange(0, len(blocks)-1).Draw(t, "i")
				a.Free(blocks[i].ref)
				blocks[i] = blocks[len(blocks)-1]
				blocks = blocks[:len(blocks)-1]
			},
			"": func(t *rapid.T) {
				for _, b := range blocks {
					if !bytes.Equal(a.Bytes(b.ref), b.want) {
						t.Fatalf("block %v changed", b.ref)
					}
				}
			},
		})
	})
}

func TestMemoryIsGivenBack(t *testing.T) {
	var a Arena
	defer a.Release()
	var refs []Ref
	for range 10_000 {
		r, _, err := a.Alloc(300)
		if err != nil {
			t.Fatal(err)
		}
		refs = append(refs, r)
	}
	full := a.Mapped()
	if full < 10_000*300 || full > 10_000*360 {
		t.Errorf("mapped %d bytes for 3,000,000", full)
	}
	for _, r := range refs {
		a.Free(r)
	}
	if a.Mapped() > chunkSize {
		t.Errorf("%d bytes are still mapped", a.Mapped())
	}
}
