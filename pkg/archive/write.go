package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

// Writer writes an archive as it goes. It is not safe for concurrent use; after
// an error the file is worthless.
type Writer struct {
	zip   *gzip.Writer
	tar   *tar.Writer
	at    time.Time
	sums  strings.Builder
	named int
	parts map[string]int
	m     Manifest
}

// NewWriter begins an archive.
func NewWriter(w io.Writer, h Head) (*Writer, error) {
	z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	h.Format, h.Version, h.CreatedAt = Format, Version, h.CreatedAt.UTC().Truncate(time.Second)
	x := &Writer{zip: z, tar: tar.NewWriter(z), at: h.CreatedAt, parts: map[string]int{}, m: Manifest{
		Rows: map[string]map[string]int64{}, LeftOut: map[string]map[string]string{}, Secrets: NoSecrets,
	}}
	text, err := json.MarshalIndent(h, "", "  ")
	if err != nil {
		return nil, err
	}
	x.m.Head, err = x.member(headName, int64(len(text)), bytes.NewReader(text))
	return x, err
}

// Rows adds rows of a table: JSON objects, each with a line's end.
func (x *Writer) Rows(service, table string, lines []byte) error {
	if len(lines) > MaxRows {
		return fmt.Errorf("rows of %s.%s: %d bytes at once", service, table, len(lines))
	}
	key := service + "/" + table
	x.parts[key]++
	if err := x.summed(RowsName(service, table, x.parts[key]), int64(len(lines)), bytes.NewReader(lines)); err != nil {
		return err
	}
	x.table(service)[table] += int64(bytes.Count(lines, []byte("\n")))
	return nil
}

// Table notes that a table is part of the archive, also when it has no row.
func (x *Writer) Table(service, table string) { x.table(service)[table] += 0 }

func (x *Writer) table(service string) map[string]int64 {
	if x.m.Rows[service] == nil {
		x.m.Rows[service] = map[string]int64{}
	}
	return x.m.Rows[service]
}

// LeaveOut notes what of a service is not part of the archive, and why.
func (x *Writer) LeaveOut(service string, tables map[string]string) { x.m.LeftOut[service] = tables }

// Object adds size bytes of r, which must have that SHA-256.
func (x *Writer) Object(service, sum string, size int64, r io.Reader) error {
	if err := x.summed(service+"/objects/"+sum, size, r); err != nil {
		return err
	}
	x.m.Objects++
	return nil
}

// summed adds a member that the next file of sums names.
func (x *Writer) summed(name string, size int64, r io.Reader) error {
	sum, err := x.member(name, size, r)
	if err != nil {
		return err
	}
	if o := objectForm.FindStringSubmatch(name); len(o) > 0 && o[2] != sum {
		return fmt.Errorf("object %s: its bytes have the sum %s", name, sum)
	}
	x.m.Bytes += size
	x.sums.WriteString(sum + "  " + name + "\n")
	if x.named++; x.named%sumsPerPart == 0 {
		return x.sum()
	}
	return nil
}

func (x *Writer) sum() error {
	text := x.sums.String()
	x.sums.Reset()
	sum, err := x.member(fmt.Sprintf("sums/%06d.sha256", len(x.m.Sums)+1), int64(len(text)), strings.NewReader(text))
	x.m.Sums = append(x.m.Sums, sum)
	return err
}

func (x *Writer) member(name string, size int64, r io.Reader) (string, error) {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: x.at, Format: tar.FormatUSTAR}
	if err := x.tar.WriteHeader(h); err != nil {
		return "", fmt.Errorf("archive %s: %w", name, err)
	}
	hash := sha256.New()
	n, err := io.Copy(io.MultiWriter(x.tar, hash), r)
	if err == nil && n != size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return "", fmt.Errorf("archive %s: %w", name, err)
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// Flush hands on what was written so far.
func (x *Writer) Flush() error { return x.zip.Flush() }

// Close ends the archive with its manifest.
func (x *Writer) Close() error {
	if x.sums.Len() > 0 {
		if err := x.sum(); err != nil {
			return err
		}
	}
	text, err := json.MarshalIndent(x.m, "", "  ")
	if err != nil {
		return err
	}
	if _, err := x.member(manifestName, int64(len(text)), bytes.NewReader(text)); err != nil {
		return err
	}
	if err := x.tar.Close(); err != nil {
		return err
	}
	return x.zip.Close()
}
