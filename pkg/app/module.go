package app

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Module is a service as a value. A process is a list of them.
type Module struct {
	Name       string   // of the service
	Parts      []Part   // started in this order, stopped in reverse
	Checks     []Check  // what its health is made of
	Operations []string // operations of the contract that it answers
}

// Part returns the module as one part: its parts in order.
func (m *Module) Part() Part { return InOrder(m.Name, m.Parts...) }

// Check is one health check. Check returns nil when all is well, an error of
// [Degraded] when the service works with less than usual, and any other error
// when it does not work. It must honour ctx.
type Check struct {
	Name  string
	Check func(ctx context.Context) error
}

// Degraded returns the error of a check that says: this works, but with less
// than usual; msg says what is missing and how to mend it.
func Degraded(msg string) error { return &degraded{msg} }

type degraded struct{ msg string }

func (d *degraded) Error() string { return d.msg }

// IsDegraded reports whether err is, or wraps, an error of [Degraded].
func IsDegraded(err error) bool {
	var d *degraded
	return errors.As(err, &d)
}

// Status is the outcome of a check, in the words of the health answers.
type Status string

// The outcomes, best first.
const (
	StatusHealthy   Status = "healthy"
	StatusDegraded  Status = "degraded"
	StatusUnhealthy Status = "unhealthy"
)

// StatusOf returns the status that err of a check stands for.
func StatusOf(err error) Status {
	switch {
	case err == nil:
		return StatusHealthy
	case IsDegraded(err):
		return StatusDegraded
	}
	return StatusUnhealthy
}

// Result is the outcome of one check.
type Result struct {
	Name   string
	Status Status
	Err    error // nil when healthy
	Took   time.Duration
}

// RunChecks runs all checks at the same time, each within the given time, and
// returns their results in the order of the checks. A check that ignores its
// context is reported as unhealthy and left behind.
func RunChecks(ctx context.Context, within time.Duration, checks ...Check) []Result {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	results := make([]Result, len(checks))
	var wg sync.WaitGroup
	for i, c := range checks {
		wg.Go(func() {
			began := time.Now()
			done := make(chan error, 1)
			go func() { done <- c.Check(ctx) }()
			var err error
			select {
			case err = <-done:
			case <-ctx.Done():
				err = context.Cause(ctx)
			}
			results[i] = Result{Name: c.Name, Status: StatusOf(err), Err: err, Took: time.Since(began)}
		})
	}
	wg.Wait()
	return results
}
