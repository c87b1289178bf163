package ingestion

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/commandcenter/commandcenter/pkg/egress"

	"github.com/commandcenter/commandcenter/services/ingestion/internal/hackernews"
)

// Config is what the service may be told. Begin with [DefaultConfig].
type Config struct {
	Workers    int           `config:"workers" usage:"operations that run at the same time"`
	Jobs       int           `config:"jobs" usage:"sources that one process asks at a time"`
	Poll       time.Duration `config:"poll" usage:"how often it looks which sources are due"`
	Pause      time.Duration `config:"pause" usage:"between two calls of one host"`
	Fetch      time.Duration `config:"fetch" usage:"how long a host may take to answer, its whole answer included"`
	HackerNews string        `config:"hackernews" usage:"address of the search that sources of Hacker News ask"`
	Roots      []string      `config:"roots" usage:"folders of this machine that sources may read, with all that is below"`
	MaxPage    int64         `config:"max_page" usage:"bytes of an answer that are read, unpacked"`
}

// DefaultConfig is right for an instance of any size.
func DefaultConfig() Config {
	return Config{Workers: 16, Jobs: 4, Poll: 5 * time.Second, Pause: time.Second, Fetch: 20 * time.Second, MaxPage: 10 << 20, HackerNews: hackernews.Public}
}

// Validate reports what is wrong with c.
func (c Config) Validate() error {
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	fault(c.Workers < 1, "workers: %d, want at least 1", c.Workers)
	fault(c.Jobs < 1 || c.Jobs > 64, "jobs: from 1 to 64")
	fault(c.Poll < 100*time.Millisecond || c.Poll > 10*time.Minute, "poll: from 100ms to 10m")
	fault(c.Pause < 0 || c.Pause > time.Minute, "pause: from 0 to 1m")
	fault(c.Fetch < time.Second || c.Fetch > 10*time.Minute, "fetch: from 1s to 10m")
	fault(c.MaxPage < 64<<10 || c.MaxPage > 20<<20, "max_page: from 65536 to 20971520")
	if _, err := egress.Parse(c.HackerNews); err != nil {
		faults = append(faults, fmt.Errorf("hackernews: %w", err))
	}
	for _, r := range c.Roots {
		fault(!filepath.IsAbs(r) || filepath.Clean(r) == "/", "roots: %q is no path from the root of the machine on, or is the whole machine", r)
	}
	return errors.Join(faults...)
}
