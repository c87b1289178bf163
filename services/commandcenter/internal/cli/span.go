package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// span reads a length of time as people write it: Go's form, in front of which
// there may be days, as 2d or 1d12h.
func span(text string) (d time.Duration, days int, err error) {
	if n, rest, ok := strings.Cut(text, "d"); ok {
		if days, err = strconv.Atoi(n); err != nil || days < 0 || days > 100_000 {
			return 0, 0, fmt.Errorf("%q is no length of time such as 30m, 12h or 2d", text)
		}
		if text = rest; text == "" {
			return 0, days, nil
		}
		if text[0] == '-' || text[0] == '+' {
			return 0, 0, fmt.Errorf("%q is no length of time such as 1d12h", n+"d"+text)
		}
	}
	if d, err = time.ParseDuration(text); err != nil || d < 0 {
		return 0, 0, fmt.Errorf("%q is no length of time such as 30m, 12h or 2d", text)
	}
	return d, days, nil
}

// lasting is a flag for a length of time, in days too.
func lasting(fs *pflag.FlagSet, to *time.Duration, name string, without time.Duration, usage string) {
	*to = without
	fs.Var((*spanValue)(to), name, usage)
}

type spanValue time.Duration

// Set reads the flag.
func (v *spanValue) Set(text string) error {
	d, days, err := span(text)
	if err == nil {
		*v = spanValue(d + time.Duration(days)*24*time.Hour)
	}
	return err
}

// String is how help shows what holds without the flag.
func (v *spanValue) String() string { return time.Duration(*v).String() }

// Type is what help calls the value.
func (v *spanValue) Type() string { return "duration" }
