package config

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// Source says where values come from.
type Source struct {
	File      string         // YAML; "" for none
	Required  bool           // whether a missing file is an error
	EnvPrefix string         // of variables without a tag, e.g. "CC_"
	Flags     *pflag.FlagSet // flags that BindFlags declared; only changed ones count; may be nil
	noEnv     bool
}

// BindFlags declares a flag for each setting of cfg that has one and is among
// keys (all of them when keys is empty). The default shown is the value in cfg.
func BindFlags(fs *pflag.FlagSet, cfg any, keys ...string) error {
	all, err := fields(cfg, "")
	if err != nil {
		return err
	}
	want := map[string]bool{}
	for _, k := range keys {
		want[k] = true
	}
	for _, f := range all {
		if f.flag == "" || len(keys) > 0 && !want[f.key] || fs.Lookup(f.flag) != nil {
			continue
		}
		usage := f.usage
		if len(f.envs) > 0 && f.envs[0] != envName(f.key) {
			usage += " [$" + f.envs[0] + "]"
		}
		switch p := f.value.Interface().(type) {
		case bool:
			fs.BoolP(f.flag, f.short, p, usage)
		case int:
			fs.IntP(f.flag, f.short, p, usage)
		case int64:
			fs.Int64P(f.flag, f.short, p, usage)
		case float64:
			fs.Float64P(f.flag, f.short, p, usage)
		case time.Duration:
			fs.DurationP(f.flag, f.short, p, usage)
		case []string:
			fs.StringSliceP(f.flag, f.short, p, usage)
		case string:
			fs.StringP(f.flag, f.short, p, usage)
		default:
			fs.StringP(f.flag, f.short, text(f.value), usage)
		}
	}
	return nil
}

// Load fills cfg, a pointer to a struct that holds the defaults, and validates
// it. All faults are reported at once, joined.
func Load(cfg any, src Source) (*Loaded, error) {
	all, err := fields(cfg, src.EnvPrefix)
	if err != nil {
		return nil, err
	}
	v := viper.New()
	l := &Loaded{src: src, viper: v, fields: all, defaults: map[string]string{}}
	for _, f := range all {
		v.SetDefault(f.key, f.value.Interface())
		l.defaults[f.key] = text(f.value)
		if !src.noEnv {
			if err := v.BindEnv(append([]string{f.key}, f.envs...)...); err != nil {
				return nil, fmt.Errorf("setting %s: %w", f.key, err)
			}
		}
		if src.Flags == nil || f.flag == "" {
			continue
		}
		if fl := src.Flags.Lookup(f.flag); fl != nil && fl.Changed {
			if err := v.BindPFlag(f.key, fl); err != nil {
				return nil, fmt.Errorf("setting %s: %w", f.key, err)
			}
		}
	}
	if err := l.readFile(); err != nil {
		return nil, err
	}
	if err := v.Unmarshal(cfg, decode); err != nil {
		return nil, describe(err)
	}
	if c, ok := cfg.(Validator); ok {
		if err := c.Validate(); err != nil {
			return l, fmt.Errorf("configuration: %w", err)
		}
	}
	return l, nil
}

func (l *Loaded) readFile() error {
	if l.src.File == "" {
		return nil
	}
	l.viper.SetConfigFile(l.src.File)
	l.viper.SetConfigType("yaml")
	err := l.viper.ReadInConfig()
	switch {
	case errors.Is(err, fs.ErrNotExist) && !l.src.Required:
		return nil
	case err != nil:
		return fmt.Errorf("read %s: %w", l.src.File, err)
	}
	l.read = true
	var unknown []error
	for _, key := range l.viper.AllKeys() {
		if l.viper.InConfig(key) && !l.knows(key) {
			unknown = append(unknown, fmt.Errorf("%s: unknown setting %q", l.src.File, key))
		}
	}
	return errors.Join(unknown...)
}

func (l *Loaded) knows(key string) bool {
	for _, f := range l.fields {
		if strings.EqualFold(f.key, key) || f.value.Kind() == reflect.Map && strings.HasPrefix(strings.ToLower(key), strings.ToLower(f.key)+".") {
			return true
		}
	}
	return false
}

func decode(c *mapstructure.DecoderConfig) {
	c.TagName = "config"
	c.WeaklyTypedInput = true
	c.DecodeHook = mapstructure.ComposeDecodeHookFunc(
		duration,
		mapstructure.StringToSliceHookFunc(","),
		mapstructure.TextUnmarshallerHookFunc(),
	)
}

// duration reads Go's form, in front of which there may be days, as 30d or 1d12h. A
// bare number is seconds: as a number of nanoseconds, which is what the decoder
// would take it for, nobody means it.
func duration(from, to reflect.Type, value any) (any, error) {
	if to != reflect.TypeFor[time.Duration]() || from == to {
		return value, nil
	}
	text := fmt.Sprint(value)
	if n, err := strconv.ParseInt(text, 10, 32); err == nil {
		return time.Duration(n) * time.Second, nil
	}
	days, rest := time.Duration(0), text
	if n, after, found := strings.Cut(text, "d"); found {
		if whole, err := strconv.ParseUint(n, 10, 16); err == nil {
			days, rest = time.Duration(whole)*24*time.Hour, after
		}
	}
	if rest == "" && days > 0 {
		return days, nil
	}
	d, err := time.ParseDuration(rest)
	if err != nil || days > 0 && d < 0 {
		return nil, fmt.Errorf("%q is no length of time such as 90s, 12h or 30d", text)
	}
	return days + d, nil
}

// describe strips the decoder's talk from its errors.
func describe(err error) error {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		return fmt.Errorf("configuration: %w", errors.Join(joined.Unwrap()...))
	}
	return fmt.Errorf("configuration: %w", err)
}

func text(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case []string:
		return strings.Join(x, ",")
	case slog.Level:
		return strings.ToLower(x.String())
	case fmt.Stringer:
		return x.String()
	}
	return fmt.Sprint(v.Interface())
}

// Exists reports whether the file that was named is there.
func Exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}
