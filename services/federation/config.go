package federation

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/commandcenter/commandcenter/services/federation/internal/instance"
)

// Config is what the service may be told.
type Config struct {
	Slug     string        `config:"slug" usage:"name of this instance among the others: 1 to 50 of a-z, 0-9 and -, not global or presence; empty takes the name of the host and a part of the instance's id"`
	HubURL   string        `config:"hub_url" usage:"http(s) address that others are told; empty takes the HTTP address"`
	Interval time.Duration `config:"interval" env:"CC_FEDERATION_INTERVAL,HEARTBEAT_INTERVAL" usage:"time between heartbeats, at most 1m0s; HEARTBEAT_INTERVAL, in seconds, sets it too"`
	Sweep    time.Duration `config:"sweep" usage:"time between looks for who is late"`
	Forget   time.Duration `config:"forget" usage:"time after which an instance that nobody registered and that stays offline leaves the catalog, at least 24h0m0s"`
	Unknown  string        `config:"unknown" usage:"what becomes of an instance that is heard and that nobody registered: ignore, list (until somebody admits it) or admit"`
	Catalog  string        `config:"catalog" usage:"YAML file of instances that are registered at the start; empty reads none"`
	Search   bool          `config:"search" usage:"search other instances, and answer those with which a project is shared; questions and answers are sealed and cross the border of the hub"`
	ID       string        // of this instance: others of the same slug have another
	Version  string        // of this product, for others to see
	Contract string        // version of the HTTP contract, for others to see
}

// DefaultConfig is right for any instance but for who it is: its Slug, ID,
// HubURL and Version.
func DefaultConfig() Config {
	return Config{Interval: 30 * time.Second, Sweep: 5 * time.Second, Forget: 30 * 24 * time.Hour, Unknown: string(instance.Admit), Search: true}
}

// Validate reports every fault at once.
func (c Config) Validate() error {
	var errs []error
	if c.Slug != "" && !instance.ValidSlug(c.Slug) {
		errs = append(errs, fmt.Errorf("slug %q: want 1 to 50 of a-z, 0-9 and -, not global or presence", c.Slug))
	}
	if u, err := url.Parse(c.HubURL); c.HubURL != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		errs = append(errs, fmt.Errorf("hub_url %q: want http(s)://host", c.HubURL))
	}
	if c.Interval < time.Second || c.Interval > time.Minute {
		errs = append(errs, fmt.Errorf("interval: %s, want at least 1s and at most 1m0s, or the others think that we are late", c.Interval))
	}
	if c.Sweep <= 0 {
		errs = append(errs, fmt.Errorf("sweep: %s, want above zero", c.Sweep))
	}
	if c.Forget < 24*time.Hour {
		errs = append(errs, fmt.Errorf("forget: %s, want at least 24h0m0s: as long as the hub keeps a heartbeat", c.Forget))
	}
	if !slices.Contains(instance.Policies(), instance.Policy(c.Unknown)) {
		errs = append(errs, fmt.Errorf("unknown: %q, want ignore, list or admit", c.Unknown))
	}
	return errors.Join(errs...)
}
