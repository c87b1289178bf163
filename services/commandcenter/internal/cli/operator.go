package cli

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"os"
	"os/user"
	"strconv"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/natsd"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	platformv1 "github.com/commandcenter/commandcenter/proto-events/platform/v1"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/grants"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/stack"
)

// operator is who types a command that acts by keys or a database of the instance
// and not as somebody who is logged in, as the audit log names it: the account of
// the machine. Whoever has the keys could say something else.
func operator() string {
	name := strconv.Itoa(os.Getuid())
	if u, err := user.Current(); err == nil && u.Username != "" {
		name = u.Username
	}
	if host, err := os.Hostname(); err == nil && host != "" {
		name += "@" + host
	}
	return "operator:" + name
}

// deed is something that is done with the keys of the administrator of the bus.
// No service is asked for it, so none records it.
type deed struct {
	operation string
	project   tenant.Project
	target    []*platformv1.CallTarget
}

// on adds what it was done to.
func (d *deed) on(name, value string) {
	d.target = append(d.target, &platformv1.CallTarget{Name: bus.Clean(name), Value: bus.Clean(value)})
}

// recordWithin is how long a command waits for its record to be kept.
const recordWithin = 5 * time.Second

// recorded does it and tells the audit log how it ended, also when Ctrl-C has ended
// it. The record is a fact of the administrator, whom nobody else can be on the bus:
// the stream keeps it until auth takes it. What is done stays done when it cannot be
// told of; the operator is.
func (e *env) recorded(ctx context.Context, b *bus.Bus, d *deed, do func() error) error {
	began := time.Now()
	err := do()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordWithin)
	defer cancel()
	if told := e.tell(ctx, b, d, began, err); told != nil {
		e.say("This is not in the audit log: %v", told)
	}
	return err
}

// tell says the record, on a connection of its own where b is nil.
func (e *env) tell(ctx context.Context, b *bus.Bus, d *deed, began time.Time, failure error) error {
	if b == nil {
		var err error
		if b, err = e.adminBus(ctx); err != nil {
			return err
		}
		defer b.Close()
	}
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	m := &platformv1.CallRecorded{
		ProjectId: int32(d.project), CallId: id.String(), Version: 1, Service: natsd.UserAdmin, Operation: d.operation, // G115: ids of projects have 31 bits
		Principal: bus.Clean(operator()), KeyId: adminKey, Target: d.target, Status: http.StatusOK, AcceptedAt: timestamppb.New(began), Count: 1,
	}
	if failure != nil {
		m.Status, m.Reason = 0, reasonOf(failure)
	}
	return b.Say(ctx, m, id, began)
}

// reasonOf is the kind of a failure, in a word of the audit log.
func reasonOf(err error) string {
	switch {
	case errors.Is(err, context.Canceled):
		return bus.Interrupted
	case errors.Is(err, grants.ErrNone):
		return string(errs.NotFound)
	case errors.Is(err, stack.ErrKeysGiven):
		return string(errs.Conflict)
	}
	return string(cmp.Or(errs.KindOf(err), errs.Internal))
}

// adminKey stands in a record where that of a call has its API key.
const adminKey = "bus:admin"
