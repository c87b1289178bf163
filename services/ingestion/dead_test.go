package ingestion_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	ingestionv1 "github.com/commandcenter/commandcenter/proto-events/ingestion/v1"
	platformv1 "github.com/commandcenter/commandcenter/proto-events/platform/v1"
)

// ask asks the service as somebody of a project.
func (w *world) ask(operation, payload string, p tenant.Project, role tenant.Role) (*bus.Answer, error) {
	ctx, cancel := context.WithTimeout(w.t.Context(), bustest.Patience)
	defer cancel()
	return w.Bus("gateway").Request(ctx, bus.Target{Service: "ingestion", Operation: operation, Project: p}, bustest.Person(1, p, role), []byte(payload))
}

type letters struct {
	Items []struct {
		Seq                     json.Number
		Service, Error, Subject string
	}
	Next *int64 `json:"next_after"`
}

func (w *world) letters(payload string, p tenant.Project) (l letters) {
	w.t.Helper()
	a, err := w.ask("listDeadLetters", payload, p, tenant.Admin)
	if err == nil {
		err = json.Unmarshal(a.Body, &l)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return l
}

func TestAnAdminSeesAndRedrivesWhatWasGivenUpInTheProject(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	heard, mend := make(chan int32, 20), make(chan struct{})
	in := bus.NewInbox(w.Bus("knowledge"), bus.InboxConfig{Service: "knowledge"})
	bus.Handle(in, func(_ context.Context, _ bus.Meta, e *ingestionv1.FactAccepted) error {
		heard <- e.GetVersion()
		select {
		case <-mend:
			return nil
		default:
			return bus.Bury(errors.New("no room"))
		}
	})
	w.Run(in, bus.NewServer(w.Bus("knowledge"), bus.ServerConfig{}))
	for v := int32(1); v <= 3; v++ {
		w.Say(&ingestionv1.FactAccepted{ProjectId: 1, FactId: "docs/1", Version: v})
		bustest.Await(w.Env, heard)
	}
	w.Say(&ingestionv1.FactAccepted{ProjectId: 2, FactId: "docs/9", Version: 9})
	bustest.Await(w.Env, heard)
	// The last is stored after it was heard.
	bustest.Eventually(w.Env, func() bool { return len(w.letters(`{"limit":10}`, 2).Items) > 0 })
	all := w.letters(`{"limit":10}`, 1)
	first := all.Items[0]
	if len(all.Items) != 3 || all.Next != nil || first.Service != "knowledge" || !strings.Contains(first.Error, "no room") || first.Subject != "evt.p1.ingestion.fact.accepted.v1" {
		t.Fatalf("%+v", all)
	}
	if l := w.letters(`{"limit":2}`, 1); len(l.Items) != 2 || l.Next == nil {
		t.Errorf("a page: %+v", l)
	}
	if l := w.letters(`{"limit":2,"service":"auth"}`, 1); len(l.Items) != 0 {
		t.Errorf("of auth: %+v", l)
	}
	seq := `{"seq":` + first.Seq.String() + `}`
	if a, err := w.ask("getDeadLetter", seq, 1, tenant.Admin); err != nil || !strings.Contains(string(a.Body), `\"version\":1`) || !strings.Contains(string(a.Body), `"ce-id"`) {
		t.Errorf("%+v %v", a, err)
	}
	if _, err := w.ask("getDeadLetter", seq, 2, tenant.Admin); errs.KindOf(err) != errs.NotFound {
		t.Errorf("of another project: %v", err)
	}
	if _, err := w.ask("listDeadLetters", `{}`, 1, tenant.Member); errs.KindOf(err) != errs.Forbidden {
		t.Errorf("a member: %v", err)
	}
	for _, operation := range []string{"redriveDeadLetter", "discardDeadLetter", "purgeDeadLetters"} {
		if _, err := w.command(operation, seq, tenant.Member); errs.KindOf(err) != errs.Forbidden {
			t.Errorf("%s by a member: %v", operation, err)
		}
	}
	elsewhere := `{"seq":` + w.letters(`{"limit":1}`, 2).Items[0].Seq.String() + `}`
	if _, err := w.command("redriveDeadLetter", elsewhere, tenant.Admin); errs.KindOf(err) != errs.NotFound {
		t.Errorf("redrive in another project: %v", err)
	}
	close(mend)
	if _, err := w.command("redriveDeadLetter", seq, tenant.Admin); err != nil {
		t.Fatalf("redrive: %v", err)
	}
	if v := bustest.Await(w.Env, heard); v != 1 {
		t.Errorf("redriven: version %d", v)
	}
	if _, err := w.command("redriveDeadLetter", seq, tenant.Admin); errs.KindOf(err) != errs.NotFound {
		t.Errorf("again: %v", err)
	}
	if _, err := w.command("discardDeadLetter", `{"seq":`+all.Items[1].Seq.String()+`}`, tenant.Admin); err != nil {
		t.Errorf("discard: %v", err)
	}
	if a, err := w.command("purgeDeadLetters", `{}`, tenant.Admin); err != nil || string(a.Body) != `{"more":false,"removed":1}` {
		t.Errorf("purge: %+v %v", a, err)
	}
	if l := w.letters(`{"limit":10}`, 2); len(l.Items) != 1 {
		t.Errorf("the other project's: %+v", l)
	}
}

// What a service could not write into the audit log waits there until it can: no
// admin of the project makes it go, who may be whom it is about.
func TestRecordsOfTheAuditLogAreNotDiscarded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	heard, mend := make(chan string, 20), make(chan struct{})
	in := bus.NewInbox(w.Bus("auth"), bus.InboxConfig{Service: "auth"})
	bus.Handle(in, func(_ context.Context, _ bus.Meta, e *platformv1.CallRecorded) error {
		if e.GetCallId() != "c-1" { // what the calls of this test leave behind
			return nil
		}
		heard <- e.GetCallId()
		select {
		case <-mend:
			return nil
		default:
			return bus.Bury(errors.New("no room"))
		}
	})
	knows := bus.NewInbox(w.Bus("knowledge"), bus.InboxConfig{Service: "knowledge"})
	bus.Handle(knows, func(context.Context, bus.Meta, *ingestionv1.FactAccepted) error {
		return bus.Bury(errors.New("no room"))
	})
	w.Run(in, knows, bus.NewServer(w.Bus("auth"), bus.ServerConfig{}))
	said := &platformv1.CallRecorded{ProjectId: 1, CallId: "c-1", Version: 1, Service: "gateway", Operation: "deleteDocument", Principal: "user:1", Count: 1, AcceptedAt: timestamppb.Now()}
	if err := w.Bus("gateway").Say(t.Context(), said, uuid.New(), said.GetAcceptedAt().AsTime()); err != nil {
		t.Fatal(err)
	}
	bustest.Await(w.Env, heard)
	w.Say(&ingestionv1.FactAccepted{ProjectId: 1, FactId: "docs/1", Version: 1})
	bustest.Eventually(w.Env, func() bool { return len(w.letters(`{"limit":10}`, 1).Items) == 2 })
	record := w.letters(`{"limit":10,"service":"auth"}`, 1).Items[0]
	if _, err := w.command("discardDeadLetter", `{"seq":`+record.Seq.String()+`}`, tenant.Admin); errs.KindOf(err) != errs.Forbidden {
		t.Errorf("discard: %v", err)
	}
	if a, err := w.command("purgeDeadLetters", `{}`, tenant.Owner); err != nil || string(a.Body) != `{"more":false,"removed":1}` {
		t.Errorf("purge: %+v %v", a, err)
	}
	if l := w.letters(`{"limit":10}`, 1); len(l.Items) != 1 || l.Items[0].Seq != record.Seq {
		t.Errorf("left: %+v", l)
	}
	close(mend)
	if _, err := w.command("redriveDeadLetter", `{"seq":`+record.Seq.String()+`}`, tenant.Admin); err != nil {
		t.Errorf("redrive: %v", err)
	}
	if id := bustest.Await(w.Env, heard); id != "c-1" {
		t.Errorf("redriven: %s", id)
	}
}
