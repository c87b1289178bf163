package session

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Holder is whom an access token speaks for.
type Holder struct {
	UserID  int64
	Email   string
	Session uuid.UUID
}

// Pair is what a login or a refresh gives.
type Pair struct {
	Access    string
	Refresh   string
	ExpiresIn time.Duration // of Access
	Holder    Holder
}

// Service opens, continues and ends sessions.
type Service struct {
	Sessions store
	Tokens   issuer
	Rules    Rules
	Now      func() time.Time
	// Stolen, when set, is told of each session that ended because a token came
	// back after it was traded.
	Stolen func(ctx context.Context, s Session)
	// Refused, when set, is told of each token that belongs to a session and is worth
	// nothing any more, and why: [StolenReason] or [EndedReason].
	Refused func(ctx context.Context, userID int64, why string)
}

// Next is a refresh token to be kept.
type Next struct {
	Hash      []byte // SHA-256
	ExpiresAt time.Time
	From      Place // where the session goes on
}

type store interface {
	// Open keeps a new session and its first token, or returns [ErrChanged] when the
	// account has another version by now.
	Open(ctx context.Context, s Session, version int64, first Next) error
	// Trade finds the token with that hash, locks it and its session, asks
	// judge, and does in the same transaction what the verdict says: keep next
	// and mark the old one as traded, or end the session and say so in an event.
	// found is false when there is no such token.
	Trade(ctx context.Context, hash []byte, now time.Time, judge func(Stored) (Verdict, Next)) (s Stored, v Verdict, found bool, err error)
	// Revoke ends a live session of that user and says so in an event. Ended is
	// false when there was none.
	Revoke(ctx context.Context, id uuid.UUID, userID int64, now time.Time, reason string) (ended bool, err error)
}

type issuer interface {
	// Issue signs an access token and returns it with the time it lives.
	Issue(ctx context.Context, userID int64, email, session string, now time.Time) (token string, life time.Duration, err error)
	// IsAccess reports whether text is an access token that this instance signed.
	IsAccess(ctx context.Context, text string) bool
}

// Open begins a session of the user, or returns [ErrChanged].
func (s Service) Open(ctx context.Context, who Login) (Pair, error) {
	now := s.Now()
	id, err := uuid.NewRandom()
	if err != nil {
		return Pair{}, fmt.Errorf("make session id: %w", err)
	}
	plain, hash, err := newSecret()
	if err != nil {
		return Pair{}, err
	}
	fresh := Session{ID: id, UserID: who.UserID, CreatedAt: now, ExpiresAt: s.Rules.expiry(now, now), From: who.From}
	if err := s.Sessions.Open(ctx, fresh, who.Version, Next{Hash: hash, ExpiresAt: fresh.ExpiresAt}); err != nil {
		return Pair{}, fmt.Errorf("open session: %w", err)
	}
	return s.pair(ctx, Holder{UserID: who.UserID, Email: who.Email, Session: id}, plain, now)
}

// Refresh trades a refresh token for a new pair. It returns [ErrType] for an
// access token and [ErrInvalid] for everything else that is not a live token
// of a live session.
func (s Service) Refresh(ctx context.Context, token string, from Place) (Pair, error) {
	if err := checkForm(token); err != nil {
		if s.Tokens.IsAccess(ctx, token) {
			return Pair{}, ErrType
		}
		return Pair{}, ErrInvalid.Because(err)
	}
	plain, hash, err := newSecret()
	if err != nil {
		return Pair{}, err
	}
	now := s.Now()
	old, verdict, found, err := s.Sessions.Trade(ctx, digest(token), now, func(old Stored) (Verdict, Next) {
		return s.Rules.Judge(old, now), Next{Hash: hash, ExpiresAt: s.Rules.expiry(old.Session.CreatedAt, now), From: from}
	})
	switch {
	case err != nil:
		return Pair{}, fmt.Errorf("trade refresh token: %w", err)
	case !found:
		return Pair{}, ErrInvalid
	case verdict == Revoke && s.Stolen != nil:
		s.Stolen(ctx, old.Session)
	}
	if verdict != Trade {
		if s.Refused != nil {
			s.Refused(ctx, old.Session.UserID, old.why())
		}
		return Pair{}, ErrInvalid
	}
	return s.pair(ctx, Holder{UserID: old.Session.UserID, Email: old.Email, Session: old.Session.ID}, plain, now)
}

// Close ends the caller's session. To end one that has ended is no failure.
func (s Service) Close(ctx context.Context, userID int64, session string) error {
	id, err := uuid.Parse(session)
	if err != nil {
		return ErrEnded
	}
	if _, err := s.Sessions.Revoke(ctx, id, userID, s.Now(), LogoutReason); err != nil {
		return fmt.Errorf("close session: %w", err)
	}
	return nil
}

func (s Service) pair(ctx context.Context, h Holder, refresh string, now time.Time) (Pair, error) {
	access, life, err := s.Tokens.Issue(ctx, h.UserID, h.Email, h.Session.String(), now)
	if err != nil {
		return Pair{}, fmt.Errorf("issue access token: %w", err)
	}
	return Pair{Access: access, Refresh: refresh, ExpiresIn: life, Holder: h}, nil
}
