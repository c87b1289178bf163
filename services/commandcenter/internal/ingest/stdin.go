package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Stdin reads r whole, at most MaxSize bytes, so that it can be sent again.
func Stdin(r io.Reader, name string) (File, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	switch {
	case err != nil:
		return File{}, fmt.Errorf("read standard input: %w", err)
	case len(data) == 0:
		return File{}, errors.New("standard input is empty")
	case len(data) > MaxSize:
		return File{}, fmt.Errorf("standard input is larger than %d MiB", MaxSize>>20)
	case Binary(name, data):
		return File{}, errors.New("standard input is binary, and not a PDF or what its name promises: give --name with its extension (report.docx)")
	}
	return Bytes(name, data), nil
}

// Bytes is a file that is in memory.
func Bytes(name string, data []byte) File {
	return File{Name: name, Size: int64(len(data)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	}}
}
