package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
)

func (e *env) federationCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "federation",
		Short: "Other instances",
		Long: `Instances tell each other every 30 seconds that they are there. One is degraded
after 50 seconds of silence and offline after 90.

Two instances meet when one joins the hub of the other; not both, it would be a
loop. The other one listens with --hub-listen and gives away the file
keys/neighbour.creds of its data directory. Only heartbeats cross, and searches.
Any other NATS server where instances announce themselves is joined as a client.
What this instance is called is set by federation.slug.`,
		Example: `  commandcenter federation status --watch
  commandcenter federation join leaf+tls://hub.example.org:7422 --creds ./neighbour.creds
  commandcenter federation share north --name Handbook
  commandcenter federation search "how do we land"`,
	}
	e.bind(c, true, "client.server", "client.ca_file", "client.project")
	return group(c, e.federationStatus(), e.federationRegister(), e.federationAdmit(), e.federationRemove(), e.federationJoin(), e.federationLeave(),
		e.federationShare(), e.federationUnshare(), e.federationShares(), e.federationSearch())
}

func (e *env) federationStatus() *cobra.Command {
	var status string
	var watch bool
	var every time.Duration
	c := &cobra.Command{
		Use:   "status",
		Short: "This instance and the others that send heartbeats",
		Long: `Lists the instances: LAST is when the last heartbeat came, MISSED how many did
not, JITTER how much their time on the way varies, CLOCK by how much the other
clock is ahead. KEY tells whether heartbeats are signed: "conflict" means that
somebody has signed with another key than the first one, and was not believed.
With --watch the table is drawn again until Ctrl-C; with --json, a line each
time.`,
		Example: "  commandcenter federation status --watch\n  commandcenter federation status --status offline --json",
		Args:    nargs(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			if every < time.Second {
				return usageError{fmt.Errorf("--every %s: want at least 1s", every)}
			}
			params := &client.ListInstancesParams{}
			if status != "" {
				st := client.ListInstancesParamsStatus(status)
				params.Status = &st
			}
			show := func(ctx context.Context) error {
				list, err := allInstances(ctx, s, *params)
				if err != nil {
					return err
				}
				return e.showInstances(list, watch)
			}
			if !watch {
				return show(cmd.Context())
			}
			return again(cmd.Context(), every, show)
		},
	}
	c.Flags().StringVar(&status, "status", "", "only instances that are online, degraded or offline")
	c.Flags().BoolVarP(&watch, "watch", "w", false, "draw it again and again")
	c.Flags().DurationVar(&every, "every", 2*time.Second, "how often, with --watch")
	values(c, "status", "online", "degraded", "offline")
	return ends(c, codesClient...)
}

// again shows at once and then every so often, until ctx ends.
func again(ctx context.Context, every time.Duration, show func(ctx context.Context) error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if err := show(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// allInstances reads page after page.
func allInstances(ctx context.Context, s *client.Session, p client.ListInstancesParams) (all client.InstanceList, err error) {
	for {
		skip := len(all.Instances)
		p.Skip = &skip
		page, err := client.Into[client.InstanceList](s.ListInstances(ctx, &p))
		if err != nil {
			return all, err
		}
		all.Instances, all.Total = append(orEmpty(all.Instances), page.Instances...), page.Total
		if len(page.Instances) == 0 || len(all.Instances) >= page.Total {
			return all, nil
		}
	}
}

func (e *env) showInstances(list client.InstanceList, watch bool) error {
	if e.json {
		e.print(e.Out, list)
		return nil
	}
	var text strings.Builder
	t := newTable(&text, "INSTANCE", "STATUS", "LAST", "MISSED", "JITTER", "CLOCK", "KEY", "VERSION", "ADDRESS")
	t.width = columns(e.Out) // it is drawn at once
	counts := map[client.InstanceStatus]int{}
	for _, i := range list.Instances {
		counts[i.Status]++
		t.row(instanceCells(i)...)
	}
	if err := t.flush(); err != nil {
		return err
	}
	if watch && terminal(e.Out) {
		e.line("\x1b[H\x1b[2J%s  %d online, %d degraded, %d offline\n", time.Now().Format(time.TimeOnly),
			counts[client.InstanceStatusOnline], counts[client.InstanceStatusDegraded], counts[client.InstanceStatusOffline])
	}
	_, err := io.WriteString(e.Out, text.String())
	return err
}

func instanceCells(i client.Instance) []string {
	name, last, key := i.Slug, ago(time.Since(i.LastHeartbeatAt)), "none"
	switch {
	case i.Self:
		name += " (this one)"
	case !i.Admitted:
		name += " (not admitted)"
	}
	if i.Heartbeats == 0 {
		last = "never"
	}
	switch {
	case i.OtherKey != nil:
		key = "conflict"
	case i.Key != nil:
		key = "pinned"
	}
	return []string{
		name, string(i.Status), last, strconv.FormatInt(i.MissedHeartbeats, 10), millis(i.JitterMs), millis(i.ClockSkewMs), key, or(i.Version, ""), or(i.HubUrl, ""),
	}
}

func millis(ms float64) string {
	return time.Duration(ms * float64(time.Millisecond)).Round(time.Millisecond).String()
}

func (e *env) federationRegister() *cobra.Command {
	var body client.InstanceRegistration
	var name, url, key string
	var tags []string
	c := &cobra.Command{
		Use:   "register SLUG",
		Short: "Register an instance, and make the API key that it uses here",
		Long: `Admits an instance, heard or not, and shows the key with which it uses
/api/fed/projects. The key is shown this once. With --key the heartbeats of the
instance have to be signed by that key; else the first key that signs is taken.`,
		Example: "  commandcenter federation register north --name North --url https://north.example.org",
		Args:    nargs(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			body.Slug, body.Name, body.HubUrl, body.Key = args[0], text(name), text(url), text(key)
			if len(tags) > 0 {
				body.Tags = &tags
			}
			r, err := client.Into[client.RegisteredInstance](s.RegisterInstance(cmd.Context(), body))
			if err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, r)
				return nil
			}
			e.say("%s is registered. Its API key, which is not shown again:", r.Instance.Slug)
			e.line("%s", r.ApiKey)
			return nil
		},
	}
	c.Flags().StringVar(&name, "name", "", "what people call it")
	c.Flags().StringVar(&url, "url", "", "its http(s) address")
	c.Flags().StringVar(&key, "key", "", "public nkey that signs its heartbeats")
	c.Flags().StringSliceVar(&tags, "tag", nil, "a tag; may be given several times")
	return ends(c, codesClient...)
}

// text is a text that may be missing.
func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func (e *env) federationAdmit() *cobra.Command {
	var key string
	c := &cobra.Command{
		Use:     "admit SLUG",
		Short:   "Admit an instance that is listed",
		Long:    "Admits an instance that was heard while federation.unknown is list. With --key\nthat is its key from now on: so an instance that has a new key gets back.",
		Example: "  commandcenter federation admit north",
		Args:    nargs(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			idempotency := uuid.NewString()
			resp, err := s.AdmitInstance(cmd.Context(), args[0], &client.AdmitInstanceParams{IdempotencyKey: &idempotency}, client.InstanceAdmission{Key: text(key)})
			i, err := client.Finish[client.Instance](cmd.Context(), s, resp, err)
			if err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, i)
				return nil
			}
			e.line("%s is admitted; it is %s.", i.Slug, i.Status)
			return nil
		},
	}
	c.Flags().StringVar(&key, "key", "", "public nkey that signs its heartbeats from now on")
	return ends(c, append([]int{exitNotFound}, codesClient...)...)
}

func (e *env) federationRemove() *cobra.Command {
	return ends(&cobra.Command{
		Use:   "remove SLUG...",
		Short: "Take instances out of the catalog, with their keys and shares",
		Long: `Takes instances out of the catalog. One that still sends heartbeats comes back
with the next of them, as one never heard of: admitted while federation.unknown
is admit, not admitted while it is list. To keep it out, set federation.unknown
to list or ignore, or take its credentials away on the hub where it has joined.`,
		Example: "  commandcenter federation remove north south",
		Args:    nargs(1, 100),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			for _, slug := range args {
				if err := e.removeInstance(cmd.Context(), s, slug); err != nil {
					return err
				}
			}
			if !e.json {
				e.say("What still sends heartbeats comes back with the next one, admitted while federation.unknown is admit; set that to list or ignore to keep it out.")
			}
			return nil
		},
	}, append([]int{exitNotFound}, codesClient...)...)
}

func (e *env) removeInstance(ctx context.Context, s *client.Session, slug string) error {
	key := uuid.NewString()
	resp, err := s.RemoveInstance(ctx, slug, &client.RemoveInstanceParams{IdempotencyKey: &key})
	if _, err := client.Finish[any](ctx, s, resp, err); err != nil {
		return fmt.Errorf("%s: %w", slug, err)
	}
	if e.json {
		e.print(e.Out, map[string]any{"instance": slug, "done": "remove"})
		return nil
	}
	e.line("%s is removed.", slug)
	return nil
}

func ago(d time.Duration) string {
	if d < time.Second {
		return "now"
	}
	if days := int(d.Hours() / 24); days >= 2 {
		return strconv.Itoa(days) + " days ago"
	}
	return d.Round(time.Second).String() + " ago"
}
