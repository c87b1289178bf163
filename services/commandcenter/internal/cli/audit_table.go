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
		target := targets(x.Target, wide)
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

// targets are what an entry is about, with what was changed in one: role=viewer→admin.
func targets(all []client.AuditTarget, wide bool) (out []string) {
	for i := 0; i < len(all); i++ {
		name, text := all[i].Name, shorter(all[i].Value, wide)
		field, old := strings.CutSuffix(name, ".before")
		switch {
		case old && i+1 < len(all) && all[i+1].Name == field+".after":
			i++
			text = field + "=" + text + "→" + shorter(all[i].Value, wide)
		case old:
			text = field + "=" + text + "→none"
		case strings.HasSuffix(name, ".after"):
			text = strings.TrimSuffix(name, ".after") + "=" + text
		default:
			text = name + "=" + text
		}
		out = append(out, text)
	}
	return out
}

func shorter(value string, wide bool) string {
	if r := []rune(value); len(r) > maxTarget && !wide {
		return string(r[:maxTarget-1]) + "…"
	}
	return value
}
