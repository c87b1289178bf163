package instance

import (
	"math"
	"time"
)

// Status is how an instance stands.
type Status string

// The statuses.
const (
	Online   Status = "online"
	Degraded Status = "degraded" // late, or it says so itself
	Offline  Status = "offline"
)

// How long an instance may be silent. Heartbeats come every 30 s: who is lost
// is degraded before the second one is due, and offline before the fourth.
const (
	DegradedAfter = 50 * time.Second
	OfflineAfter  = 90 * time.Second
)

// The time between heartbeats: of those that do not say theirs, and the
// longest that there is.
const (
	usualInterval = 30 * time.Second
	maxInterval   = 60 * time.Second
)

// How an instance came into the catalog.
const (
	FromHeartbeat = "heartbeat" // it was heard
	FromAPI       = "api"       // somebody registered it
	FromFile      = "file"      // it is in the catalog file
	FromSelf      = "self"      // it is this one
)

// Instance is a row of the catalog.
type Instance struct {
	Number  int64     // of the row, for those who want a number
	Updated time.Time // the row
	Slug    string
	Name    string // for people, "" when nobody gave one
	Tags    []string
	Source  string
	KeyHash []byte // of the key with which it uses the API; nil without one
	// Admitted says that this instance has to do with it: changes are said, and
	// it may take part in searches.
	Admitted bool

	Status           Status // as last decided
	HubURL           string
	Namespace        string
	ProductVersion   string
	Contract         string
	Capabilities     []string
	ReportedDegraded bool
	Load             *float64
	LastHeartbeat    time.Time // by our clock; when it was registered, before the first one
	Sent             time.Time // by its clock; zero when it says none
	FirstSeen        time.Time
	Version          int // of the row

	Key      string // public nkey that signs for it; "" until one was seen or given
	SealKey  string
	OtherKey string // that somebody else has signed with, last
	Sequence int64

	Beats    int           // heartbeats that counted
	Missed   int           // heartbeats that did not come, by the time between those that did
	Interval time.Duration // that it says, 0 when it says none
	Jitter   time.Duration // of the way here, smoothed as in RFC 3550
	Skew     time.Duration // its clock less ours, and the way here; smoothed
}

// Every is the time between its heartbeats.
func (i Instance) Every() time.Duration {
	if i.Interval > 0 {
		return i.Interval
	}
	return usualInterval
}

// StatusAt is the status at a time: silence makes it worse, never better.
func (i Instance) StatusAt(now time.Time) Status {
	late := min(max(DegradedAfter, i.Every()*5/3), OfflineAfter-time.Second)
	switch silence := now.Sub(i.LastHeartbeat); {
	case i.Beats == 0, silence >= OfflineAfter:
		return Offline
	case silence > late || i.ReportedDegraded:
		return Degraded
	}
	return Online
}

// Change is a status that was another before.
type Change struct {
	Instance Instance // as it is now
	Previous Status   // "" for an instance never heard of before
}

// The news of a heartbeat, against what is known.
type news int

const (
	fresh news = iota
	again      // the same one, by another way or once more
	stale      // an older one
)

// news compares a heartbeat with what is known. A sequence counts where it is
// signed; elsewhere anybody could send one that shuts the others out.
func (i Instance) news(hb Heartbeat, now time.Time) news {
	if i.Beats == 0 {
		return fresh
	}
	if hb.Key != "" && hb.Key == i.Key && hb.Sequence > 0 && i.Sequence > 0 {
		return order(hb.Sequence - i.Sequence)
	}
	if hb.Sent.IsZero() || i.Sent.IsZero() {
		if hb.Heard.Before(i.LastHeartbeat) && !i.LastHeartbeat.After(now) {
			return stale
		}
		return fresh
	}
	return order(int64(hb.Sent.Sub(i.Sent)))
}

func order(d int64) news {
	switch {
	case d > 0:
		return fresh
	case d == 0:
		return again
	}
	return stale
}

// hear applies a heartbeat. It counts from when it came in, which may be a
// while ago; so what it says may be that the instance is late.
func (i Instance) hear(hb Heartbeat, now time.Time) Instance {
	next := i.measure(hb)
	if next.FirstSeen.IsZero() {
		next.FirstSeen = hb.Heard
	}
	next.Slug, next.Namespace, next.ProductVersion, next.Contract = hb.Slug, hb.Namespace, hb.Version, hb.Contract
	if hb.HubURL != "" || i.Source == FromHeartbeat || i.Source == "" {
		next.HubURL = hb.HubURL
	}
	next.Capabilities, next.Load, next.ReportedDegraded, next.Sent = hb.Capabilities, hb.Load, hb.Degraded, hb.Sent
	next.Interval, next.SealKey, next.Sequence = hb.Interval, hb.SealKey, hb.Sequence
	if hb.Key != "" {
		next.Key = hb.Key
	}
	// Two ways lead to us, and the later news may have come by the faster one.
	// What our clock has not reached was taken down before it was put back.
	if hb.Heard.After(i.LastHeartbeat) || i.LastHeartbeat.After(now) {
		next.LastHeartbeat = hb.Heard
	}
	next.Status = next.StatusAt(now)
	return next
}

// measure takes down what the times of a heartbeat tell.
func (i Instance) measure(hb Heartbeat) Instance {
	next := i
	next.Beats++
	if !hb.Sent.IsZero() {
		skew := hb.Sent.Sub(hb.Heard)
		if next.Skew += (skew - i.Skew) / 8; i.Beats == 0 {
			next.Skew = skew
		}
	}
	gap := hb.Heard.Sub(i.LastHeartbeat)
	if i.Beats == 0 || gap <= 0 {
		return next
	}
	if n := math.Round(float64(gap)/float64(i.Every())) - 1; n > 0 {
		next.Missed += int(n)
	}
	if !hb.Sent.IsZero() && !i.Sent.IsZero() {
		d := (gap - hb.Sent.Sub(i.Sent)).Abs()
		next.Jitter += (d - i.Jitter) / 16
	}
	return next
}
