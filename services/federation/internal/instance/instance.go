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

// knows reports whether a heartbeat is older than, or the same as, what is
// known: a message that was replayed.
func (i Instance) knows(hb Heartbeat, now time.Time) bool {
	if hb.Sent.IsZero() || i.Sent.IsZero() {
		return hb.Heard.Before(i.LastHeartbeat) && !i.LastHeartbeat.After(now)
	}
	return !hb.Sent.After(i.Sent)
}

// hear applies a heartbeat. It counts from when it came in, which may be a
// while ago; so what it says may be that the instance is late.
func (i Instance) hear(hb Heartbeat, now time.Time) Instance {
	next := i
	if next.FirstSeen.IsZero() {
		next.FirstSeen = hb.Heard
	}
	next.Slug, next.HubURL, next.Namespace, next.ProductVersion = hb.Slug, hb.HubURL, hb.Namespace, hb.Version
	next.ReportedDegraded, next.Sent = hb.Degraded, hb.Sent
	// Two ways lead to us, and the later news may have come by the faster one.
	// What our clock has not reached was taken down before it was put back.
	if hb.Heard.After(i.LastHeartbeat) || i.LastHeartbeat.After(now) {
		next.LastHeartbeat = hb.Heard
	}
	next.Status = next.StatusAt(now)
	return next
}
