package cli

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/ingest"
)

// stdinName is the source name of standard input when none is given.
const stdinName = "stdin.md"

func (e *env) ingestCommand() *cobra.Command {
	var o ingest.Options
	var noWait, dryRun bool
	var name string
	c := &cobra.Command{
		Use:   "ingest PATH...|-",
		Short: "Add files, folders, or standard input",
		Long: `Uploads files, and every document and source file of folders, and waits until
all is indexed. The source name of a file is its way from where you are
("docs/README.md"); from elsewhere it begins with the name of the folder that
you give, or with --name. What is there already under the same source name is
replaced; what has not changed costs nothing. Interrupted or repeated, it adds
nothing twice.

Of a folder, hidden files, what .gitignore names, folders of dependencies,
binaries, empty files, files above 20 MiB, types that are not read, and links
that lead outside are left out; the summary names them with the reason.`,
		Example: `  commandcenter ingest ./services
  commandcenter ingest README.md CONTRIBUTING.md --category handbook
  commandcenter ingest ~/other/docs --name other-docs
  git log -p | commandcenter ingest - --name history.txt
  commandcenter ingest . --dry-run`,
		Args: nargs(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Wait = !noWait
			files, skipped, err := e.filesToIngest(args, name)
			if err != nil {
				e.saySkipped(skipped)
				return codedError{err, exitUsage}
			}
			if dryRun {
				return e.listFiles(files, skipped)
			}
			return e.ingest(cmd, files, skipped, o)
		},
	}
	fs := c.Flags()
	fs.StringVar(&o.Category, "category", "", "category of everything (default: documentation or code, by the kind of file)")
	fs.StringVar(&o.Collection, "collection", "", "collection to put it into (default: the server's)")
	fs.StringVar(&o.Language, "language", "", "language of the texts, as ISO 639-1 has it (default: the server finds it out)")
	fs.IntVarP(&o.Parallel, "parallel", "p", 4, "uploads at a time")
	fs.BoolVar(&noWait, "no-wait", false, "do not wait until everything is indexed")
	fs.BoolVar(&dryRun, "dry-run", false, "only list what would be uploaded")
	fs.StringVar(&name, "name", "", "source name of the file, or of the folder before its files (default: the path; "+stdinName+" for standard input, where the ending chooses the format)")
	e.bind(c, false, "client.server", "client.ca_file", "client.project")
	return ends(c, append(slices.Clone(codesClient), exitPartly)...)
}

// filesToIngest finds what the arguments mean. Each fault is one of the caller.
func (e *env) filesToIngest(args []string, name string) (files []ingest.File, skipped []ingest.Skipped, err error) {
	if name != "" && len(args) > 1 {
		return nil, nil, errors.New("--name is for one path")
	}
	from := map[string]string{} // source name to where the file is
	for _, arg := range args {
		found, base, err := e.find(arg, name, func(s ingest.Skipped) { skipped = append(skipped, s) })
		if err != nil {
			return nil, skipped, err
		}
		if len(found) == 0 {
			return nil, skipped, fmt.Errorf("%s holds nothing that can be read", arg)
		}
		for _, f := range found {
			at := base + strings.TrimPrefix(f.Name, sourceName(arg, name))
			switch before, taken := from[f.Name]; {
			case !taken:
				from[f.Name] = at
				files = append(files, f)
			case before != at: // else the same file was named twice
				return nil, skipped, fmt.Errorf("%s and %s would both be %s: ingest them one by one, each with a --name", before, at, f.Name)
			}
		}
	}
	return files, skipped, nil
}

// find lists the files that one argument means; base is where it is.
func (e *env) find(arg, name string, skipped func(ingest.Skipped)) (files []ingest.File, base string, err error) {
	if arg == "-" {
		if name == "" {
			name = stdinName
		}
		f, err := ingest.Stdin(e.In, name)
		return []ingest.File{f}, "standard input", err
	}
	if base, err = filepath.Abs(arg); err != nil {
		return nil, "", err
	}
	files, err = ingest.Walk(arg, sourceName(arg, name), skipped)
	return files, base, err
}

// sourceName is how a path that was typed is called as a source, so that two
// folders do not overwrite each other's README.md: its way from here, or, when
// it is elsewhere, its own name.
func sourceName(arg, name string) string {
	if name != "" {
		return strings.TrimRight(path.Clean(filepath.ToSlash(name)), "/")
	}
	abs, err := filepath.Abs(arg)
	if err != nil {
		return filepath.Base(arg)
	}
	here, err := filepath.Abs(".")
	if err != nil {
		return filepath.Base(abs)
	}
	if rel, err := filepath.Rel(here, abs); err == nil && rel != "." && filepath.IsLocal(rel) {
		return filepath.ToSlash(rel)
	}
	return strings.Trim(filepath.ToSlash(filepath.Base(abs)), "/")
}

func (e *env) listFiles(files []ingest.File, skipped []ingest.Skipped) error {
	type item struct {
		Name string `json:"name"`
		Size int64  `json:"size"`
		Kind string `json:"category"`
	}
	if !e.json {
		for _, f := range files {
			e.line("%s", oneLine(f.Name))
		}
		e.saySkipped(skipped)
		return nil
	}
	list := make([]item, 0, len(files))
	for _, f := range files {
		list = append(list, item{f.Name, f.Size, ingest.Kind(f.Name)})
	}
	e.print(e.Out, map[string]any{"documents": list, "skipped": orEmpty(skipped)})
	return nil
}

// ingestReport is the answer of ingest.
type ingestReport struct {
	Documents []ingest.Result  `json:"documents"`
	Skipped   []ingest.Skipped `json:"skipped"`
	Uploaded  int              `json:"uploaded"` // of which the next two
	Added     int              `json:"added"`
	Replaced  int              `json:"replaced"`
	Unchanged int              `json:"unchanged"` // the server had them already
	Failed    int              `json:"failed"`
	Chunks    int              `json:"chunks"` // of those uploaded
	Seconds   float64          `json:"seconds"`
}

func (r *ingestReport) count(d ingest.Result) {
	r.Documents = append(r.Documents, d)
	if !d.OK() {
		r.Failed++
		return
	}
	if d.Outcome == ingest.OutcomeUnchanged {
		r.Unchanged++
		return
	}
	r.Uploaded++
	r.Chunks += d.Chunks
	if d.Outcome == ingest.OutcomeReplaced {
		r.Replaced++
	} else {
		r.Added++
	}
}

// there is how many documents the server has now.
func (r *ingestReport) there() int { return r.Uploaded + r.Unchanged }

func (e *env) ingest(cmd *cobra.Command, files []ingest.File, skipped []ingest.Skipped, o ingest.Options) error {
	p := e.progress(cmd.Context(), o.Wait)
	// A server counts the calls of a minute; a large folder goes on in the next.
	s, err := e.sessionWith(client.Config{Patience: 2 * time.Minute, Paused: p.Paused})
	if err != nil {
		return err
	}
	if err := s.Authenticate(cmd.Context()); err != nil {
		return err
	}
	began := time.Now()
	results, err := ingest.Upload(cmd.Context(), s, files, o, p)
	r := ingestReport{Documents: []ingest.Result{}, Skipped: orEmpty(skipped), Seconds: time.Since(began).Seconds()}
	for _, d := range results {
		if d.Name != "" { // else not reached before it gave up
			r.count(d)
		}
	}
	if err != nil && r.there() == 0 {
		return err // nothing has been done that one could report
	}
	if e.json {
		e.print(e.Out, r)
	} else {
		e.printIngest(r, o.Wait && err == nil)
	}
	switch {
	case err != nil:
		return fmt.Errorf("gave up after %d of %s: %w", r.there(), count(len(files), "file"), err)
	case r.Failed > 0 && r.there() == 0:
		return firstError(results)
	case r.Failed > 0:
		return partlyError{fmt.Errorf("%d of %s failed", r.Failed, count(len(files), "file"))}
	}
	return nil
}

func (e *env) printIngest(r ingestReport, waited bool) {
	for _, d := range r.Documents {
		if !d.OK() {
			e.say("%s %s: %s", e.paint(e.Err, red, d.State), oneLine(d.Name), oneLine(d.Error))
		}
	}
	if line := r.summary(waited); line != "" {
		e.line("%s", line)
	}
	e.saySkipped(r.Skipped)
}

// summary is what became of the documents that the server has now, "" for none.
func (r *ingestReport) summary(waited bool) string {
	same := count(r.Unchanged, "document") + " unchanged"
	switch {
	case r.there() == 0:
		return ""
	case r.Uploaded == 0:
		return fmt.Sprintf("%s: nothing to do, after %.1f s.", same, r.Seconds)
	}
	state := "uploaded"
	if waited {
		state = "indexed"
	}
	var of []string
	if r.Added > 0 {
		of = append(of, fmt.Sprintf("%d new", r.Added))
	}
	if r.Replaced > 0 {
		of = append(of, fmt.Sprintf("%d replaced", r.Replaced))
	}
	out := fmt.Sprintf("%s %s (%s), %s, in %.1f s.", count(r.Uploaded, "document"), state, strings.Join(of, ", "), count(r.Chunks, "chunk"), r.Seconds)
	if r.Unchanged > 0 {
		out += " " + same + "."
	}
	return out
}

// most names of one reason that are shown; --json has all.
const mostNames = 5

// saySkipped says what was left out, by reason.
func (e *env) saySkipped(skipped []ingest.Skipped) {
	if len(skipped) == 0 {
		return
	}
	var reasons []string
	names := map[string][]string{}
	for _, s := range skipped {
		if names[s.Reason] == nil {
			reasons = append(reasons, s.Reason)
		}
		names[s.Reason] = append(names[s.Reason], oneLine(s.Name))
	}
	slices.Sort(reasons)
	e.say("%s %d:", e.paint(e.Err, yellow, "Skipped"), len(skipped))
	for _, r := range reasons {
		all, more := names[r], ""
		if n := len(all) - mostNames; n > 0 {
			all, more = all[:mostNames], fmt.Sprintf(" and %d more", n)
		}
		e.say("  %d %s: %s%s", len(names[r]), r, strings.Join(all, ", "), more)
	}
}

func firstError(results []ingest.Result) error {
	for _, r := range results {
		if r.Err != nil {
			return fmt.Errorf("%s: %w", r.Name, r.Err)
		}
	}
	return errors.New("nothing was uploaded")
}
