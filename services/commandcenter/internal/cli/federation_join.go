package cli

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/pkg/config"
	"github.com/commandcenter/commandcenter/pkg/natsd"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/datadir"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/settings"
)

func (e *env) federationJoin() *cobra.Command {
	var creds string
	var unchecked bool
	var within time.Duration
	c := &cobra.Command{
		Use:   "join URL --creds FILE",
		Short: "Join the hub of another instance",
		Long: `Checks that the hub lets this instance in, writes it into the settings file
(hub.join), and says what is to be restarted.

leaf+tls://host:7422 joins the hub of another instance: heartbeats and searches
cross. tls://host:4222 is a client of any NATS server: heartbeats alone.
leaf:// and nats:// are without TLS, on this machine or with hub.plain.`,
		Example:     "  commandcenter federation join leaf+tls://hub.example.org:7422 --creds ./neighbour.creds",
		Args:        nargs(1, 1),
		Annotations: mendable, // the file need not be there
		RunE: func(cmd *cobra.Command, args []string) error {
			entry, j, err := joinEntry(args[0], creds)
			if err != nil {
				return usageError{err}
			}
			if err := e.notOwn(j); err != nil {
				return codedError{err, exitRefused}
			}
			next := e.cfg
			next.Hub.Join = joined(e.cfg.Hub, j, entry)
			if err := next.Validate(); err != nil {
				return usageError{err}
			}
			if !unchecked {
				ctx, cancel := context.WithTimeout(cmd.Context(), within)
				defer cancel()
				if err := e.notHere(ctx, j); err != nil {
					return codedError{err, exitRefused}
				}
				if err := tryJoin(ctx, next.Hub, j); err != nil {
					return codedError{fmt.Errorf("%s: %w; nothing was changed", j.Host, err), exitUnavailable}
				}
			}
			d := settings.Default()
			if err := config.Set(e.file, &d, "hub.join", yamlList(next.Hub.Join)); err != nil {
				return usageError{err}
			}
			restart := e.restart(j, "joined")
			if e.json {
				e.print(e.Out, map[string]any{"path": e.file, "join": next.Hub.Join, "checked": !unchecked, "restart": restart})
				return nil
			}
			e.line("%s is in hub.join of %s.", j.Host, e.file)
			e.say("%s", restart)
			return nil
		},
	}
	c.Flags().StringVar(&creds, "creds", "", "file with what is shown there: credentials of NATS, or one line with user:password or a token")
	c.Flags().BoolVar(&unchecked, "no-check", false, "write it without connecting first")
	c.Flags().DurationVar(&within, "within", 10*time.Second, "how long the check may take")
	return ends(c, exitUnavailable, exitRefused)
}

func (e *env) federationLeave() *cobra.Command {
	return ends(&cobra.Command{
		Use:   "leave URL",
		Short: "Leave the hub of another instance",
		Long: `Takes a hub out of hub.join in the settings file, and says what is to be
restarted. The instances that were met there stay in the list, offline, until
they are removed: ` + "`commandcenter federation remove`" + `.`,
		Example:     "  commandcenter config get hub.join\n  commandcenter federation leave leaf+tls://hub.example.org:7422",
		Args:        nargs(1, 1),
		Annotations: mendable, // credentials that are gone are a reason to leave
		RunE: func(_ *cobra.Command, args []string) error {
			_, j, err := joinEntry(args[0], "")
			if err != nil {
				return usageError{err}
			}
			left := without(e.cfg.Hub, j)
			if len(left) == len(e.cfg.Hub.Join) {
				return codedError{fmt.Errorf("%s is not joined: hub.join has %s", j.Address(), orNothing(e.cfg.Hub.Join)), exitNotFound}
			}
			if e.loaded == nil {
				return usageError{fmt.Errorf("%s cannot be read: see `commandcenter config list`", e.file)}
			}
			if set, ok := e.loaded.Get("hub.join"); ok && set.Origin != "file" {
				return usageError{fmt.Errorf("hub.join is set by %s and not in %s: change it there", set.Env, e.file)}
			}
			d := settings.Default()
			if err := config.Set(e.file, &d, "hub.join", yamlList(left)); err != nil {
				return usageError{err}
			}
			restart := e.restart(j, "left")
			if e.json {
				e.print(e.Out, map[string]any{"path": e.file, "join": left, "restart": restart})
				return nil
			}
			e.line("%s is no more in hub.join of %s.", j.Host, e.file)
			e.say("%s", restart)
			return nil
		},
	}, exitNotFound)
}

func orNothing(list []string) string {
	if len(list) == 0 {
		return "no hub"
	}
	return strings.Join(list, ", ")
}

// notOwn refuses the address and the credentials of this instance: it would join its
// own hub, and meet nobody but itself.
func (e *env) notOwn(j settings.Join) error {
	listens := e.cfg.NATS
	if j.Leaf {
		listens = e.cfg.Hub.Listen
	}
	if here(j.Host, listens) {
		return fmt.Errorf("%s is where this instance itself listens: it would join its own hub; name that of the other instance; nothing was changed", j.Host)
	}
	trust, err := natsd.LoadTrust(e.cfg.DataDir)
	if err != nil || j.Credentials == "" {
		return nil //nolint:nilerr // without the keys of an instance here, nobody can tell
	}
	own, err := trust.Issued(j.Credentials)
	if err == nil && own {
		err = fmt.Errorf("%s is of this instance itself (%s): it would join its own hub; ask the other instance for its keys/neighbour.creds; nothing was changed", j.Credentials, e.cfg.DataDir)
	}
	return err
}

// notHere refuses an address at which this instance answers, whatever it is called
// and whoever opened it: a flag, the environment, a port that was free, a tunnel.
func (e *env) notHere(ctx context.Context, j settings.Join) error {
	trust, err := natsd.LoadTrust(e.cfg.DataDir)
	if err != nil {
		return nil //nolint:nilerr // without the keys of an instance here, nobody can tell
	}
	if domainAt(ctx, j.Host) == trust.Domain() {
		return fmt.Errorf("at %s this instance itself answers (%s): it would join its own hub; name that of the other instance; nothing was changed", j.Host, e.cfg.DataDir)
	}
	return nil
}

// domainAt is the JetStream domain of the NATS server at an address, which it says to
// whoever connects, before anything else and before TLS; "" where that cannot be had.
func domainAt(ctx context.Context, address string) string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return ""
	}
	defer c.Close() // it was only read
	if end, ok := ctx.Deadline(); !ok || c.SetReadDeadline(end) != nil {
		return ""
	}
	line, err := bufio.NewReader(io.LimitReader(c, 64<<10)).ReadBytes('\n')
	said, ok := bytes.CutPrefix(line, []byte("INFO "))
	var info struct{ Domain string }
	if err != nil || !ok || json.Unmarshal(said, &info) != nil {
		return ""
	}
	return info.Domain
}

// here reports whether an address is one at which this machine listens by a setting:
// the same port, at an address of this machine.
func here(address, listens string) bool {
	host, port, err := net.SplitHostPort(address)
	on, at, lerr := net.SplitHostPort(listens)
	if err != nil || lerr != nil || port != at || at == "0" {
		return false
	}
	if strings.EqualFold(host, on) {
		return true
	}
	name, _ := os.Hostname() // without one it is no name of this machine
	own := strings.EqualFold(host, "localhost") || name != "" && strings.EqualFold(host, name)
	ip := net.ParseIP(host)
	all, err := net.InterfaceAddrs()
	if ip != nil && err == nil {
		own = own || ip.IsLoopback() || slices.ContainsFunc(all, func(a net.Addr) bool {
			n, ok := a.(*net.IPNet)
			return ok && n.IP.Equal(ip)
		})
	}
	if to := net.ParseIP(on); to != nil && !to.IsUnspecified() && ip != nil && !ip.Equal(to) { // another of its addresses
		return false
	}
	return own
}

// joinEntry is the entry of hub.join. The file is named in full: the server may
// run elsewhere in the tree.
func joinEntry(url, creds string) (string, settings.Join, error) {
	entry := url
	if creds != "" {
		abs, err := filepath.Abs(creds)
		if err != nil {
			return "", settings.Join{}, err
		}
		if _, err := natsd.ReadCredentials(abs); err != nil {
			return "", settings.Join{}, err
		}
		entry += " " + abs
	}
	joins, err := settings.Hub{Join: []string{entry}}.Joins()
	if err != nil {
		return "", settings.Join{}, err
	}
	return entry, joins[0], nil
}

// joined are the entries with this one, which takes the place of one to the
// same host.
func joined(h settings.Hub, j settings.Join, entry string) []string {
	return append(without(h, j), entry)
}

// without are the entries but for one to the same host.
func without(h settings.Hub, j settings.Join) []string {
	return slices.DeleteFunc(slices.Clone(h.Join), func(old string) bool {
		was, err := settings.Hub{Join: []string{old}}.Joins()
		return err == nil && was[0].Host == j.Host && was[0].Leaf == j.Leaf
	})
}

func yamlList(list []string) string {
	quoted := make([]string, 0, len(list))
	for _, s := range list {
		quoted = append(quoted, "'"+strings.ReplaceAll(s, "'", "''")+"'")
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// tryJoin joins the hub as this instance would, and leaves it again.
func tryJoin(ctx context.Context, h settings.Hub, j settings.Join) error {
	var secure *tls.Config
	if j.TLS {
		secure = &tls.Config{MinVersion: tls.VersionTLS12}
		if h.CAFile != "" {
			pem, err := os.ReadFile(h.CAFile)
			if err != nil {
				return err
			}
			secure.RootCAs = x509.NewCertPool()
			if !secure.RootCAs.AppendCertsFromPEM(pem) {
				return fmt.Errorf("%s holds no certificate", h.CAFile)
			}
		}
	}
	if j.Leaf {
		return tryLeaf(ctx, h, j, secure)
	}
	return tryClient(ctx, j, secure)
}

// tryLeaf lets a server of a moment join: only servers do by a leaf connection.
func tryLeaf(ctx context.Context, h settings.Hub, j settings.Join, secure *tls.Config) (err error) {
	dir, err := os.MkdirTemp("", "commandcenter-join-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := natsd.Start(ctx, natsd.Config{
		Dir: dir, Log: slog.New(slog.DiscardHandler), NoSync: true, LeafPlain: h.Plain,
		Remotes: []natsd.Remote{{Addr: j.Host, Credentials: j.Credentials, TLS: secure, Deny: []string{">"}}},
	})
	if err != nil {
		return err
	}
	defer func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = errors.Join(err, s.Stop(stop))
	}()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for held := 0; ; {
		// One that is refused is there for a moment, too.
		if held++; s.Joined() != nil {
			held = 0
		}
		if held == 10 {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.New("it cannot be joined: check the address, that the other instance runs with hub.listen, and the credentials")
		case <-tick.C:
		}
	}
}

func tryClient(ctx context.Context, j settings.Join, secure *tls.Config) error {
	opts := []nats.Option{nats.Name("commandcenter federation join"), nats.Timeout(5 * time.Second), nats.NoReconnect()}
	if secure != nil {
		opts = append(opts, nats.Secure(secure))
	}
	if j.Credentials != "" {
		show, err := natsd.ReadCredentials(j.Credentials)
		switch {
		case err != nil:
			return err
		case show.File != "":
			opts = append(opts, nats.UserCredentials(show.File))
		case show.User != "":
			opts = append(opts, nats.UserInfo(show.User, show.Password))
		default:
			opts = append(opts, nats.Token(show.Token))
		}
	}
	nc, err := nats.Connect(j.URL(), opts...)
	if err != nil {
		return fmt.Errorf("it cannot be joined: %w", err)
	}
	defer nc.Close()
	if _, err := nc.SubscribeSync("hub.presence.*"); err != nil {
		return err
	}
	if err := nc.FlushWithContext(ctx); err != nil {
		return err
	}
	if err := nc.LastError(); err != nil {
		return fmt.Errorf("it lets us in, and not hear the others: %w", err)
	}
	return nil
}

// restart says what has to be restarted for a hub to be joined, or left.
func (e *env) restart(j settings.Join, done string) string {
	dir := datadir.At(e.cfg.DataDir)
	part := "the process with the federation service (`commandcenter serve federation`)"
	if j.Leaf {
		part = "the process with NATS (`commandcenter serve nats`)"
	}
	if pid := dir.Holder(); pid != 0 {
		return fmt.Sprintf("It is %s when `commandcenter up` of %s (process %d) is restarted.", done, dir.Path(), pid)
	}
	return fmt.Sprintf("It is %s at the next `commandcenter up`; of separate processes, restart %s.", done, part)
}
