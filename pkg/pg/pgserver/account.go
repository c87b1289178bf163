package pgserver

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is the user that the server runs as.
type account struct {
	name    string
	uid     int
	gid     int
	dropped bool // another one than the program's
}

// chooseAccount takes the program's own user, unless that is root.
func chooseAccount() (account, error) {
	if uid := os.Geteuid(); uid != 0 {
		a := account{name: strconv.Itoa(uid), uid: uid, gid: os.Getegid()}
		if u, err := user.Current(); err == nil {
			a.name = u.Username
		}
		return a, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err := errors.Join(err1, err2); err != nil || uid == 0 {
			continue
		}
		return account{name: name, uid: uid, gid: gid, dropped: true}, nil
	}
	return account{}, errors.New("PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody: " +
		"create one (useradd --system postgres) or start as an ordinary user")
}

// command prepares a program that runs as the account, in a directory that it
// can reach and in a process group of its own: a Ctrl-C at the terminal is for
// the program, which stops the server in its turn.
func (a account) command(dir, path string, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...) //nolint:gosec,noctx // G204: programs of PostgreSQL that were found; the server outlives the start's context; runBounded bounds the rest
	cmd.Dir = dir
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"}
	for _, keep := range []string{"HOME", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"} {
		if v, ok := os.LookupEnv(keep); ok && !a.dropped {
			cmd.Env = append(cmd.Env, keep+"="+v)
		}
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if a.dropped {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
	return cmd
}

// mkdir makes a directory that only the account may enter.
func (a account) mkdir(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	return a.own(path)
}

// own gives one file or directory to the account.
func (a account) own(path string) error {
	if !a.dropped {
		return nil
	}
	if err := os.Lchown(path, a.uid, a.gid); err != nil {
		return fmt.Errorf("give %s to %s: %w", path, a.name, err)
	}
	return nil
}

// closedTo returns the first parent of path that the account may not pass
// through, "" when it can reach path. Parents that do not exist are no
// obstacle: the program makes them.
func (a account) closedTo(path string) string {
	if !a.dropped {
		return ""
	}
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if st, err := os.Stat(dir); err == nil && !a.passes(st) {
			return dir
		}
		if dir == filepath.Dir(dir) {
			return ""
		}
	}
}

// passes reports whether the account may pass through a directory.
func (a account) passes(st os.FileInfo) bool {
	sys, ok := st.Sys().(*syscall.Stat_t)
	mode := st.Mode().Perm()
	switch {
	case ok && int(sys.Uid) == a.uid:
		return mode&0o100 != 0
	case ok && int(sys.Gid) == a.gid:
		return mode&0o010 != 0
	}
	return mode&0o001 != 0
}
