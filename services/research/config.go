package research

import "fmt"

// Config is what the service may be told. Begin with [DefaultConfig].
type Config struct {
	Workers int `config:"workers" usage:"operations that run at the same time"`
}

// DefaultConfig is right for an instance of any size.
func DefaultConfig() Config { return Config{Workers: 16} }

// Validate reports what is wrong with c.
func (c Config) Validate() error {
	if c.Workers < 1 {
		return fmt.Errorf("workers: %d, want at least 1", c.Workers)
	}
	return nil
}
