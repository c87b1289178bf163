package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"mime/multipart"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/commandcenter/commandcenter/pkg/archive"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/portable"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/stack"
)

func (e *env) projectExport() *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "export ID|NAME|SLUG",
		Short: "Write everything that a project owns into one file",
		Long: `The file is a tar archive, compressed with gzip, with a SHA-256 of every member. It
holds documents with their bytes, schemas, settings and limits, and to be read who
belonged to the project and its audit log; never a key, a password or an invitation.
Only the owner may have it. The file is checked when it has arrived.`,
		Example: "  commandcenter project export Apollo\n  commandcenter project export 2 -o apollo.tar.gz\n  commandcenter project export Apollo -o - | ssh vault 'cat > apollo.tar.gz'",
		Args:    nargs(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			all, err := projects(cmd.Context(), s)
			if err != nil {
				return err
			}
			p, err := pick(all, args[0])
			if err != nil {
				return err
			}
			if output == "" {
				output = "project-" + strconv.FormatInt(p.Id, 10) + ".tar.gz"
			}
			resp, err := s.ExportProject(cmd.Context(), p.Id)
			if err != nil {
				return err
			}
			defer func() { _ = resp.Body.Close() }() // read to its end, or the command fails
			if resp.StatusCode != http.StatusOK {
				_, err := client.Into[any](resp, nil)
				return err
			}
			return e.keepExport(cmd.Context(), resp.Body, output)
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "", "the file, which must not exist; - for standard output; project-<id>.tar.gz without it")
	return ends(c, append(slices.Clone(codesClient), exitNotFound)...)
}

// archiveReport is what is said of a file that was checked.
type archiveReport struct {
	File string `json:"file"`
	archive.Content
}

// keepExport writes an export to a file while it checks it. A file that is not
// whole does not stay.
func (e *env) keepExport(ctx context.Context, from io.Reader, output string) (err error) {
	to, discard := e.Out, func() error { return nil }
	if output != "-" {
		file, err := os.OpenFile(output, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return usageError{err}
		}
		to, discard = file, func() error { return os.Remove(output) }
		defer func() {
			if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
				err = errors.Join(err, discard())
			}
		}()
	}
	reader, end := e.moving(ctx, "exporting", from, 0)
	content, err := archive.Read(io.TeeReader(reader, to), unbounded, archive.Visitor{})
	end()
	if err != nil {
		return fmt.Errorf("the export broke off, and is not whole: %w", err)
	}
	switch {
	case output == "-":
	case e.json:
		e.print(e.Out, archiveReport{output, content})
	default:
		e.line("%s: %s.", output, described(content))
	}
	return nil
}

// unbounded takes whatever an archive holds: what is read is only counted.
var unbounded = archive.Bounds{Bytes: math.MaxInt64 / 4, Object: math.MaxInt64, Members: math.MaxInt64 / 8192}

func described(c archive.Content) string {
	var rows int64
	for _, tables := range c.Manifest.Rows {
		for _, n := range tables {
			rows += n
		}
	}
	return fmt.Sprintf("project %d, %s, of %s, with %s, %s and %s", c.Head.ProjectID, oneLine(c.Head.Project), c.Head.CreatedAt.Format("2006-01-02 15:04 MST"),
		count(int(rows), "row"), count(int(c.Manifest.Objects), "file"), size(c.Manifest.Bytes))
}

func (e *env) projectImport() *cobra.Command {
	var name string
	var shares bool
	c := &cobra.Command{
		Use:   "import FILE",
		Short: "Make a new project of an export",
		Long: `The server checks the whole file first, and the project is there when all of it is;
what is refused leaves nothing. You become its owner, and nobody else is let in: keys,
members and invitations are not taken along. Documents are indexed anew meanwhile.`,
		Example: "  commandcenter project import apollo.tar.gz\n  commandcenter project import apollo.tar.gz --name 'Apollo, restored' --json | jq .id",
		Args:    nargs(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			body, contentType, end, err := e.importForm(cmd.Context(), args[0], name, shares)
			if err != nil {
				return usageError{err}
			}
			first, err := body()
			if err != nil {
				return usageError{err}
			}
			key := uuid.NewString()
			resp, err := s.ImportProjectWithBody(cmd.Context(), &client.ImportProjectParams{IdempotencyKey: &key}, contentType, first, func(_ context.Context, r *http.Request) error {
				r.GetBody = body
				return nil
			})
			end()
			if err == nil && resp.StatusCode == http.StatusAccepted && !e.json {
				e.say("Sent; the server checks it and takes it in, also when this command ends: `commandcenter operation wait %s` follows it.", path.Base(resp.Header.Get("Location")))
			}
			told, stop := e.awaiting(cmd.Context())
			p, err := client.Finish[client.ImportedProject](cmd.Context(), s, resp, err, told)
			stop()
			if err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, p)
				return nil
			}
			e.line("Imported project %d, %s: %s and %s; %s not taken in.", p.Id, oneLine(p.Name), count(int(p.RowsRestored), "row"),
				count(int(p.Objects), "file"), count(int(p.RowsLeftOut), "row"))
			return nil
		},
	}
	c.Flags().StringVar(&name, "name", "", "of the new project; without it, it is called as it was")
	c.Flags().BoolVar(&shares, "shares", false, "share it with the instances that it was shared with, as far as they are known here")
	return ends(c, codesClient...)
}

// importForm is the body of an import, which can be opened again; end takes the
// bar away.
func (e *env) importForm(ctx context.Context, path, name string, shares bool) (open func() (io.ReadCloser, error), contentType string, end func(), err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, "", nil, err
	}
	if info.IsDir() {
		return nil, "", nil, fmt.Errorf("%s is a folder", path)
	}
	var head bytes.Buffer
	w := multipart.NewWriter(&head)
	if name != "" {
		err = w.WriteField("name", name)
	}
	if shares {
		err = errors.Join(err, w.WriteField("shares", "true"))
	}
	if _, more := w.CreateFormFile("file", filepath.Base(path)); err != nil || more != nil {
		return nil, "", nil, errors.Join(err, more)
	}
	tail := "\r\n--" + w.Boundary() + "--\r\n"
	shown := func() {}
	return func() (io.ReadCloser, error) {
		shown()
		file, err := os.Open(path) // G304: the file that the caller names
		if err != nil {
			return nil, err
		}
		var moving io.Reader
		moving, shown = e.moving(ctx, "uploading", file, info.Size())
		return struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(head.Bytes()), moving, bytes.NewReader([]byte(tail))), file}, nil
	}, w.FormDataContentType(), func() { shown() }, nil
}

// moving shows on a terminal how far a reader is; total 0 is not known.
func (e *env) moving(ctx context.Context, what string, r io.Reader, total int64) (io.Reader, func()) {
	if e.json || !terminal(e.Err) {
		return r, func() {}
	}
	p := mpb.NewWithContext(ctx, mpb.WithOutput(e.Err), mpb.WithWidth(40))
	style, counted := mpb.BarFillerBuilder(mpb.BarStyle()), decor.CountersKibiByte("% .1f / % .1f")
	if total == 0 {
		style, counted = mpb.SpinnerStyle(), decor.CurrentKibiByte("% .1f")
	}
	bar := p.New(total, style, mpb.PrependDecorators(decor.Name(what, decor.WC{W: 10})), mpb.AppendDecorators(counted))
	return counting{r, bar}, func() {
		bar.Abort(false)
		p.Wait()
	}
}

// counting tells a bar what was read.
type counting struct {
	io.Reader
	bar *mpb.Bar
}

func (c counting) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.bar.IncrBy(n)
	return n, err
}

// imports is what an import asks of an archive before it takes anything in.
func imports(plans map[string]*portable.Plan) archive.Visitor {
	return archive.Visitor{
		Head: func(h archive.Head) error {
			for _, service := range slices.Sorted(maps.Keys(h.Services)) {
				plan := plans[service]
				if plan == nil {
					return errs.Newf(errs.Invalid, "the archive is refused: it holds something of %.40q, and this version has no such service", service)
				}
				if err := plan.Begin(h.Services[service].Own, h.Services[service].Common); err != nil {
					return err
				}
			}
			return nil
		},
		Row: stack.CheckRow,
	}
}

func (e *env) projectVerify() *cobra.Command {
	return ends(&cobra.Command{
		Use:   "verify FILE",
		Short: "Check an export without a server",
		Long: `Reads the whole file, compares the SHA-256 of every member, and checks every row as an
import does, within the bounds of the settings auth.import here. What it finds sound may
still be refused for what a server has: a name that is in use. Somebody may have written
the file anew all the same.`,
		Example: "  commandcenter project verify apollo.tar.gz\n  commandcenter project verify apollo.tar.gz --json | jq .manifest.rows",
		Args:    nargs(1, 1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			file, err := os.Open(args[0])
			if err != nil {
				return usageError{err}
			}
			defer func() { err = errors.Join(err, file.Close()) }()
			info, err := file.Stat()
			if err != nil {
				return err
			}
			reader, end := e.moving(cmd.Context(), "verifying", file, info.Size())
			content, err := archive.Read(reader, e.cfg.Auth.Import.Bounds(), imports(stack.Plans()))
			end()
			if err != nil {
				if errs.KindOf(err).Refusal() {
					return codedError{err, exitRefused}
				}
				return err
			}
			if e.json {
				e.print(e.Out, archiveReport{args[0], content})
				return nil
			}
			e.line("Sound: %s.", described(content))
			return nil
		},
	}, exitOK, exitUsage, exitRefused, exitFailure)
}
