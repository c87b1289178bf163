package config

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/commandcenter/commandcenter/pkg/obs"
)

// Validator is a struct that can check itself; it reports all faults at once,
// joined, each beginning with the key.
type Validator interface{ Validate() error }

// field is one setting of a config struct.
type field struct {
	key    string
	envs   []string
	flag   string
	short  string
	usage  string
	secret bool
	value  reflect.Value // addressable, in the struct
}

// fields lists the settings of cfg, a pointer to a struct, in order.
func fields(cfg any, envPrefix string) ([]field, error) {
	v := reflect.ValueOf(cfg)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return nil, fmt.Errorf("config: want a pointer to a struct, got %T", cfg)
	}
	return collect(v.Elem(), "", envPrefix), nil
}

func collect(v reflect.Value, prefix, envPrefix string) []field {
	var out []field
	t := v.Type()
	for i := range t.NumField() {
		sf := t.Field(i)
		tag, tagged := sf.Tag.Lookup("config")
		if !sf.IsExported() || !tagged || tag == "-" {
			continue
		}
		key := prefix + tag
		if sf.Type.Kind() == reflect.Struct {
			out = append(out, collect(v.Field(i), key+".", envPrefix)...)
			continue
		}
		f := field{
			key:    key,
			usage:  sf.Tag.Get("usage"),
			secret: sf.Tag.Get("secret") == "true" || obs.Secret(tag),
			value:  v.Field(i),
		}
		f.flag, f.short, _ = strings.Cut(sf.Tag.Get("flag"), ",")
		if names := sf.Tag.Get("env"); names != "" {
			f.envs = strings.Split(names, ",")
		} else {
			f.envs = []string{envPrefix + envName(key)}
		}
		out = append(out, f)
	}
	return out
}

func envName(key string) string {
	return strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(key))
}
