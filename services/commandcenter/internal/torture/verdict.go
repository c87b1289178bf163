package torture

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Kinds of things that clients write.
const (
	Document = "document"
	Project  = "project"
	Fact     = "fact"    // of another team, taken over
	Refused  = "refused" // fact of another team that is against its schema
)

// Thing is what one client wrote under one name, one write after another, and
// what it was told.
type Thing struct {
	Kind, Name string
	Done       int  // writes that were acknowledged and, by their operation, done
	Unsure     int  // writes of which the client never learned the end
	Deleted    bool // the last one was a deletion that was done
	DeleteOpen bool // a deletion was tried, its end is not known
}

// Row is what the database has of a thing.
type Row struct {
	Kind, Name string
	Writes     int    // how many have had their effect
	State      string // of a document
}

// Said is an event in an outbox.
type Said struct {
	ID, Service, Subject string
	Order                int64  // of the row
	Aggregate            string // of what, in its service
	Version              int64
	Waits, Parked        bool
}

// Reader is what somebody heard, in order.
type Reader struct {
	Name   string
	Heard  []string         // ids
	Wants  func(*Said) bool // what it had to hear
	Resets int              // how often it was told that its place is not kept
}

// Dead is a dead letter.
type Dead struct {
	Seq              uint64
	Consumer, Reason string
	Subject, Data    string
}

// Evidence is everything that is judged.
type Evidence struct {
	Things []Thing
	Rows   []Row
	Said   []Said
	Stream []string // ids in EVENTS, in order
	// Readers heard EVENTS by other ways.
	Readers []Reader
	Dead    []Dead
	// Referenced are the objects that the database names, Trash those that it
	// is about to delete, Objects those in the store.
	Referenced, Trash, Objects []string
	// Orphans is how many objects may be there that nobody names: one for each
	// upload that broke off. They are swept when they are old.
	Orphans int
	Strange []string // answers that no outage explains
}

// Explained is a dead letter and why it may be one.
type Explained struct {
	Seq         uint64 `json:"seq"`
	Consumer    string `json:"consumer"`
	Reason      string `json:"reason"`
	Explanation string `json:"explanation"`
}

// Verdict is the judgement.
type Verdict struct {
	Things       map[string]int `json:"things"`
	Writes       int            `json:"writes_done"`
	Unsure       int            `json:"writes_unsure"`
	Events       int            `json:"events"`
	InStream     int            `json:"events_in_stream"`
	Again        int            `json:"events_again"` // published more than once
	Heard        map[string]int `json:"heard"`
	HeardAgain   map[string]int `json:"heard_again"`
	Aggregates   int            `json:"aggregates"`
	Dead         []Explained    `json:"dead_letters"`
	Objects      int            `json:"objects"`
	Unreferenced int            `json:"objects_unreferenced"`
	Violations   []string       `json:"violations"`
}

func (v *Verdict) violated(format string, args ...any) {
	v.Violations = append(v.Violations, fmt.Sprintf(format, args...))
}

// Judge holds the evidence against what the product promises.
func Judge(e Evidence) *Verdict {
	v := &Verdict{Things: map[string]int{}, Heard: map[string]int{}, HeardAgain: map[string]int{}}
	v.effects(e)
	v.events(e)
	v.letters(e)
	v.objects(e)
	for _, s := range e.Strange {
		v.violated("strange answer: %s", s)
	}
	return v
}

type name struct{ kind, name string }

// effects: nothing acknowledged is lost, nothing is done twice.
func (v *Verdict) effects(e Evidence) {
	rows := map[name][]Row{}
	for _, r := range e.Rows {
		n := name{r.Kind, r.Name}
		rows[n] = append(rows[n], r)
	}
	known := map[name]bool{}
	for _, t := range e.Things {
		n := name{t.Kind, t.Name}
		known[n] = true
		v.Things[t.Kind]++
		v.Writes += t.Done
		v.Unsure += t.Unsure
		if t.Deleted {
			v.Writes++
		}
		if t.Kind != Refused { // see letters
			v.effect(t, rows[n])
		}
	}
	for n := range rows {
		if !known[n] {
			v.violated("nobody wrote %s %s, and it is there", n.kind, n.name)
		}
	}
}

func (v *Verdict) effect(t Thing, rows []Row) {
	switch {
	case t.Deleted:
		if len(rows) > 0 {
			v.violated("lost: the deletion of %s %s", t.Kind, t.Name)
		}
		return
	case len(rows) > 1:
		v.violated("twice: %s %s is there %d times", t.Kind, t.Name, len(rows))
		return
	case len(rows) == 0:
		if t.Done > 0 && !t.DeleteOpen {
			v.violated("lost: %s %s, %d writes done", t.Kind, t.Name, t.Done)
		}
		return
	}
	switch r := rows[0]; {
	case r.Writes < t.Done:
		v.violated("lost: %s %s has %d writes, %d were done", t.Kind, t.Name, r.Writes, t.Done)
	case r.Writes > t.Done+t.Unsure:
		v.violated("twice: %s %s has %d writes, %d were done and of %d the end is not known", t.Kind, t.Name, r.Writes, t.Done, t.Unsure)
	case t.Kind == Document && r.State != "indexed":
		v.violated("unfinished: %s %s is %s", t.Kind, t.Name, r.State)
	}
}

// events: each one of the database is in the stream and with every reader, in
// the order of its aggregate, and no other is.
func (v *Verdict) events(e Evidence) {
	said := map[string]*Said{}
	aggregates := map[string]struct{}{}
	twice := map[string]int{}
	for i := range e.Said {
		s := &e.Said[i]
		said[s.ID] = s
		aggregates[s.aggregate()] = struct{}{}
		switch {
		case s.Parked:
			v.violated("event parked: %s %s", s.Subject, s.ID)
		case s.Waits:
			v.violated("event not published: %s %s", s.Subject, s.ID)
		}
		// One fact of one version of one thing is said once.
		k := fmt.Sprintf("%s of %s in version %d", s.Subject, s.Aggregate, s.Version)
		if twice[k]++; twice[k] == 2 {
			v.violated("twice: %s is said twice", k)
		}
	}
	v.Events, v.Aggregates = len(e.Said), len(aggregates)
	v.InStream, v.Again = v.heard("EVENTS", e.Stream, said, func(*Said) bool { return true })
	for _, r := range e.Readers {
		v.Heard[r.Name], v.HeardAgain[r.Name] = v.heard(r.Name, r.Heard, said, r.Wants)
		if r.Resets > 0 {
			v.violated("%s was told %d times that its place is not kept", r.Name, r.Resets)
		}
	}
}

// aggregate names the thing among all: project, service, noun and id.
func (s *Said) aggregate() string {
	words := strings.SplitN(s.Subject, ".", 5)
	return strings.Join(append(words[1:min(4, len(words))], s.Aggregate), " ")
}

// heard compares what was heard with what was said. The first hearing counts:
// everything may come again.
func (v *Verdict) heard(who string, ids []string, said map[string]*Said, wants func(*Said) bool) (first, again int) {
	had := map[string]struct{}{}
	last := map[string]*Said{}
	for _, id := range ids {
		s := said[id]
		if s == nil {
			v.violated("%s: event %s is in no outbox", who, id)
			continue
		}
		if _, ok := had[id]; ok {
			again++
			continue
		}
		had[id] = struct{}{}
		a := s.aggregate()
		if l := last[a]; l != nil && (l.Order > s.Order || l.Version > s.Version) {
			v.violated("%s: order of %s: %s (row %d, version %d) came after %s (row %d, version %d)", who, a, s.Subject, s.Order, s.Version, l.Subject, l.Order, l.Version)
		}
		last[a] = s
	}
	var missing []*Said
	for _, s := range said {
		if _, ok := had[s.ID]; !ok && wants(s) {
			missing = append(missing, s)
		}
	}
	slices.SortFunc(missing, func(a, b *Said) int { return cmp.Compare(a.Order, b.Order) })
	for _, s := range missing {
		v.violated("%s: missing %s of %s, version %d, event %s", who, s.Subject, s.Aggregate, s.Version, s.ID)
	}
	return len(had), again
}

// letters: each dead letter is a fact that the team sent against its schema, and
// each such fact is there once.
func (v *Verdict) letters(e Evidence) {
	found := map[string]int{}
	for _, d := range e.Dead {
		x := Explained{Seq: d.Seq, Consumer: d.Consumer, Reason: d.Reason}
		for _, t := range e.Things {
			if t.Kind == Refused && strings.Contains(d.Data, `"`+t.Name+`"`) && strings.HasPrefix(d.Subject, "ext.") {
				x.Explanation = "the team sent " + t.Name + " against its schema, on purpose"
				found[t.Name]++
			}
		}
		if x.Explanation == "" {
			v.violated("dead letter %d is not explained: %s gave up %s: %s", d.Seq, d.Consumer, d.Subject, d.Reason)
		}
		v.Dead = append(v.Dead, x)
	}
	for _, t := range e.Things {
		switch n := found[t.Name]; {
		case t.Kind != Refused:
		case n == 0 && t.Done > 0:
			v.violated("lost: the fact %s is neither taken nor a dead letter", t.Name)
		case n > 1:
			v.violated("twice: the fact %s is %d dead letters", t.Name, n)
		}
	}
}

// objects: what the database names is in the store; what is there besides is
// left by an upload that broke off.
func (v *Verdict) objects(e Evidence) {
	there := map[string]bool{}
	for _, o := range e.Objects {
		there[o] = true
	}
	v.Objects = len(e.Objects)
	for _, o := range e.Referenced {
		if !there[o] {
			v.violated("lost: the bytes %s of a document", o)
		}
		delete(there, o)
	}
	for _, o := range e.Trash {
		delete(there, o)
	}
	if v.Unreferenced = len(there); v.Unreferenced > e.Orphans {
		v.violated("%d objects are nobody's, and only %d uploads broke off", v.Unreferenced, e.Orphans)
	}
}
