package pg

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"net"

	"github.com/lib/pq"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// UniqueViolation reports whether err is a broken unique or primary key. With
// a constraint it must be that one; "" means any.
func UniqueViolation(err error, constraint string) bool {
	return violation(err, "23505", constraint)
}

// ForeignKeyViolation reports whether err is a reference to nothing, or the
// removal of what is referred to. "" means any constraint.
func ForeignKeyViolation(err error, constraint string) bool {
	return violation(err, "23503", constraint)
}

// CheckViolation reports whether err is a broken CHECK. "" means any.
func CheckViolation(err error, constraint string) bool {
	return violation(err, "23514", constraint)
}

// NoRows reports whether err says that a single-row query found nothing.
func NoRows(err error) bool { return errors.Is(err, sql.ErrNoRows) }

// PolicyViolation reports whether err is a row that belongs to another project
// than the transaction, or a missing grant.
func PolicyViolation(err error) bool { return violation(err, "42501", "") }

func violation(err error, code, constraint string) bool {
	var e *pq.Error
	return errors.As(err, &e) && string(e.Code) == code && (constraint == "" || e.Constraint == constraint)
}

// classify gives what is no fault of the statement its kind: a database that
// is away is unavailable, a statement cut off by its limit is a timeout.
// Failures that already have a kind keep it.
func classify(err error) error {
	if err == nil {
		return nil
	}
	var known *errs.Error
	if errors.As(err, &known) {
		return err
	}
	var e *pq.Error
	if errors.As(err, &e) {
		switch {
		case e.Code == "57014": // query_canceled, by statement_timeout unless ctx ended
			return errs.Wrap(errs.Timeout, err, "the database took too long")
		case e.Code == "55P03", e.Code == "40001", e.Code == "40P01":
			return errs.Wrap(errs.Unavailable, err, "the database is busy, try again")
		case e.Code.Class() == "08", e.Code.Class() == "53", e.Code.Class() == "57":
			return errs.Wrap(errs.Unavailable, err, "the database is not available")
		}
		return err
	}
	var n net.Error
	if errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) || errors.As(err, &n) {
		return errs.Wrap(errs.Unavailable, err, "the database is not available")
	}
	return err
}
