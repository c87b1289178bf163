package cli

import (
	"strconv"
	"strings"
	"time"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
)

// maxTarget is how much of what a call named is shown in a table that is not wide: of
// ids all, of hashes the beginning.
const maxTarget = 36

func (e *env) auditTable(all client.AuditPage, wide bool) error {
	t := newTable(e.Out, "ENTRY", "TIME", "ACTOR", "OPERATION", "TARGET", "OUTCOME", "FROM")
	names := or(all.Names, nil) // an older server gives none
	for _, x := range all.Entries {
		var target []string
		for _, n := range x.Target {
			if r := []rune(n.Value); len(r) > maxTarget && !wide {
				n.Value = string(r[:maxTarget-1]) + "…"
			}
			target = append(target, n.Name+"="+n.Value)
		}
		outcome := string(x.Outcome)
		if x.Reason != "" {
			outcome += ": " + x.Reason
		}
		if x.Count > 1 {
			outcome += " × " + strconv.Itoa(x.Count)
		}
		actor := called(x.Actor, names[x.Actor], wide)
		if actor == "" {
			actor = "nobody"
		}
		if wide && x.KeyId != "" {
			actor += ", key " + x.KeyId
		}
		t.row(strconv.FormatInt(x.Seq, 10), x.AcceptedAt.Local().Format(time.DateTime), actor, x.Operation, oneLine(strings.Join(target, " ")), outcome, x.Address)
	}
	if err := t.flush(); err != nil {
		return err
	}
	if all.NextBefore != nil {
		e.say("There is more: --limit, or a filter.")
	}
	return nil
}
