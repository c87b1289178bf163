package research

import (
	"fmt"
	"time"
)

// Config is what the service may be told. Begin with [DefaultConfig].
type Config struct {
	Workers int           `config:"workers" usage:"operations that run at the same time"`
	Orphans time.Duration `config:"orphans" usage:"age from which an uploaded object that no task refers to is removed; longer than any upload takes"`
}

// DefaultConfig is right for an instance of any size.
func DefaultConfig() Config { return Config{Workers: 16, Orphans: 6 * time.Hour} }

// Validate reports what is wrong with c.
func (c Config) Validate() error {
	if c.Workers < 1 {
		return fmt.Errorf("workers: %d, want at least 1", c.Workers)
	}
	if c.Orphans < time.Hour {
		return fmt.Errorf("orphans: %s, want at least 1h", c.Orphans)
	}
	return nil
}
