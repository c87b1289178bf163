package cli

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
)

func (e *env) taskStats() *cobra.Command {
	return ends(&cobra.Command{
		Use: "stats", Short: "How many tasks there are, and what is due", Args: nargs(0, 0),
		Example: "  commandcenter task stats\n  commandcenter task stats --json | jq .overdue_count",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			x, err := client.Into[client.ResearchTaskStatistics](s.GetTaskStatistics(cmd.Context(), nil))
			if err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, x)
				return nil
			}
			t := newTable(e.Out, "STATUS", "TASKS")
			for _, status := range taskStatuses {
				t.row(status, strconv.Itoa(x.ByStatus[status]))
			}
			t.row("all", strconv.Itoa(x.Total))
			if err := t.flush(); err != nil {
				return err
			}
			for _, due := range []struct {
				what  string
				n     int
				first []client.ResearchTaskBrief
			}{{"overdue", x.OverdueCount, x.OverdueTasks}, {"due within a week", x.UpcomingCount, x.UpcomingTasks}} {
				e.line("%d %s", due.n, due.what)
				for _, b := range due.first {
					day := ""
					if b.DueDate != nil {
						day = b.DueDate.Local().Format(time.DateOnly)
					}
					e.line("  %s  %d  %s", day, b.Id, oneLine(b.Title))
				}
			}
			return nil
		},
	}, codesClient...)
}

// formatOf is the format of a file, by its name where nobody says it.
func formatOf(said, name string) (string, error) {
	switch {
	case said == "csv" || said == "json":
		return said, nil
	case said != "":
		return "", usageError{fmt.Errorf("--format: %q is neither csv nor json", said)}
	case strings.EqualFold(filepath.Ext(name), ".json"):
		return "json", nil
	}
	return "csv", nil
}

func (e *env) taskExport() *cobra.Command {
	var format string
	c := &cobra.Command{
		Use: "export FILE|-", Short: "Write all tasks to a file", Args: nargs(1, 1),
		Long:    "Writes CSV, or JSON where the name ends with .json, in the order of the ids. Texts that a spreadsheet would take for formulas begin with an apostrophe in CSV.",
		Example: "  commandcenter task export tasks.csv\n  commandcenter task export - --format json | jq length",
		RunE: func(cmd *cobra.Command, args []string) error {
			format, err := formatOf(format, args[0])
			if err != nil {
				return err
			}
			s, err := e.session()
			if err != nil {
				return err
			}
			out, closed := e.Out, func() error { return nil }
			if args[0] != "-" {
				f, err := os.Create(args[0])
				if err != nil {
					return codedError{err, exitUsage}
				}
				out, closed = f, f.Close
			}
			n, err := exportTasks(cmd.Context(), s, format, out)
			if err := errors.Join(err, closed()); err != nil || args[0] == "-" {
				return err
			}
			if e.json {
				e.print(e.Out, map[string]any{"file": args[0], "tasks": n})
				return nil
			}
			e.line("Wrote %s, %d tasks.", oneLine(args[0]), n)
			return nil
		},
	}
	c.Flags().StringVar(&format, "format", "", "csv or json")
	values(c, "format", "csv", "json")
	return ends(c, codesClient...)
}

// exportTasks writes file after file of the server into one.
func exportTasks(ctx context.Context, s *client.Session, format string, out io.Writer) (n int, err error) {
	const page = 1000
	limit, after := page, int64(0)
	if format == "json" {
		if _, err := io.WriteString(out, "["); err != nil {
			return 0, err
		}
	}
	for {
		f := client.ExportResearchTasksParamsFormat(format)
		resp, err := s.ExportResearchTasks(ctx, &client.ExportResearchTasksParams{Format: &f, After: &after, Limit: &limit})
		if err == nil && resp.StatusCode != http.StatusOK {
			_, err = client.Into[struct{}](resp, nil)
		}
		if err != nil {
			return n, err
		}
		b, err := io.ReadAll(resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil {
			return n, err
		}
		ids, err := idsIn(format, b, after == 0)
		if err != nil {
			return n, err
		}
		if format == "json" {
			if b = bytes.TrimSuffix(bytes.TrimPrefix(bytes.TrimSpace(b), []byte("[")), []byte("]")); n > 0 && len(ids) > 0 {
				b = append([]byte(",\n"), b...)
			}
		}
		if _, err := out.Write(b); err != nil {
			return n, err
		}
		if n += len(ids); len(ids) < page {
			break
		}
		after = ids[len(ids)-1]
	}
	if format == "json" {
		_, err = io.WriteString(out, "]\n")
	}
	return n, err
}

// idsIn are the ids of the tasks in a file.
func idsIn(format string, b []byte, head bool) (ids []int64, err error) {
	if format == "json" {
		var all []struct {
			ID int64 `json:"id"`
		}
		err := json.Unmarshal(b, &all)
		for _, x := range all {
			ids = append(ids, x.ID)
		}
		return ids, err
	}
	records, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
	if head && len(records) > 0 {
		records = records[1:]
	}
	for _, r := range records {
		id, err := strconv.ParseInt(r[0], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("the answer has a task without an id: %w", err)
		}
		ids = append(ids, id)
	}
	return ids, err
}

func (e *env) taskImport() *cobra.Command {
	var format string
	var dryRun bool
	c := &cobra.Command{
		Use: "import FILE|-", Short: "Take the tasks of a file in", Args: nargs(1, 1),
		Long: `Reads CSV, or JSON where the name ends with .json: what "task export" writes, of which
only a title has to be there. Each task is added under an id of its own; a technology
is found by its title. All are taken, or none, and at most 1,000 at a time.`,
		Example: "  commandcenter task import tasks.csv --dry-run\n  jq '[.[] | {title}]' issues.json | commandcenter task import - --format json",
		RunE: func(cmd *cobra.Command, args []string) error {
			const most = 4 << 20
			format, err := formatOf(format, args[0])
			if err != nil {
				return err
			}
			in := e.In
			if args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return codedError{err, exitUsage}
				}
				defer func() { _ = f.Close() }() // only read
				in = f
			}
			text, err := io.ReadAll(io.LimitReader(in, most+1))
			if err != nil {
				return codedError{err, exitUsage}
			}
			if len(text) > most {
				return usageError{fmt.Errorf("the file is larger than %d MiB", most>>20)}
			}
			s, err := e.session()
			if err != nil {
				return err
			}
			key, f := uuid.NewString(), client.ResearchTaskImportFormat(format)
			resp, err := s.ImportResearchTasks(cmd.Context(), &client.ImportResearchTasksParams{IdempotencyKey: &key}, client.ResearchTaskImport{Format: &f, Content: string(text), DryRun: &dryRun})
			done, err := client.Finish[client.ResearchTasksImported](cmd.Context(), s, resp, err)
			switch {
			case err != nil:
				return err
			case e.json:
				e.print(e.Out, done)
			case dryRun:
				e.line("%d would be added.", done.Added)
			default:
				e.line("Added %d.", done.Added)
			}
			return nil
		},
	}
	c.Flags().StringVar(&format, "format", "", "csv or json")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "only look whether all can be taken")
	values(c, "format", "csv", "json")
	return ends(c, codesClient...)
}
