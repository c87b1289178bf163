package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/datadir"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/settings"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/version"
)

// server is whom the client commands talk to: who was named, else what runs
// from the data directory, which has written down where it is, else what would
// run with these settings.
func (e *env) server() string {
	if e.cfg.Client.Server != "" {
		return e.cfg.ServerURL()
	}
	own := datadir.At(e.cfg.DataDir).Endpoint(datadir.EndpointHTTP)
	// An address says nothing of TLS, and what runs there may be our own.
	if own == "" || e.names("http") && address(own) != address(e.cfg.ServerURL()) {
		return e.cfg.ServerURL()
	}
	return own
}

// address is host and port of a server.
func address(server string) string {
	u, err := url.Parse(server)
	if err != nil {
		return server
	}
	return u.Host
}

// names reports whether a flag or the environment names an address that can be
// called. Port 0 names none: it lets the server choose.
func (e *env) names(key string) bool {
	s, ok := e.loaded.Get(key)
	_, port, err := net.SplitHostPort(s.Value)
	return ok && (s.Origin == "flag" || s.Origin == "env") && err == nil && port != "0"
}

// session is the server as the user.
func (e *env) session() (*client.Session, error) { return e.sessionWith(client.Config{}) }

// sessionWith fills in what the settings say.
func (e *env) sessionWith(c client.Config) (*client.Session, error) {
	trust, err := e.trust()
	if err != nil {
		return nil, usageError{err}
	}
	s, err := client.New(client.Config{
		TLS:       trust,
		Once:      c.Once,
		Patience:  c.Patience,
		Paused:    c.Paused,
		Server:    e.server(),
		Token:     e.cfg.Client.Token,
		Project:   e.cfg.Client.Project,
		Store:     client.NewStore(credentialsFile()),
		UserAgent: "commandcenter/" + version.Product,
		Local:     e.localOwner,
	})
	if err != nil {
		return nil, usageError{err}
	}
	e.asked = s
	return s, nil
}

// explain says of a refusal that it is the project's in use, when that is none of
// the caller's any more: whoever was removed has chosen it before. A choice is
// forgotten, so that the next command is about another.
func (e *env) explain(ctx context.Context, err error) error {
	var api *client.APIError
	if e.asked == nil || !errors.As(err, &api) || api.Status != http.StatusForbidden && api.Status != http.StatusNotFound {
		return err
	}
	id := e.asked.Project()
	if id == 0 {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, gone := client.Into[client.ProjectResponse](e.asked.GetProject(ctx, id))
	if !errors.As(gone, &api) || api.Status != http.StatusForbidden && api.Status != http.StatusNotFound {
		return err
	}
	if e.cfg.Client.Project != 0 {
		set, _ := e.loaded.Get("client.project")
		return fmt.Errorf("%w; project %d, of the setting client.project (%s), is none of yours: `commandcenter project list` shows those", err, id, set.Origin)
	}
	if lost := e.asked.ForgetProject(ctx, id); lost != nil {
		return fmt.Errorf("%w; project %d, which was chosen, is none of yours any more: choose another with `commandcenter project use` (%w)", err, id, lost)
	}
	return fmt.Errorf("%w; project %d, which was chosen, is none of yours any more, and is not in use from now on: `commandcenter project use` chooses another", err, id)
}

// trust says which certificate the server may show: what runs from the data
// directory has written down its own.
func (e *env) trust() (*tls.Config, error) {
	if file := e.cfg.Client.CAFile; file != "" {
		ca, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("--ca (CC_CA): %w", err)
		}
		c, err := client.Trust(e.server(), ca, nil)
		if err != nil {
			return nil, fmt.Errorf("--ca (CC_CA): %s: %w", file, err)
		}
		return c, nil
	}
	d := datadir.At(e.cfg.DataDir)
	if d.Endpoint(datadir.EndpointHTTP) != e.server() {
		return client.Trust(e.server(), nil, nil)
	}
	return client.Trust(e.server(), nil, []byte(d.Endpoint(datadir.EndpointCert)))
}

func credentialsFile() string { return settings.Home() + "/credentials.json" }

// localOwner is the owner of the instance that runs from the data directory,
// for that instance alone: whatever else listens on this machine must not see
// the password. Reading it takes the same rights as reading all the data.
func (e *env) localOwner() (email, password string, err error) {
	server, dir := e.server(), datadir.At(e.cfg.DataDir)
	if !loopback(server) {
		return "", "", client.ErrNotLoggedIn
	}
	password, err = dir.ReadOwnerPassword()
	if err != nil || password == "" {
		return "", "", client.ErrNotLoggedIn
	}
	// What was written down may be of a process that is gone: the lock is not.
	own := dir.Endpoint(datadir.EndpointHTTP)
	switch {
	case dir.Holder() == 0 && (dir.HolderOf(datadir.LockNATS) != 0 || dir.HolderOf(datadir.LockPostgres) != 0):
		err = fmt.Errorf("%w; %s is run by `commandcenter serve`, where the owner has to log in as everybody else. Type: %s", client.ErrNotLoggedIn, dir.Path(), e.loginLine())
	case dir.Holder() == 0:
		err = fmt.Errorf("%w; nothing runs from %s: `commandcenter up` starts it, and its owner needs no login. If `commandcenter serve` runs it, type: %s", client.ErrNotLoggedIn, dir.Path(), e.loginLine())
	case own == "":
		err = fmt.Errorf("%w; what runs from %s is not ready yet", client.ErrNotLoggedIn, dir.Path())
	case own != server:
		err = fmt.Errorf("%w; what runs from %s is at %s, and only there its owner needs no login", client.ErrNotLoggedIn, dir.Path(), own)
	default:
		return datadir.OwnerEmail, password, nil
	}
	return "", "", err
}

// loginLine is what the owner types to log in at this server.
func (e *env) loginLine() string {
	words := []string{"commandcenter", "login"}
	if s := e.cfg.Client.Server; s != "" {
		words = append(words, "--server", shell(s))
	}
	if e.cfg.DataDir != settings.Default().DataDir {
		words = append(words, "--data-dir", shell(e.cfg.DataDir))
	}
	words = append(words, "--email", datadir.OwnerEmail, "--password-stdin", "<", shell(datadir.At(e.cfg.DataDir).OwnerPasswordFile()))
	return strings.Join(words, " ")
}

func loopback(server string) bool {
	u, err := url.Parse(server)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}
