package audit_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/audit"
)

var monday = time.Date(2026, 3, 2, 9, 0, 0, 123456000, time.UTC)

// written is a log of n entries of project 7.
func written(n int) []audit.Entry {
	var all []audit.Entry
	prev := ""
	for i := range n {
		e := audit.Entry{
			Chain: 7, Seq: int64(i + 1), ID: fmt.Sprintf("call-%d", i), RecordedAt: monday, AcceptedAt: monday, LastAt: monday, Count: 1,
			Service: "knowledge", Operation: "deleteDocument", Actor: "user:7", Status: 204, Address: "192.0.2.1",
			Target: []audit.Named{{Name: "document_id", Value: fmt.Sprint(i)}}, Prev: prev,
		}
		e.Hash = e.Sum()
		prev = e.Hash
		all = append(all, e)
	}
	return all
}

func anchor(e audit.Entry) audit.Anchor {
	return audit.Anchor{Chain: e.Chain, Seq: e.Seq, Hash: e.Hash}
}

// again seals a log anew, as somebody would who can write the database.
func again(log []audit.Entry) []audit.Entry {
	prev := ""
	for i := range log {
		log[i].Seq, log[i].Prev = int64(i+1), prev
		log[i].Hash = log[i].Sum()
		prev = log[i].Hash
	}
	return log
}

func verify(log []audit.Entry, head *audit.Anchor, anchors ...audit.Anchor) []audit.Fault {
	v := audit.NewVerifier(7, anchors)
	for _, e := range log {
		v.Next(e)
	}
	return v.End(head)
}

func TestEveryTamperingIsFound(t *testing.T) {
	t.Parallel()
	whole := written(6)
	head, said := anchor(whole[5]), anchor(whole[3])
	for name, c := range map[string]struct {
		do   func(log []audit.Entry) []audit.Entry
		want string
	}{
		"an actor is changed": {func(l []audit.Entry) []audit.Entry { l[2].Actor = "user:8"; return l }, "entry 3: was changed"},
		"a target is changed": {func(l []audit.Entry) []audit.Entry {
			l[2].Target = []audit.Named{{Name: "document_id", Value: "9"}}
			return l
		}, "entry 3: was changed"},
		"a time is changed":             {func(l []audit.Entry) []audit.Entry { l[2].AcceptedAt = monday.Add(time.Microsecond); return l }, "entry 3: was changed"},
		"a reason is added":             {func(l []audit.Entry) []audit.Entry { l[2].Reason = "forbidden"; return l }, "entry 3: was changed"},
		"changed, and its hash with it": {func(l []audit.Entry) []audit.Entry { l[2].Actor = "user:8"; l[2].Hash = l[2].Sum(); return l }, "entry 4: does not follow"},
		"an entry is removed":           {func(l []audit.Entry) []audit.Entry { return slices.Delete(l, 2, 3) }, "entry 3: is missing"},
		"the first one is removed":      {func(l []audit.Entry) []audit.Entry { return l[1:] }, "entry 1: is missing"},
		"two are swapped":               {func(l []audit.Entry) []audit.Entry { l[1], l[2] = l[2], l[1]; return l }, "entry 2: is missing"},
		"two are swapped with their numbers": {func(l []audit.Entry) []audit.Entry {
			l[1], l[2] = l[2], l[1]
			l[1].Seq, l[2].Seq = 2, 3
			return l
		}, "entry 2: does not follow"},
		"one is there twice": {func(l []audit.Entry) []audit.Entry { return slices.Insert(l, 3, l[2]) }, "entry 3: stands after entry 3"},
		"one is forged in between": {func(l []audit.Entry) []audit.Entry {
			f := l[2]
			f.ID = "forged"
			f.Hash = f.Sum()
			return slices.Insert(l, 3, f)
		}, "entry 3: stands after entry 3"},
		"the end is cut off":      {func(l []audit.Entry) []audit.Entry { return l[:5] }, "entry 6: is said to be the last one"},
		"all is gone":             {func([]audit.Entry) []audit.Entry { return nil }, "entry 6: is said to be the last one"},
		"another project's entry": {func(l []audit.Entry) []audit.Entry { l[2].Chain = 8; return l }, "entry 3: belongs to the log of project 8"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := verify(c.do(written(6)), &head, said); len(got) == 0 || !strings.HasPrefix(got[0].String(), c.want) {
				t.Errorf("found %v, want %q", got, c.want)
			}
		})
	}
	if got := verify(whole, &head, said); len(got) > 0 {
		t.Errorf("an honest log: %v", got)
	}
}

func TestALogWrittenAnewIsFoundByWhatWasSaidBefore(t *testing.T) {
	t.Parallel()
	whole := written(6)
	said := anchor(whole[3])
	forged := written(6)
	forged[1].Actor = "user:8"
	forged = again(forged)
	head := anchor(forged[5])
	if got := verify(forged, &head); len(got) > 0 {
		t.Fatalf("without an anchor there is nothing to find: %v", got)
	}
	if got := verify(forged, &head, said); len(got) != 1 || !strings.Contains(got[0].String(), "the log was written anew") {
		t.Errorf("changed: found %v", got)
	}
	head = anchor(whole[2])
	if got := verify(whole[:3], &head, said); len(got) != 1 || !strings.Contains(got[0].String(), "cut off after entry 3") {
		t.Errorf("cut off, and its head with it: found %v", got)
	}
	removed := again(slices.Delete(written(6), 0, 1))
	head = anchor(removed[4])
	if got := verify(removed, &head, said); len(got) != 1 || got[0].Seq != 4 {
		t.Errorf("removed: found %v", got)
	}
}

func TestAnchorsOfOtherLogsSayNothing(t *testing.T) {
	t.Parallel()
	v := audit.NewVerifier(7, []audit.Anchor{{Chain: 8, Seq: 1, Hash: "x"}, anchor(written(1)[0])})
	v.Next(written(1)[0])
	if got := v.End(nil); len(got) > 0 || v.Matched() != 1 || v.Last().Seq != 1 {
		t.Errorf("found %v, %d anchors", got, v.Matched())
	}
}

func TestFieldsCannotBeShiftedIntoEachOther(t *testing.T) {
	t.Parallel()
	a, b := written(1)[0], written(1)[0]
	a.Service, a.Operation = "know", "ledge"
	b.Service, b.Operation = "knowl", "edge"
	if a.Sum() == b.Sum() {
		t.Error("two entries have one hash")
	}
	// Told to others in doc.go: it must never change.
	const want = "9c4e75a40760a6e2132917a7f16cad5091536fec5c38f975c1c6e8992732d75f"
	if got := written(1)[0].Sum(); got != want {
		t.Errorf("the hash is %s, want %s", got, want)
	}
}

func TestOutcomeIsTheKindInOneWord(t *testing.T) {
	t.Parallel()
	for reason, want := range map[string]audit.Outcome{
		"": audit.OK, "forbidden": audit.Denied, "unauthenticated": audit.Denied, "rate_limited": audit.Denied,
		"conflict": audit.Refused, "not_found": audit.Refused, "internal": audit.Failed, "timeout": audit.Failed,
	} {
		if got := (audit.Entry{Reason: reason}).Outcome(); got != want {
			t.Errorf("%q is %s, want %s", reason, got, want)
		}
	}
}
