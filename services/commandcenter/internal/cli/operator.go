package cli

import (
	"os"
	"os/user"
	"strconv"
)

// operator is who types a command that acts by keys or a database of the instance
// and not as somebody who is logged in, as the audit log names it: the account of
// the machine. Whoever has the keys could say something else.
func operator() string {
	name := strconv.Itoa(os.Getuid())
	if u, err := user.Current(); err == nil && u.Username != "" {
		name = u.Username
	}
	if host, err := os.Hostname(); err == nil && host != "" {
		name += "@" + host
	}
	return "operator:" + name
}
