package instance

import "time"

// Status is how an instance stands.
type Status string

// The statuses.
const (
	Online   Status = "online"
	Degraded Status = "degraded" // late, or it says so itself
	Offline  Status = "offline"
)

// How long an instance may be silent. Heartbeats come every 30 s.
const (
	DegradedAfter = 60 * time.Second
	OfflineAfter  = 90 * time.Second
)

// Instance is a row of the catalog.
type Instance struct {
	Slug             string
	Status           Status // as last decided
	HubURL           string
	Namespace        string
	ProductVersion   string
	ReportedDegraded bool
	LastHeartbeat    time.Time // by our clock
	Sent             time.Time // by its clock; zero when it says none
	FirstSeen        time.Time
	Version          int // of the row
}

// StatusAt is the status at a time: silence makes it worse, never better.
func (i Instance) StatusAt(now time.Time) Status {
	switch silence := now.Sub(i.LastHeartbeat); {
	case silence >= OfflineAfter:
		return Offline
	case silence > DegradedAfter || i.ReportedDegraded:
		return Degraded
	}
	return Online
}

// Change is a status that was another before.
type Change struct {
	Instance Instance // as it is now
	Previous Status   // "" for an instance never heard of before
}

// hear applies a heartbeat. counts is false for one that is older than, or the
// same as, what is known: a message that was replayed.
func (i Instance) hear(hb Heartbeat, now time.Time) (next Instance, counts bool) {
	if !hb.Sent.IsZero() && !i.Sent.IsZero() && !hb.Sent.After(i.Sent) {
		return i, false
	}
	next = i
	if next.FirstSeen.IsZero() {
		next.FirstSeen = now
	}
	next.Slug, next.HubURL, next.Namespace, next.ProductVersion = hb.Slug, hb.HubURL, hb.Namespace, hb.Version
	next.ReportedDegraded, next.Sent, next.LastHeartbeat = hb.Degraded, hb.Sent, now
	next.Status = next.StatusAt(now)
	return next, true
}
