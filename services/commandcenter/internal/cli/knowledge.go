package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/foreign"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/ingest"
)

func (e *env) knowledgeCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:     "knowledge",
		Short:   "The knowledge base of a project: how it is searched, import from other products, templates",
		Example: "  commandcenter knowledge settings\n  commandcenter knowledge import support_kb_export.zip\n  commandcenter knowledge import --chroma http://localhost:8000",
	}, e.knowledgeSettings(), e.knowledgeImport(), e.knowledgeTemplates(), e.knowledgeApply())
}

// importing is where a knowledge base is read from, and where it is put.
type importing struct {
	chroma    foreign.Chroma
	tokenFile string
	dryRun    bool
	noWait    bool
	into      ingest.Options
}

func (e *env) knowledgeImport() *cobra.Command {
	var o importing
	c := &cobra.Command{
		Use:   "import FILE|--chroma URL",
		Short: "Take over the documents of KnowledgeBeast or of a Chroma server",
		Long: `Reads what another product keeps, and uploads it as documents: an export of
KnowledgeBeast (ZIP of version 2, or JSON of version 1.0), or the collections of a
Chroma server over HTTP (its API v2, or v1 of before 0.6).

Pieces that name one source (file_path, path, source, filename, url) become one
document again, in the order of their chunk_index, without what they have in common.
A document goes into the collection that it was in, unless --collection says
otherwise, and is called after it ("notes/guide.md"). What is there already under
the same name is replaced, and what has not changed costs nothing: an import may be
repeated. Vectors are made anew. Other metadata are left behind.`,
		Example: `  commandcenter knowledge import support_kb_export.zip
  commandcenter knowledge import export.json --collection old --dry-run
  commandcenter knowledge import --chroma http://localhost:8000
  commandcenter knowledge import --chroma https://chroma.example.org --chroma-token-file token --chroma-collection notes`,
		Args: nargs(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 1) == (o.chroma.URL != "") {
				return usageError{errors.New("name a file, or a Chroma server with --chroma")}
			}
			files, skipped, err := e.toImport(cmd.Context(), args, &o)
			if err != nil {
				return err
			}
			if o.dryRun {
				return e.listFiles(files, skipped)
			}
			if len(files) == 0 {
				e.saySkipped(skipped)
				return codedError{errors.New("there is no document to import"), exitUsage}
			}
			o.into.Wait = !o.noWait
			return e.ingest(cmd, files, skipped, o.into)
		},
	}
	fs := c.Flags()
	fs.StringVar(&o.chroma.URL, "chroma", "", "address of a Chroma server")
	fs.StringVar(&o.chroma.Tenant, "chroma-tenant", "default_tenant", "its tenant")
	fs.StringVar(&o.chroma.Database, "chroma-database", "default_database", "its database")
	fs.StringVar(&o.tokenFile, "chroma-token-file", "", "file with the token that it wants; - for standard input")
	fs.StringArrayVar(&o.chroma.Collections, "chroma-collection", nil, "a collection of it, may be repeated (default: all)")
	fs.StringVar(&o.into.Category, "category", "", "category of everything (default: documentation or code, by the name)")
	fs.StringVar(&o.into.Collection, "collection", "", "collection to put all into (default: the one it was in)")
	fs.IntVarP(&o.into.Parallel, "parallel", "p", 4, "uploads at a time")
	fs.BoolVar(&o.noWait, "no-wait", false, "do not wait until everything is indexed")
	fs.BoolVar(&o.dryRun, "dry-run", false, "only list what would be uploaded")
	e.bind(c, false, "client.server", "client.ca_file", "client.project")
	return ends(c, append(slices.Clone(codesClient), exitPartly)...)
}

// toImport reads what is to be imported. Each document is in one collection.
func (e *env) toImport(ctx context.Context, args []string, o *importing) (files []ingest.File, skipped []ingest.Skipped, err error) {
	add := func(b foreign.Base) error {
		more, left := b.Documents()
		if o.into.Collection == "" {
			for i := range more {
				more[i].Collection = collectionOf(b.Name)
			}
		}
		files, skipped = append(files, more...), append(skipped, left...)
		return nil
	}
	if len(args) == 1 {
		b, err := foreign.ReadFile(args[0])
		if err != nil {
			return nil, nil, codedError{err, exitUsage}
		}
		return files, skipped, add(b)
	}
	if o.tokenFile != "" {
		token, err := e.tokenIn(o.tokenFile)
		if err != nil {
			return nil, nil, codedError{err, exitUsage}
		}
		o.chroma.Token = token
	}
	err = o.chroma.Read(ctx, func(name string, records int) {
		e.say("Reading %s of collection %s.", count(records, "record"), oneLine(name))
	}, add)
	if err != nil && ctx.Err() == nil {
		err = codedError{err, exitUnavailable}
	}
	return files, skipped, err
}

// collectionOf is a name that the contract takes.
func collectionOf(name string) string {
	r := []rune(strings.TrimSpace(strings.ToValidUTF8(name, "_")))
	return string(r[:min(len(r), 100)])
}

// tokenIn is the first line of a file, or of standard input.
func (e *env) tokenIn(name string) (string, error) {
	const most = 8 << 10
	in := e.In
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return "", err
		}
		defer func() { _ = f.Close() }() // only read
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, most))
	if err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	token, _, _ := strings.Cut(string(b), "\n")
	if token = strings.TrimSpace(token); token == "" {
		return "", errors.New("the file of the token is empty")
	}
	return token, nil
}
