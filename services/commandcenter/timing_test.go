package main_test

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httputil"
	"slices"
	"testing"
	"time"
)

var timingSamples = flag.Int("timing.samples", 0, "how often each operation is asked for a foreign and for an absent id in TestForeignAndAbsentTakeTheSameTime; without, it is skipped")

// leaky is the |t| of Welch's test from which two sets of times are held to
// differ, as in tests of cryptographic code (Reparaz, Balasch, Verbauwhede:
// "Dude, is my code constant time?", 2017).
const leaky = 4.5

// welch is Welch's t of two samples.
func welch(a, b []float64) float64 {
	mean := func(xs []float64) (m, variance float64) {
		for _, x := range xs {
			m += x
		}
		m /= float64(len(xs))
		for _, x := range xs {
			variance += (x - m) * (x - m)
		}
		return m, variance / float64(len(xs)-1)
	}
	ma, va := mean(a)
	mb, vb := mean(b)
	return (ma - mb) / math.Sqrt(va/float64(len(a))+vb/float64(len(b)))
}

// apartBy is the larger |t| of all times and of the fastest nine tenths, in
// which a difference is not lost among the pauses of a shared machine.
func apartBy(a, b []float64) float64 {
	all := slices.Concat(a, b)
	slices.Sort(all)
	limit := all[len(all)*9/10]
	crop := func(xs []float64) []float64 {
		return slices.DeleteFunc(slices.Clone(xs), func(x float64) bool { return x > limit })
	}
	return max(math.Abs(welch(a, b)), math.Abs(welch(crop(a), crop(b))))
}

func TestADifferenceOfTimesIsSeen(t *testing.T) {
	t.Parallel()
	chance := rand.New(rand.NewPCG(1, 2))
	times := func(more float64) (out []float64) {
		for range 10_000 {
			x := 400 + more + 40*chance.ExpFloat64() // microseconds
			if chance.IntN(100) == 0 {
				x += 5000 * chance.Float64() // the machine was elsewhere
			}
			out = append(out, x)
		}
		return out
	}
	if got := apartBy(times(0), times(0)); got >= leaky {
		t.Errorf("equal times are told apart: |t| = %.1f", got)
	}
	if got := apartBy(times(0), times(5)); got < leaky {
		t.Errorf("five microseconds in four hundred are not seen: |t| = %.1f", got)
	}
}

// TestForeignAndAbsentTakeTheSameTime asks every operation of the contract
// that takes an id for one of another project and for one that nobody has, in
// random order, and compares the times: who could tell them apart would learn
// what others have. It belongs on a machine that does nothing else.
func TestForeignAndAbsentTakeTheSameTime(t *testing.T) {
	if *timingSamples == 0 {
		t.Skip("make timing")
	}
	p := apart(t, dataDir(t), "--no-sample")
	a := newAttacker(t, p)
	ids := foreignIDs(t, a.who)
	p.caller("").json("POST", "/api/v1/auth/register", map[string]string{"email": "other@example.org", "password": "a long enough pass phrase"}, 201, nil)
	a.who = p.login("other@example.org", "a long enough pass phrase")
	client := &http.Client{Timeout: 30 * time.Second}
	probed := 0
	for _, op := range a.ops {
		var pair [2]attackCall
		takes := false
		for i := range pair {
			pair[i] = a.fresh(op)
			for name := range pair[i].path {
				if both, ok := ids[name]; ok && op.project != "none" {
					pair[i].path[name], takes = both[i], true
				}
			}
		}
		if !takes || op.delivery == "upload" {
			continue
		}
		probed++
		a.compare(t, client, op, pair, http.StatusNotFound)
	}
	for _, op := range a.ops {
		if op.id == "listDocuments" {
			pair := [2]attackCall{a.fresh(op), a.fresh(op)}
			for i := range pair {
				pair[i].header.Set("X-Project-ID", ids["project_id"][i])
			}
			a.compare(t, client, op, pair, http.StatusForbidden)
		}
	}
	if probed < 5 {
		t.Errorf("only %d operations take an id", probed)
	}
}

// foreignIDs makes one of each thing that has an id in the caller's project,
// and names an id of as many digits that nothing has.
func foreignIDs(t *testing.T, who *caller) map[string][2]string {
	t.Helper()
	var doc, schema, technology, task, origin struct {
		ID int64 `json:"id"`
	}
	who.json("POST", "/api/v1/knowledge/documents/text", map[string]string{"title": "t", "content": "the lamp of the lighthouse", "category": "c"}, 201, &doc)
	who.json("POST", "/api/v1/events/schemas", map[string]any{"team": "t", "noun": "n", "fact": "f", "version": 1, "schema": map[string]any{"type": "object"}}, 201, &schema)
	var judged, tried struct {
		ID int64 `json:"id"`
	}
	who.json("POST", "/api/v1/knowledge/judgements", judgedSet("a set"), 201, &judged)
	who.json("POST", "/api/v1/knowledge/evaluations", map[string]any{"judgements_id": judged.ID}, 201, &tried)
	who.json("POST", "/api/v1/technologies/", map[string]any{"title": "t"}, 201, &technology)
	who.json("POST", "/api/v1/research-tasks/", map[string]any{"title": "t"}, 201, &task)
	who.json("POST", "/api/ingestion/sources", map[string]any{"name": "s", "type": "rss", "url": "https://feed.example.com/", "enabled": false}, 201, &origin)
	out := map[string][2]string{"project_id": {"1", "9"}, "attachment_id": {who.attached(fmt.Sprint(task.ID)), "9"}}
	for name, id := range map[string]int64{"document_id": doc.ID, "schema_id": schema.ID, "judgements_id": judged.ID, "evaluation_id": tried.ID, "technology_id": technology.ID, "task_id": task.ID, "source_id": origin.ID} {
		if id < 1 || id > 8 {
			t.Fatalf("%s is %d, not of one digit", name, id)
		}
		out[name] = [2]string{fmt.Sprint(id), "9"}
	}
	out["schedule_id"] = [2]string{fmt.Sprint(newSchedule(who)), "9"}
	out["job_id"] = [2]string{fmt.Sprint(latestJob(who)), "97"} // of the same service, which has no third one
	return out
}

func (a *attacker) compare(t *testing.T, client *http.Client, op attackedOp, pair [2]attackCall, want int) {
	t.Helper()
	var took [2][]float64
	warm := *timingSamples / 20
	for n := 0; len(took[0]) < *timingSamples || len(took[1]) < *timingSamples; n++ {
		i := rand.IntN(2) //nolint:gosec // an order, not a secret
		r, err := pair[i].request(a.p.url)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+a.who.token)
		start := time.Now()
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := httputil.DumpResponse(res, true) // to its end, so that the connection serves again
		elapsed := time.Since(start)
		_ = res.Body.Close() // read to its end
		if err != nil || res.StatusCode != want {
			t.Errorf("%s: %v, not %d: %s", pair[i], err, want, body)
			return
		}
		if n >= warm {
			took[i] = append(took[i], float64(elapsed.Microseconds()))
		}
	}
	got := apartBy(took[0], took[1])
	t.Logf("%-24s |t| = %.2f over %d foreign and %d absent", op.id, got, len(took[0]), len(took[1]))
	if got >= leaky {
		t.Errorf("%s: what is another project's can be told from what is not there by the time: |t| = %.1f", op.id, got)
	}
}
