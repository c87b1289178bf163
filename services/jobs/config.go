package jobs

import (
	"errors"
	"fmt"
)

// Config is what the service may be told. Begin with [DefaultConfig].
type Config struct {
	Workers int `config:"workers" usage:"operations that run at the same time"`
	Jobs    int `config:"jobs" usage:"jobs of its own that a process does at the same time"`
}

// DefaultConfig is right for an instance of any size.
func DefaultConfig() Config { return Config{Workers: 16, Jobs: 4} }

// Validate reports what is wrong with c.
func (c Config) Validate() error {
	var faulty []error
	if c.Workers < 1 {
		faulty = append(faulty, fmt.Errorf("workers: %d, want at least 1", c.Workers))
	}
	if c.Jobs < 1 {
		faulty = append(faulty, fmt.Errorf("jobs: %d, want at least 1", c.Jobs))
	}
	return errors.Join(faulty...)
}
