package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
)

func (e *env) taskAttach() *cobra.Command {
	return ends(&cobra.Command{
		Use: "attach ID FILE...", Short: "Put files to a task", Args: nargs(2, 50),
		Long:    "Puts files to a task: PDF, Markdown, text, CSV, JSON, Word (.docx), PNG and JPEG, at most 25 MiB each, and 50 of a task.",
		Example: "  commandcenter task attach 7 paper.pdf figures.png",
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.ofTask(func(cmd *cobra.Command, s *client.Session, id int64) error {
				var t client.ResearchTaskResponse
				for _, path := range args[1:] {
					var err error
					if t, err = e.attach(cmd.Context(), s, id, path); err != nil {
						return fmt.Errorf("%s: %w", oneLine(path), err)
					}
					if !e.json {
						e.line("Attached %s to %d, %s.", oneLine(filepath.Base(path)), t.Id, oneLine(t.Title))
					}
				}
				if e.json {
					e.print(e.Out, t)
				}
				return nil
			})(cmd, args)
		},
	}, codesClient...)
}

// attach sends one file while it is read.
func (e *env) attach(ctx context.Context, s *client.Session, id int64, path string) (t client.ResearchTaskResponse, err error) {
	file, err := os.Open(path) //nolint:gosec // G304: the file that the caller names
	if err != nil {
		return t, codedError{err, exitUsage}
	}
	defer func() { _ = file.Close() }() // only read
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("this is no file")
	}
	if err != nil {
		return t, codedError{err, exitUsage}
	}
	var head bytes.Buffer
	w := multipart.NewWriter(&head)
	if _, err := w.CreateFormFile("file", filepath.Base(path)); err != nil {
		return t, err
	}
	moving, end := e.moving(ctx, "uploading", file, info.Size())
	defer end()
	form := io.MultiReader(bytes.NewReader(head.Bytes()), moving, bytes.NewReader([]byte("\r\n--"+w.Boundary()+"--\r\n")))
	key := uuid.NewString()
	resp, err := s.AttachTaskDocumentWithBody(ctx, id, &client.AttachTaskDocumentParams{IdempotencyKey: &key}, w.FormDataContentType(), form)
	return client.Finish[client.ResearchTaskResponse](ctx, s, resp, err)
}

func (e *env) taskFiles() *cobra.Command {
	return ends(&cobra.Command{
		Use: "files ID", Short: "The files at a task", Args: nargs(1, 1),
		Example: "  commandcenter task files 7",
		RunE: e.ofTask(func(cmd *cobra.Command, s *client.Session, id int64) error {
			all, err := client.Into[client.TaskDocuments](s.ListTaskDocuments(cmd.Context(), id, nil))
			if err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, all.Documents)
				return nil
			}
			t := newTable(e.Out, "ID", "SIZE", "UPLOADED", "BY", "NAME")
			for _, d := range all.Documents {
				t.row(strconv.FormatInt(d.Id, 10), size(d.Size), d.UploadedAt.Local().Format(time.DateOnly), d.UploadedBy, d.Filename)
			}
			return t.flush()
		}),
	}, codesClient...)
}

// ofFile runs what is about one file at a task.
func (e *env) ofFile(run func(cmd *cobra.Command, s *client.Session, id, file int64, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		file, err := numberOf(args[1], "a file", "task files "+args[0])
		if err != nil {
			return err
		}
		return e.ofTask(func(cmd *cobra.Command, s *client.Session, id int64) error { return run(cmd, s, id, file, args) })(cmd, args)
	}
}

func (e *env) taskDownload() *cobra.Command {
	return ends(&cobra.Command{
		Use: "download ID FILE-ID FILE|-", Short: "Write a file at a task to one of yours", Args: nargs(3, 3),
		Example: "  commandcenter task download 7 3 paper.pdf",
		RunE: e.ofFile(func(cmd *cobra.Command, s *client.Session, id, file int64, args []string) error {
			return e.saveAnswer(cmd.Context(), args[2], func(ctx context.Context) (*http.Response, error) {
				return s.DownloadTaskDocument(ctx, id, file, nil)
			})
		}),
	}, codesClient...)
}

func (e *env) taskDetach() *cobra.Command {
	return ends(&cobra.Command{
		Use: "detach ID FILE-ID", Short: "Delete a file at a task", Args: nargs(2, 2),
		Long:    "Deletes a file at a task. One that somebody else uploaded takes an admin of the project.",
		Example: "  commandcenter task detach 7 3",
		RunE: e.ofFile(func(cmd *cobra.Command, s *client.Session, id, file int64, _ []string) error {
			key := uuid.NewString()
			resp, err := s.DeleteTaskDocument(cmd.Context(), id, file, &client.DeleteTaskDocumentParams{IdempotencyKey: &key})
			if _, err := client.Finish[struct{}](cmd.Context(), s, resp, err); err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, map[string]any{"id": id, "file": file})
				return nil
			}
			e.line("Deleted file %d of %d.", file, id)
			return nil
		}),
	}, codesClient...)
}
