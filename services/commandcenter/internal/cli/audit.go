package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/pkg/audit"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
)

func (e *env) auditCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "audit",
		Short: "Who did what, to what, from where",
		Example: `  commandcenter audit list --outcome denied --since 2d
  commandcenter audit export --output audit.jsonl
  commandcenter audit verify`,
	}
	e.bind(c, true, "client.server", "client.ca_file", "client.project")
	return group(c, e.auditList(), e.auditExport(), e.auditVerify())
}

type auditFlags struct {
	actor, target, operation, outcome, text string
	from, until                             string
	since                                   time.Duration
	instance                                bool
	limit                                   int
}

func (f *auditFlags) bind(c *cobra.Command) {
	fs := c.Flags()
	fs.StringVar(&f.actor, "actor", "", "only of this caller: user:7, or the e-mail address of a person")
	fs.StringVar(&f.target, "target", "", "only what was about this: document_id=12, user:7, or the e-mail address of a person")
	fs.StringVar(&f.operation, "operation", "", "only of this operation: deleteDocument, as the API calls it")
	fs.StringVar(&f.outcome, "outcome", "", "only with this outcome")
	values(c, "outcome", string(client.ListAuditParamsOutcomeOk), string(client.ListAuditParamsOutcomeDenied), string(client.ListAuditParamsOutcomeRefused), string(client.ListAuditParamsOutcomeFailed))
	fs.StringVar(&f.text, "text", "", "only entries in which this stands")
	fs.StringVar(&f.from, "from", "", "only from this time on: 2026-03-02T09:00:00Z")
	fs.StringVar(&f.until, "until", "", "only before this time")
	lasting(fs, &f.since, "since", 0, "how far to look back, in place of --from")
	f.whose(c)
}

// whose lets the log of the instance be chosen.
func (f *auditFlags) whose(c *cobra.Command) {
	c.Flags().BoolVar(&f.instance, "instance", false, "the log of the instance, for a superuser")
}

func (f *auditFlags) params() (p client.ListAuditParams, err error) {
	p = client.ListAuditParams{Actor: some(f.actor), Target: some(f.target), Operation: some(f.operation), Text: some(f.text), Instance: &f.instance}
	if f.outcome != "" {
		o := client.ListAuditParamsOutcome(f.outcome)
		p.Outcome = &o
	}
	if f.since > 0 {
		from := time.Now().Add(-f.since)
		p.From = &from
	}
	for text, to := range map[string]**time.Time{f.from: &p.From, f.until: &p.Until} {
		if text == "" {
			continue
		}
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return p, usageError{fmt.Errorf("%q is no time of the form 2026-03-02T09:00:00Z", text)}
		}
		*to = &at
	}
	return p, nil
}

func (e *env) auditList() *cobra.Command {
	var f auditFlags
	var wide bool
	c := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "The latest entries, newest first",
		Long: `Every write, also one that was refused, and every denied request, with what was
changed: role=viewer→admin. It takes an admin of the project; --instance takes a
superuser.`,
		Example: "  commandcenter audit list --actor ada@example.org\n  commandcenter audit list --operation deleteDocument --since 24h\n  commandcenter audit list --outcome denied --json | jq '.entries[].address'",
		Args:    nargs(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			p, err := f.params()
			if err != nil {
				return err
			}
			names := map[string]string{}
			all := client.AuditPage{Entries: []client.AuditEntry{}, Names: &names}
			for {
				n := min(f.limit-len(all.Entries), 500)
				p.Limit = &n
				page, err := client.Into[client.AuditPage](s.ListAudit(cmd.Context(), &p))
				if err != nil {
					return err
				}
				all.Entries = append(all.Entries, page.Entries...)
				all.Head, all.NextBefore = page.Head, page.NextBefore
				maps.Copy(names, or(page.Names, nil))
				if p.Before = page.NextBefore; p.Before == nil || len(all.Entries) >= f.limit {
					break
				}
			}
			if e.json {
				e.print(e.Out, all)
				return nil
			}
			return e.auditTable(all, wide)
		},
	}
	f.bind(c)
	c.Flags().IntVarP(&f.limit, "limit", "n", 50, "most entries")
	wideFlag(c, &wide)
	return ends(c, codesClient...)
}

func (e *env) auditExport() *cobra.Command {
	var f auditFlags
	var output string
	c := &cobra.Command{
		Use:   "export",
		Short: "Write the log into a file, oldest entry first",
		Long: `Writes JSON Lines, an entry each with its hash and that of the entry before it.

What the file proves: without a filter, that no entry between its first and its last
was changed, removed or put in since it was written. Check it with
"audit verify --file", which needs no server and believes none. What it does not
prove by itself: that its end was not cut off, and that not all of it was written
anew, by whoever can write the database. That takes an announcement of the log (an
anchor: its number and hash at some time) that was kept where they cannot write:
keep what "bus events --noun audit --json --follow" prints, or the last hash that
"audit verify" prints, and give the file to "audit verify --anchors". A file that a
filter has made is for reading: it has gaps and cannot be verified.`,
		Example: "  commandcenter audit export --output audit.jsonl\n  commandcenter audit export --outcome denied | jq -r .address | sort | uniq -c",
		Args:    nargs(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			s, err := e.session()
			if err != nil {
				return err
			}
			p, err := f.params()
			if err != nil {
				return err
			}
			x := client.ExportAuditParams{Actor: p.Actor, Target: p.Target, Operation: p.Operation, Text: p.Text, Instance: p.Instance, From: p.From, Until: p.Until}
			if p.Outcome != nil {
				o := client.ExportAuditParamsOutcome(*p.Outcome)
				x.Outcome = &o
			}
			resp, err := s.ExportAudit(cmd.Context(), &x)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, resp.Body.Close()) }()
			if resp.StatusCode != 200 {
				_, err := client.Into[any](resp, nil)
				return err
			}
			to := e.Out
			if output != "" && output != "-" {
				file, err := os.OpenFile(output, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
				if err != nil {
					return usageError{err}
				}
				defer func() { err = errors.Join(err, file.Close()) }()
				to = file
			}
			if _, err := io.Copy(to, resp.Body); err != nil {
				return fmt.Errorf("the export broke off, and is not whole: %w", err)
			}
			return nil
		},
	}
	f.bind(c)
	c.Flags().StringVarP(&output, "output", "o", "", "the file, which must not exist; standard output without it")
	return ends(c, codesClient...)
}

// auditReport is how a verification ended.
type auditReport struct {
	Sound   bool          `json:"sound"`
	Entries int64         `json:"entries"`
	Last    audit.Anchor  `json:"last"`
	Anchors int           `json:"anchors"` // that the log has met
	Faults  []audit.Fault `json:"faults"`
}

func (e *env) auditVerify() *cobra.Command {
	var f auditFlags
	var file, anchors string
	c := &cobra.Command{
		Use:   "verify",
		Short: "Find out whether the log was tampered with",
		Long: `Reads the log from its first entry and computes every hash here, so that the server
need not be believed. "Sound" means that no entry was changed, removed or put in
between. The result is compared with what the server has announced on the stream of
events (auth.audit.anchored.v1), as far as that is kept: up to the last announcement
that it meets, the log is the one of that time, whole. With --anchors FILE it is
compared with announcements that were kept elsewhere: JSON Lines of objects with
project_id, seq and hash, or of the events as "bus events --json --follow" writes
them. Without such a copy, whoever can change both the database and the streams can
write the log anew. --file verifies an export, without a server.`,
		Example: "  commandcenter audit verify\n  commandcenter audit verify --file audit.jsonl --anchors anchors.jsonl",
		Args:    nargs(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			kept, err := anchorsIn(anchors)
			if err != nil {
				return err
			}
			report, err := e.verify(cmd.Context(), f.instance, file, kept)
			if err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, report)
			} else {
				for _, fault := range report.Faults {
					e.line("%s", fault)
				}
			}
			if report.Entries == 0 && file != "" {
				return codedError{fmt.Errorf("%s holds no entry: nothing can be said of it", file), exitRefused}
			}
			if !report.Sound {
				return codedError{fmt.Errorf("the audit log is not as it was written: %s", count(len(report.Faults), "fault")), exitRefused}
			}
			if !e.json {
				e.line("Sound: %d entries, %d announcements met. The last hash is %s.", report.Entries, report.Anchors, or(some(report.Last.Hash), "none"))
				if report.Anchors == 0 {
					e.line("Nothing was announced of it: entries that were cut off at its end cannot be missed. --anchors names a file with what was.")
				}
			}
			return nil
		},
	}
	f.whose(c)
	c.Flags().StringVar(&file, "file", "", "verify this export in place of the server's log")
	c.Flags().StringVar(&anchors, "anchors", "", "a file with announcements that were kept elsewhere")
	return ends(c, append([]int{exitRefused}, codesClient...)...)
}

func (e *env) verify(ctx context.Context, instance bool, file string, kept []audit.Anchor) (auditReport, error) {
	if file != "" {
		f, err := os.Open(file)
		if err != nil {
			return auditReport{}, usageError{err}
		}
		defer func() { _ = f.Close() }() // read only
		return verifyLines(f, kept, nil)
	}
	s, err := e.session()
	if err != nil {
		return auditReport{}, err
	}
	// What was announced first, then the head, then the log: it only grows, so it
	// holds whatever was said before it was read.
	if !instance {
		said, err := announced(ctx, s)
		if err != nil {
			return auditReport{}, err
		}
		kept = append(kept, said...)
	}
	head, err := client.Into[client.AuditHead](s.GetAuditHead(ctx, &client.GetAuditHeadParams{Instance: &instance}))
	if err != nil {
		return auditReport{}, err
	}
	resp, err := s.ExportAudit(ctx, &client.ExportAuditParams{Instance: &instance})
	if err != nil {
		return auditReport{}, err
	}
	if resp.StatusCode != 200 {
		_, err := client.Into[any](resp, nil)
		return auditReport{}, err
	}
	defer func() { _ = resp.Body.Close() }() // read to its end
	return verifyLines(resp.Body, kept, &audit.Anchor{Chain: head.ProjectId, Seq: head.Seq, Hash: head.Hash})
}

// verifyLines verifies JSON Lines. Of the entries behind the head, which came
// meanwhile, it wants no more than that they follow.
func verifyLines(r io.Reader, anchors []audit.Anchor, head *audit.Anchor) (auditReport, error) {
	if head != nil && head.Seq > 0 {
		anchors = append(anchors, *head)
	}
	report := auditReport{Faults: []audit.Fault{}}
	var v *audit.Verifier
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		x, err := entryOf(lines.Bytes())
		if err != nil {
			return report, codedError{fmt.Errorf("line %d is no entry as it was exported: %w", report.Entries+1, err), exitRefused}
		}
		if v == nil {
			v = audit.NewVerifier(x.Chain, anchors)
		}
		v.Next(x)
		report.Entries++
	}
	if err := lines.Err(); err != nil {
		return report, fmt.Errorf("the log broke off: %w", err)
	}
	if v == nil {
		chain := int64(0)
		if len(anchors) > 0 {
			chain = anchors[0].Chain
		}
		v = audit.NewVerifier(chain, anchors)
	}
	report.Faults = append(report.Faults, v.End(nil)...)
	report.Sound, report.Last, report.Anchors = len(report.Faults) == 0, v.Last(), v.Matched()
	if head != nil && head.Seq > 0 && report.Sound {
		report.Anchors-- // the head is asked for, and not announced
	}
	return report, nil
}

// announced is what the server has said of the project's log.
func announced(ctx context.Context, s *client.Session) ([]audit.Anchor, error) {
	service, noun, fact, limit := "auth", "audit", "anchored", 500
	p := client.ListEventsParams{Service: &service, Noun: &noun, Fact: &fact, Limit: &limit}
	var all []audit.Anchor
	for {
		page, err := client.Into[client.EventPage](s.ListEvents(ctx, &p))
		if err != nil {
			return nil, fmt.Errorf("read what was announced: %w", err)
		}
		for _, x := range page.Events {
			text, err := json.Marshal(x)
			if err != nil {
				return nil, err
			}
			a, err := anchorOf(text)
			if err != nil {
				return nil, err
			}
			all = append(all, a)
		}
		if p.Cursor = page.NextCursor; p.Cursor == nil {
			return all, nil
		}
	}
}

// entryOf reads an entry and nothing beside it: what no hash covers would be
// believed with the rest. The outcome follows from what is covered.
func entryOf(line []byte) (audit.Entry, error) {
	var x struct {
		audit.Entry
		Said audit.Outcome `json:"outcome"`
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&x); err != nil {
		return x.Entry, err
	}
	var names map[string]json.RawMessage
	if err := json.Unmarshal(line, &names); err != nil { // also for what follows the entry
		return x.Entry, err
	}
	for name := range names {
		if name != strings.ToLower(name) { // Go's decoder takes it for the other
			return x.Entry, fmt.Errorf("it has a field %q", name)
		}
	}
	if x.Said != "" && x.Said != x.Outcome() {
		return x.Entry, fmt.Errorf("its outcome is %q, which is said to be %q", x.Outcome(), x.Said)
	}
	return x.Entry, nil
}

// anchorOf reads an anchor, or the event that announced it.
func anchorOf(text []byte) (audit.Anchor, error) {
	var x struct {
		audit.Anchor
		Data *struct {
			Chain   int64  `json:"project_id"`
			Version int64  `json:"version"`
			Hash    string `json:"hash"`
		} `json:"data"`
	}
	if err := json.Unmarshal(text, &x); err != nil {
		return audit.Anchor{}, usageError{fmt.Errorf("this is no announcement: %w", err)}
	}
	if x.Data != nil {
		x.Anchor = audit.Anchor{Chain: x.Data.Chain, Seq: x.Data.Version, Hash: x.Data.Hash}
	}
	if x.Seq < 1 || x.Hash == "" {
		return audit.Anchor{}, usageError{fmt.Errorf("this is no announcement: %s", oneLine(string(text)))}
	}
	return x.Anchor, nil
}

func anchorsIn(file string) (all []audit.Anchor, err error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, usageError{err}
	}
	for line := range bytes.Lines(text) {
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		a, err := anchorOf(line)
		if err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, nil
}
