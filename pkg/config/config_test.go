package config_test

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/commandcenter/commandcenter/pkg/config"
)

type inner struct {
	Wait  time.Duration `config:"wait" flag:"wait" usage:"how long"`
	Level slog.Level    `config:"level" flag:"level" usage:"how loud"`
	Names []string      `config:"names" flag:"names" usage:"who"`
}

type settings struct {
	Addr   string  `config:"addr" env:"T_ADDRESS,T_ADDR" flag:"addr,a" usage:"where"`
	Count  int     `config:"count" flag:"count" usage:"how many"`
	Share  float64 `config:"share" flag:"share" usage:"how much"`
	Large  int64   `config:"large" flag:"large" usage:"how large"`
	On     bool    `config:"on" flag:"on" usage:"whether"`
	APIKey string  `config:"api_key" usage:"a secret by its name"`
	DSN    string  `config:"dsn" secret:"true" usage:"a secret by its tag"`
	In     inner   `config:"in"`
	Other  string  // not a setting
}

func (s settings) Validate() error {
	var errs []error
	if s.Count < 1 {
		errs = append(errs, errors.New("count: at least 1"))
	}
	if s.In.Wait <= 0 {
		errs = append(errs, errors.New("in.wait: above zero"))
	}
	return errors.Join(errs...)
}

func defaults() settings {
	return settings{Addr: ":1", Count: 2, Share: 0.5, In: inner{Wait: time.Second, Names: []string{"a"}}, Other: "kept"}
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sub", "config.yaml")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if text != "" {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func flags(t *testing.T, args ...string) *pflag.FlagSet {
	t.Helper()
	f := pflag.NewFlagSet("x", pflag.ContinueOnError)
	d := defaults()
	if err := config.BindFlags(f, &d); err != nil {
		t.Fatal(err)
	}
	if err := f.Parse(args); err != nil {
		t.Fatal(err)
	}
	return f
}

// Environment variables are the process's, so this runs alone.
func TestFlagsWinOverTheEnvironmentOverTheFileOverDefaults(t *testing.T) {
	path := file(t, "addr: :2\ncount: 3\nshare: 0.75\nin:\n  wait: 2s\n  level: warn\n  names: [x, y]\n")
	t.Setenv("T_ADDR", ":3")
	t.Setenv("T_COUNT", "4")
	t.Setenv("T_IN_WAIT", "3s")
	t.Setenv("T_API_KEY", "hush")
	t.Setenv("T_DSN", "hush")
	c := defaults()
	l, err := config.Load(&c, config.Source{File: path, EnvPrefix: "T_", Flags: flags(t, "--count", "5", "--large", "4294967296", "--level", "debug", "--on")})
	if err != nil {
		t.Fatal(err)
	}
	environ := []string{"PATH=/bin", "T_ADDR=:3", "T_ADR=:4", "T_EMPTY=", "T_FILE=f", "T_TEST_X=1", "T_API_KEY=hush"}
	if got := l.Strays(environ, "T_FILE", "T_TEST_"); !slices.Equal(got, []string{"T_ADR"}) {
		t.Errorf("variables that set nothing: %v", got)
	}
	want := defaults()
	want.Addr, want.Count, want.Share, want.On, want.APIKey, want.DSN = ":3", 5, 0.75, true, "hush", "hush"
	want.Large = 1 << 32
	want.In = inner{3 * time.Second, slog.LevelDebug, []string{"x", "y"}}
	if !slices.Equal(c.In.Names, want.In.Names) {
		t.Errorf("names %v", c.In.Names)
	}
	c.In.Names, want.In.Names = nil, nil
	if c.Large != want.Large {
		t.Errorf("large = %d", c.Large)
	}
	if got, want := describe(c), describe(want); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if l.File() != path {
		t.Errorf("file %q", l.File())
	}
	var origins []string
	for _, e := range l.List() {
		origins = append(origins, e.Key+"="+e.Origin)
		if strings.Contains(e.Value+e.Default, "hush") || (e.Key == "dsn" || e.Key == "api_key") && (!e.Secret || e.Value != config.Masked) {
			t.Errorf("a secret is shown: %+v", e)
		}
	}
	if want := "addr=env count=flag share=file large=flag on=flag api_key=env dsn=env in.wait=env in.level=flag in.names=file"; strings.Join(origins, " ") != want {
		t.Errorf("origins %v\nwant    %s", origins, want)
	}
	if e, ok := l.Get("addr"); !ok || e.Env != "T_ADDRESS" || e.Flag != "addr" || e.Default != ":1" || e.Value != ":3" {
		t.Errorf("addr: %+v", e)
	}
	if _, ok := l.Get("other"); ok {
		t.Error("a field without a tag is a setting")
	}
}

func describe(s settings) string {
	return strings.Join([]string{s.Addr, s.APIKey, s.DSN, s.Other, s.In.Wait.String(), s.In.Level.String()}, "|") +
		strings.Repeat("#", s.Count) + map[bool]string{true: "on"}[s.On] + map[bool]string{true: "three quarters"}[s.Share == 0.75]
}

func TestDefaultsAreEnough(t *testing.T) {
	t.Parallel()
	c := defaults()
	l, err := config.Load(&c, config.Source{File: filepath.Join(t.TempDir(), "none.yaml")})
	if err != nil || l.File() != "" || c.Addr != ":1" || c.Other != "kept" {
		t.Fatalf("%+v %v", c, err)
	}
}

func TestEveryFaultIsReportedAtOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"values":   {"count: 0\nin: {wait: -1s}\n", []string{"count: at least 1", "in.wait: above zero"}},
		"unknown":  {"adress: x\nin: {wiat: 1s}\n", []string{`"adress"`, `"in.wiat"`}},
		"types":    {"count: many\nin: {wait: soon}\n", []string{"count", "wait"}},
		"not YAML": {"count: [", []string{"config.yaml"}},
	} {
		s := defaults()
		_, err := config.Load(&s, config.Source{File: file(t, c.text), Required: true})
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: no %q in %v", name, want, err)
			}
		}
	}
	s := defaults()
	if _, err := config.Load(&s, config.Source{File: file(t, ""), Required: true}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is required and missing: %v", err)
	}
	if _, err := config.Load(s, config.Source{}); err == nil {
		t.Error("a struct that is no pointer was accepted")
	}
	if err := config.BindFlags(pflag.NewFlagSet("x", pflag.ContinueOnError), 7); err == nil {
		t.Error("a number has flags")
	}
}

func TestFlagsAreBoundForChosenKeys(t *testing.T) {
	t.Parallel()
	f := pflag.NewFlagSet("x", pflag.ContinueOnError)
	d := defaults()
	if err := errors.Join(config.BindFlags(f, &d, "addr", "in.wait", "api_key"), config.BindFlags(f, &d, "addr")); err != nil {
		t.Fatal(err)
	}
	if f.Lookup("addr") == nil || f.ShorthandLookup("a") == nil || f.Lookup("wait") == nil || f.Lookup("count") != nil || f.Lookup("api_key") != nil {
		t.Fatal("want the flags of addr and in.wait, and no others")
	}
	if u := f.Lookup("addr").Usage; !strings.Contains(u, "$T_ADDRESS") {
		t.Errorf("usage %q names no variable", u)
	}
}

func TestAFreshFileNamesEverySettingAndChangesNothing(t *testing.T) {
	t.Parallel()
	path := file(t, "")
	d := defaults()
	d.DSN = "hush"
	if err := config.WriteFresh(path, &d, "T_", "A heading.\nOf two lines.", false); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"# A heading.", "# Of two lines.", "#addr: :1", "#in:", "#  wait: 1s", "#  # how loud ($T_IN_LEVEL)", "# where ($T_ADDRESS)"} {
		if !strings.Contains(string(data), want) {
			t.Errorf("no %q in\n%s", want, data)
		}
	}
	if strings.Contains(string(data), "hush") {
		t.Error("a secret is in the file")
	}
	c := defaults()
	if _, err := config.Load(&c, config.Source{File: path, Required: true}); err != nil || c.Addr != ":1" {
		t.Fatalf("loading it: %v", err)
	}
	if err := config.WriteFresh(path, &d, "", "x", false); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("overwritten without force: %v", err)
	}
	if err := config.WriteFresh(path, &d, "", "x", true); err != nil {
		t.Fatal(err)
	}
	if err := config.WriteFresh(path, d, "", "x", true); err == nil {
		t.Fatal("a struct that is no pointer was accepted")
	}
	// Uncommented as it stands it is still a valid file.
	text := strings.ReplaceAll(strings.SplitN(string(data), "\n\n", 2)[1], "\n#", "\n")
	c = defaults()
	if _, err := config.Load(&c, config.Source{File: file(t, strings.TrimPrefix(text, "#")), Required: true}); err != nil {
		t.Fatalf("uncommented: %v\n%s", err, text)
	}
}

func TestSetKeepsWhatElseIsInTheFile(t *testing.T) {
	t.Parallel()
	path := file(t, "# mine\naddr: :9 # here\n")
	set := func(key, value string) error { d := defaults(); return config.Set(path, &d, key, value) }
	for _, kv := range [][2]string{{"in.wait", "5s"}, {"count", "7"}, {"addr", ":10"}, {"in.names", "[p, q]"}, {"on", "true"}, {"in.wait", "6s"}} {
		if err := set(kv[0], kv[1]); err != nil {
			t.Fatalf("set %v: %v", kv, err)
		}
	}
	c := defaults()
	if _, err := config.Load(&c, config.Source{File: path, Required: true}); err != nil {
		t.Fatal(err)
	}
	if c.Addr != ":10" || c.Count != 7 || c.In.Wait != 6*time.Second || !slices.Equal(c.In.Names, []string{"p", "q"}) || !c.On {
		t.Errorf("%+v", c)
	}
	before, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(before), "# mine") {
		t.Errorf("comments are lost: %s %v", before, err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v: a file with secrets is for its owner alone", st.Mode())
	}
	if err := set("nope", "1"); !errors.Is(err, config.ErrUnknown) {
		t.Errorf("unknown key: %v", err)
	}
	if err := set("count", "0"); err == nil || !strings.Contains(err.Error(), "at least 1") {
		t.Errorf("an invalid value: %v", err)
	}
	after, err := os.ReadFile(path)
	if err != nil || string(before) != string(after) {
		t.Errorf("a refused value changed the file: %s", after)
	}
}

func TestSetMakesTheFileAndKeepsOneOfCommentsAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "new", "config.yaml")
	d := defaults()
	if err := config.Set(path, &d, "in.level", "error"); err != nil {
		t.Fatal(err)
	}
	c := defaults()
	if _, err := config.Load(&c, config.Source{File: path, Required: true}); err != nil || c.In.Level != slog.LevelError {
		t.Fatalf("%+v %v", c, err)
	}
	comments := file(t, "# only words\n#addr: x\n")
	d = defaults()
	if err := config.Set(comments, &d, "addr", ":5"); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(comments)
	if err != nil || !strings.Contains(string(data), "# only words") || !strings.Contains(string(data), "addr: :5") || !config.Exists(comments) {
		t.Fatalf("%s %v", data, err)
	}
	keys, err := config.Keys(&d)
	if err != nil || len(keys) != 10 || keys[7] != "in.wait" {
		t.Fatalf("keys %v %v", keys, err)
	}
}

func TestABareNumberIsSecondsWhereADurationIsWanted(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{"7": 7 * time.Second, `"7"`: 7 * time.Second, "1m": time.Minute, "30d": 720 * time.Hour, "1d12h": 36 * time.Hour, "+1m": time.Minute} {
		s := defaults()
		if _, err := config.Load(&s, config.Source{File: file(t, "in:\n  wait: "+text+"\n")}); err != nil || s.In.Wait != want {
			t.Errorf("%s: %s, want %s (%v)", text, s.In.Wait, want, err)
		}
	}
	for _, text := range []string{"soon", "1d-2h", "xd", "30x"} {
		s := defaults()
		if _, err := config.Load(&s, config.Source{File: file(t, "in:\n  wait: "+text+"\n")}); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("'in.wait' %q is no length of time", text)) {
			t.Errorf("%s: %s, %v", text, s.In.Wait, err)
		}
	}
}
