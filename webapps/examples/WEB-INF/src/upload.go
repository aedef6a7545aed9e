package examples

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/serval-server/serval/webapp/servlet"
)

// received is what the page tells about a file. Nothing is kept.
type received struct {
	Name, Type, Sum string
	Size            int64
}

// uploadDemo takes files. The limits are those of multipart-config in the
// descriptor: 1 MB a file, 4 MB in all; what is over 64 KiB goes to a
// temporary file, which is gone when the request is over.
func uploadDemo(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		show(w, r, "/upload", nil)
		return
	}
	err := r.ParseMultipartForm(64 << 10)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		_ = servlet.SendError(w, r, http.StatusRequestEntityTooLarge, fmt.Sprintf("a file has more than %d bytes", tooLarge.Limit))
		return
	case err != nil:
		_ = servlet.SendError(w, r, http.StatusBadRequest, err.Error())
		return
	}
	var list []received
	for _, h := range r.MultipartForm.File["file"] {
		f, err := h.Open()
		if err != nil {
			servlet.Fail(w, r, err)
			return
		}
		sum := sha256.New()
		n, err := io.Copy(sum, f)
		if err = errors.Join(err, f.Close()); err != nil {
			servlet.Fail(w, r, err)
			return
		}
		list = append(list, received{h.Filename, h.Header.Get("Content-Type"), fmt.Sprintf("%x", sum.Sum(nil))[:16], n})
	}
	show(w, r, "/upload", list)
}
