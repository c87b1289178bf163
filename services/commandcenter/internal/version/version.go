package version

import (
	"regexp"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
)

// Product is the version of this source; a release sets it with
// -ldflags "-X .../internal/version.Product=1.2.3".
var Product = "0.1.0"

// Info describes the running binary.
type Info struct {
	Version  string `json:"version"`
	Revision string `json:"revision"` // of the source; "" when unknown
	Time     string `json:"time"`     // of that revision, RFC 3339; "" when unknown
	Modified bool   `json:"modified"` // built from a changed working tree
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// Get returns what the linker and the compiler wrote down.
func Get() Info {
	i := Info{Version: Product, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	b, ok := debug.ReadBuildInfo()
	if !ok {
		return i
	}
	for _, s := range b.Settings {
		switch s.Key {
		case "vcs.revision":
			i.Revision = s.Value
		case "vcs.time":
			i.Time = s.Value
		case "vcs.modified":
			i.Modified = s.Value == "true"
		}
	}
	return i
}

// Valid reports whether v is a version at all: numbers with dots, perhaps after
// a v, and what may follow a hyphen or plus.
func Valid(v string) bool { return valid.MatchString(v) }

var valid = regexp.MustCompile(`^v?[0-9]+(\.[0-9]+)*([-+][0-9A-Za-z.+-]+)?$`)

// Newer reports whether version a is above b. Versions are numbers with dots;
// what follows a hyphen or plus does not count, and what is no number is zero.
func Newer(a, b string) bool {
	x, y := numbers(a), numbers(b)
	for i := range max(len(x), len(y)) {
		var m, n int
		if i < len(x) {
			m = x[i]
		}
		if i < len(y) {
			n = y[i]
		}
		if m != n {
			return m > n
		}
	}
	return false
}

func numbers(v string) []int {
	v = strings.TrimPrefix(strings.TrimSpace(v), "v")
	if i := strings.IndexAny(v, "-+ "); i >= 0 {
		v = v[:i]
	}
	var out []int
	for part := range strings.SplitSeq(v, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			n = 0
		}
		out = append(out, n)
	}
	return out
}
