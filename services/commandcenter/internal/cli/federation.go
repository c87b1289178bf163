package cli

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
)

func (e *env) federationCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "federation",
		Short: "Other instances",
		Long: `Instances tell each other every 30 seconds that they are there. One is degraded
after 60 seconds of silence and offline after 90.

Two instances meet when one joins the hub of the other; not both, it would be a
loop. The other one listens with --hub-listen and gives away the file
keys/neighbour.creds of its data directory. Nothing but hub.* crosses. Any other
NATS server where instances announce themselves is joined as a client. What this
instance is called is set by federation.slug.`,
		Example: `  commandcenter federation status
  commandcenter up --hub-listen 127.0.0.1:7422
  commandcenter up --hub-join "leaf+tls://hub.example.org:7422 /etc/commandcenter/neighbour.creds"
  commandcenter up --hub-join "tls://nats.example.org:4222 /etc/commandcenter/password"`,
	}
	e.bind(c, true, "client.server", "client.ca_file")
	return group(c, e.federationStatus())
}

func (e *env) federationStatus() *cobra.Command {
	var status string
	c := &cobra.Command{
		Use:     "status",
		Short:   "This instance and the others that send heartbeats",
		Example: "  commandcenter federation status\n  commandcenter federation status --status offline --json",
		Args:    nargs(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			params := &client.ListInstancesParams{}
			if status != "" {
				st := client.ListInstancesParamsStatus(status)
				params.Status = &st
			}
			list, err := client.Into[client.InstanceList](s.ListInstances(cmd.Context(), params))
			if err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, list)
				return nil
			}
			t := newTable(e.Out, "INSTANCE", "STATUS", "LAST HEARTBEAT", "VERSION", "ADDRESS")
			for _, i := range list.Instances {
				name := i.Slug
				if i.Self {
					name += " (this one)"
				}
				t.row(name, string(i.Status), ago(time.Since(i.LastHeartbeatAt)), or(i.Version, ""), or(i.HubUrl, ""))
			}
			return t.flush()
		},
	}
	c.Flags().StringVar(&status, "status", "", "only instances that are online, degraded or offline")
	values(c, "status", "online", "degraded", "offline")
	return ends(c, codesClient...)
}

func ago(d time.Duration) string {
	if d < time.Second {
		return "now"
	}
	return d.Round(time.Second).String() + " ago"
}
