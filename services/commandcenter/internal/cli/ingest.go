package cli

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/ingest"
)

func (e *env) ingestCommand() *cobra.Command {
	var o ingest.Options
	var noWait, dryRun bool
	var name string
	c := &cobra.Command{
		Use:   "ingest PATH|-",
		Short: "Add a file, a folder, or standard input",
		Long: `Uploads a file, or every document and source file of a folder, and waits until
all is indexed. Files that .gitignore names, hidden files, binaries and files
above 20 MiB are left out. What is there already under the same name is
replaced; what has not changed costs nothing. Interrupted or repeated, it adds
nothing twice.`,
		Example: `  commandcenter ingest ./docs
  commandcenter ingest README.md --category handbook
  git log -p | commandcenter ingest - --name history.txt
  commandcenter ingest . --dry-run`,
		Args: nargs(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Wait = !noWait
			var skipped []ingest.Skipped
			files, err := e.filesToIngest(args[0], name, func(s ingest.Skipped) { skipped = append(skipped, s) })
			if err != nil {
				return err
			}
			for _, s := range skipped {
				e.say("%s %s: %s", e.paint(e.Err, yellow, "skipped"), oneLine(s.Name), s.Reason)
			}
			if dryRun {
				return e.listFiles(files)
			}
			return e.ingest(cmd, files, skipped, o)
		},
	}
	fs := c.Flags()
	fs.StringVar(&o.Category, "category", "", "category of everything (default: documentation or code, by the kind of file)")
	fs.StringVar(&o.Collection, "collection", "", "collection to put it into (default: the server's)")
	fs.IntVarP(&o.Parallel, "parallel", "p", 4, "uploads at a time")
	fs.BoolVar(&noWait, "no-wait", false, "do not wait until everything is indexed")
	fs.BoolVar(&dryRun, "dry-run", false, "only list what would be uploaded")
	fs.StringVar(&name, "name", "stdin.md", "name of what comes from standard input; its extension chooses the format")
	e.bind(c, false, "client.server", "client.project")
	return c
}

func (e *env) filesToIngest(path, name string, skipped func(ingest.Skipped)) ([]ingest.File, error) {
	if path == "-" {
		f, err := ingest.Stdin(e.In, name)
		return []ingest.File{f}, err
	}
	files, err := ingest.Walk(path, skipped)
	if err != nil {
		return nil, usageError{err}
	}
	if len(files) == 0 {
		return nil, codedError{fmt.Errorf("%s holds nothing that can be read", path), exitNotFound}
	}
	return files, nil
}

func (e *env) listFiles(files []ingest.File) error {
	type item struct {
		Name string `json:"name"`
		Size int64  `json:"size"`
		Kind string `json:"category"`
	}
	list := make([]item, 0, len(files))
	for _, f := range files {
		list = append(list, item{f.Name, f.Size, ingest.Kind(f.Name)})
		if !e.json {
			e.line("%s", oneLine(f.Name))
		}
	}
	if e.json {
		e.print(e.Out, list)
	}
	return nil
}

// ingestReport is the answer of ingest.
type ingestReport struct {
	Documents []ingest.Result  `json:"documents"`
	Skipped   []ingest.Skipped `json:"skipped"`
	Uploaded  int              `json:"uploaded"`
	Failed    int              `json:"failed"`
	Chunks    int              `json:"chunks"`
	Seconds   float64          `json:"seconds"`
}

func (e *env) ingest(cmd *cobra.Command, files []ingest.File, skipped []ingest.Skipped, o ingest.Options) error {
	s, err := e.session()
	if err != nil {
		return err
	}
	began := time.Now()
	results, err := ingest.Upload(cmd.Context(), s, files, o, e.progress(cmd.Context(), o.Wait))
	r := ingestReport{Documents: []ingest.Result{}, Skipped: skipped, Seconds: time.Since(began).Seconds()}
	if skipped == nil {
		r.Skipped = []ingest.Skipped{}
	}
	for _, d := range results {
		if d.Name == "" {
			continue // not reached before it gave up
		}
		r.Documents = append(r.Documents, d)
		if d.OK() {
			r.Uploaded++
			r.Chunks += d.Chunks
		} else {
			r.Failed++
		}
	}
	if e.json {
		e.print(e.Out, r)
	} else {
		e.printIngest(r, o.Wait)
	}
	switch {
	case err != nil:
		return fmt.Errorf("gave up after %d of %d files: %w", r.Uploaded, len(files), err)
	case r.Failed > 0 && r.Uploaded == 0:
		return firstError(results)
	case r.Failed > 0:
		return partlyError{fmt.Errorf("%d of %d files failed", r.Failed, len(files))}
	}
	return nil
}

func (e *env) printIngest(r ingestReport, waited bool) {
	for _, d := range r.Documents {
		if !d.OK() {
			e.say("%s %s: %s", e.paint(e.Err, red, d.State), oneLine(d.Name), oneLine(d.Error))
		}
	}
	if r.Uploaded == 0 {
		return
	}
	state := "uploaded"
	if waited {
		state = "indexed"
	}
	e.line("%d documents %s, %d chunks, in %.1f s.", r.Uploaded, state, r.Chunks, r.Seconds)
}

func firstError(results []ingest.Result) error {
	for _, r := range results {
		if r.Err != nil {
			return fmt.Errorf("%s: %w", r.Name, r.Err)
		}
	}
	return errors.New("nothing was uploaded")
}
