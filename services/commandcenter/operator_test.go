package main_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestWhatAnOperatorDoesOnTheBusIsInTheAuditLog uses the keys of the instance, by
// which no service is asked for anything.
func TestWhatAnOperatorDoesOnTheBusIsInTheAuditLog(t *testing.T) {
	t.Parallel()
	p := here(t, dataDir(t), "--no-sample")
	owner := p.owner()
	creds := filepath.Join(t.TempDir(), "billing.creds")
	p.must(nil, "bus", "grant", "billing", "--project", "1", "--publish", "invoice.paid.v1", "--out", creds)
	p.must(nil, "bus", "revoke", "billing")
	p.must(nil, "bus", "replay", "auth", "--of", "1")
	p.must(nil, "bus", "reconcile", "--dry-run") // does nothing
	p.must(nil, "bus", "reconcile")
	p.must(nil, "bus", "dead", "purge", "--project", "1")
	for _, verb := range []string{"redrive", "discard"} {
		if code, _, errs := p.cc("bus", "dead", verb, "4711"); code != 4 {
			t.Errorf("%s: %d %s", verb, code, errs)
		}
	}
	if code, _, errs := p.cc("bus", "revoke", "nobody"); code != 4 {
		t.Errorf("revoke: %d %s", code, errs)
	}
	want := map[string]string{ // operation to what it was done to, and how it ended
		"grantAccess": "grant=billing team=billing ok", "revokeAccess": "grant=billing ok", "replayFacts": "service=auth ok", "reconcileEvents": "ok",
		"purgeDeadLetters": "removed=0 ok", "redriveDeadLetter": "seq=4711 not_found", "discardDeadLetter": "seq=4711 not_found",
	}
	var found []string
	owner.auditedWhen(func(all []auditEntry) bool {
		found = nil
		for _, e := range all {
			if e.Service != "admin" {
				continue
			}
			if !strings.HasPrefix(e.Actor, "operator:") || !strings.Contains(e.Actor, "@") || e.KeyID != "bus:admin" || e.Count != 1 {
				t.Fatalf("recorded as %+v", e)
			}
			words := []string{e.Operation}
			for _, n := range e.Target {
				if n.Name != "facts" && n.Name != "subject" {
					words = append(words, n.Name+"="+n.Value)
				}
			}
			if e.Reason == "" {
				e.Reason = "ok"
			}
			found = append(found, strings.Join(append(words, e.Reason), " "))
		}
		return len(found) == len(want)+1
	})
	for op, rest := range want {
		if !slices.Contains(found, op+" "+rest) {
			t.Errorf("no %s %s in %q", op, rest, found)
		}
	}
	if !slices.Contains(found, "revokeAccess grant=nobody not_found") {
		t.Errorf("found %q", found)
	}
	// Of a project, in its log: its admin sees who let whom onto the bus.
	if own := owner.audited("operation=grantAccess"); len(own) != 1 {
		t.Errorf("the log of the project has %+v", own)
	}
	if code, out, errs := p.cc("audit", "list", "--operation", "grantAccess"); code != 0 || !strings.Contains(out, "operator:") {
		t.Errorf("shown: %d %s%s", code, out, errs)
	}
}
