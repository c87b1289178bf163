package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/datadir"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/ingest"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/sample"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/version"
)

// samplePart adds the sample documents in the background, like any other
// caller. Interrupted, it is done again at the next start.
type samplePart struct {
	env  *env
	p    *process
	show *display
	stop context.CancelFunc
	done sync.WaitGroup
}

func (s *samplePart) Name() string { return "sample" }

func (s *samplePart) Start(ctx context.Context) error {
	ctx, s.stop = context.WithCancel(ctx)
	s.done.Go(func() {
		err := s.run(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		s.p.Log.WarnContext(ctx, "sample.failed", "err", err)
		s.env.say("The sample documents could not be added: %v. The next start tries again.", err)
	})
	return nil
}

func (s *samplePart) Stop(context.Context) error {
	s.stop()
	s.done.Wait()
	return nil
}

func (s *samplePart) run(ctx context.Context) error {
	files, from, err := sampleFiles()
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "commandcenter-sample-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp) // a directory of the temporary ones
	server := *s.p.HTTP.Load()
	trust, err := client.Trust(server, nil, []byte(s.p.Dir.Endpoint(datadir.EndpointCert)))
	if err != nil {
		return err
	}
	session, err := client.New(client.Config{
		Server: server, TLS: trust, Store: client.NewStore(filepath.Join(tmp, "credentials.json")), UserAgent: "commandcenter/" + version.Product,
		Local: func() (string, string, error) {
			password, err := s.p.Dir.ReadOwnerPassword()
			return datadir.OwnerEmail, password, err
		},
	})
	if err != nil {
		return err
	}
	results, err := ingest.Upload(ctx, session, files, ingest.Options{Parallel: 2, Wait: true}, silent{})
	if err != nil {
		return err
	}
	var chunks, ok int
	for _, r := range results {
		if r.OK() {
			ok, chunks = ok+1, chunks+r.Chunks
			continue
		}
		err = errors.Join(err, fmt.Errorf("%s: %w", r.Name, r.Err))
	}
	if err != nil {
		return err
	}
	s.p.Log.InfoContext(ctx, "sample.done", "documents", ok, "chunks", chunks, "from", from)
	s.show.mu.Lock()
	defer s.show.mu.Unlock()
	if s.env.json {
		s.env.print(s.env.Out, map[string]any{"event": "sample", "documents": ok, "chunks": chunks, "from": from})
	} else {
		s.env.line("Added %s (%s) from %s.", count(ok, "sample document"), count(chunks, "chunk"), from)
	}
	return s.p.Dir.SetSamplePending(false)
}

// sampleFiles are the documents of the repository when we run in it, else
// those that were built in.
func sampleFiles() (files []ingest.File, from string, err error) {
	wd, err := os.Getwd()
	if err != nil {
		return nil, "", err
	}
	for dir := wd; ; dir = filepath.Dir(dir) {
		if sample.IsRepository(dir) {
			all, err := ingest.Walk(dir, "", nil)
			for _, f := range all {
				if strings.HasSuffix(f.Name, ".md") && !strings.Contains(f.Name, "testdata/") {
					files = append(files, f)
				}
			}
			if err != nil || len(files) > 0 {
				return files, dir, err
			}
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	built, err := sample.Documents()
	for _, d := range built {
		files = append(files, ingest.Bytes(d.Name, d.Data))
	}
	return files, "this program", err
}
