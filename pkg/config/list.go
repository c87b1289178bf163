package config

import (
	"os"
	"slices"
	"strings"

	"github.com/spf13/viper"
)

// Loaded is what Load found, for showing.
type Loaded struct {
	src      Source
	viper    *viper.Viper
	fields   []field
	defaults map[string]string
	read     bool
}

// Entry is one setting as it is in force.
type Entry struct {
	Key     string `json:"key"`
	Value   string `json:"value"` // Masked when it is a secret that is set
	Default string `json:"default"`
	Origin  string `json:"origin"` // default, file, env or flag
	Env     string `json:"env"`
	Flag    string `json:"flag"`
	Usage   string `json:"usage"`
	Secret  bool   `json:"secret"`
}

// Masked stands for a secret that is set.
const Masked = "********"

// File returns the file that was read, "" when there was none.
func (l *Loaded) File() string {
	if !l.read {
		return ""
	}
	return l.src.File
}

// List returns every setting in the order of the struct.
func (l *Loaded) List() []Entry {
	out := make([]Entry, 0, len(l.fields))
	for _, f := range l.fields {
		out = append(out, l.entry(f))
	}
	return out
}

// Get returns one setting.
func (l *Loaded) Get(key string) (Entry, bool) {
	for _, f := range l.fields {
		if f.key == key {
			return l.entry(f), true
		}
	}
	return Entry{}, false
}

func (l *Loaded) entry(f field) Entry {
	e := Entry{Key: f.key, Value: text(f.value), Default: l.defaults[f.key], Origin: l.origin(f), Flag: f.flag, Usage: f.usage, Secret: f.secret}
	if len(f.envs) > 0 {
		e.Env = f.envs[0]
	}
	if f.secret {
		if e.Value != "" {
			e.Value = Masked
		}
		if e.Default != "" {
			e.Default = Masked
		}
	}
	return e
}

func (l *Loaded) origin(f field) string {
	if l.src.Flags != nil && f.flag != "" {
		if fl := l.src.Flags.Lookup(f.flag); fl != nil && fl.Changed {
			return "flag"
		}
	}
	for _, name := range f.envs {
		if os.Getenv(name) != "" {
			return "env"
		}
	}
	if l.viper.InConfig(strings.ToLower(f.key)) {
		return "file"
	}
	return "default"
}

// Strays returns the variables of environ ("NAME=value") that begin as settings do and
// set none: a misspelled one leaves a default in force. Those in known are something
// else; one that ends with _ stands for all that begin with it.
func (l *Loaded) Strays(environ []string, known ...string) (out []string) {
	for _, v := range environ {
		name, value, _ := strings.Cut(v, "=")
		sets := func(f field) bool { return slices.Contains(f.envs, name) }
		other := func(k string) bool { return k == name || strings.HasSuffix(k, "_") && strings.HasPrefix(name, k) }
		if value != "" && l.src.EnvPrefix != "" && strings.HasPrefix(name, l.src.EnvPrefix) && !slices.ContainsFunc(l.fields, sets) && !slices.ContainsFunc(known, other) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// Keys lists the keys of cfg's settings, in the order of the struct.
func Keys(cfg any) ([]string, error) {
	all, err := fields(cfg, "")
	keys := make([]string, 0, len(all))
	for _, f := range all {
		keys = append(keys, f.key)
	}
	return keys, err
}
