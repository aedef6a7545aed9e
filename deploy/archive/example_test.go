package archive_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"

	"github.com/serval-server/serval/deploy/archive"
)

func ExampleNew() {
	var file bytes.Buffer
	w := zip.NewWriter(&file)
	if _, err := w.Create("../../etc/cron.d/job"); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	_, err := archive.New(bytes.NewReader(file.Bytes()), int64(file.Len()), archive.Limits{})
	fmt.Println(errors.Is(err, archive.ErrRefused), err)
	// Output: true archive refused: entry "../../etc/cron.d/job": segment ".." in the name
}
