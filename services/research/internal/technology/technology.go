package technology

import (
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// Technology is something that a project looks at.
type Technology struct {
	ID int64 `json:"id" db:"id"`
	Draft
	Version   int64     `json:"version" db:"version"` // raised with every change, from 1
	CreatedBy string    `json:"-" db:"created_by"`    // principal
	CreatedAt time.Time `json:"created_at" db:"created_at"`
	UpdatedAt time.Time `json:"updated_at" db:"updated_at"`
}

// Draft is what people say of a technology. Empty texts are as good as none.
type Draft struct {
	Title            string       `json:"title" db:"title"`
	Vendor           *string      `json:"vendor" db:"vendor"`
	Domain           Domain       `json:"domain" db:"domain"`
	Status           Status       `json:"status" db:"status"`
	Ring             *Ring        `json:"ring" db:"ring"`         // nil follows Status
	Quadrant         *Quadrant    `json:"quadrant" db:"quadrant"` // nil follows Domain
	Relevance        int          `json:"relevance_score" db:"relevance_score"`
	Priority         int          `json:"priority" db:"priority"` // 5 is the highest
	Description      *string      `json:"description" db:"description"`
	Notes            *string      `json:"notes" db:"notes"`
	UseCases         *string      `json:"use_cases" db:"use_cases"`
	DocumentationURL *string      `json:"documentation_url" db:"documentation_url"`
	RepositoryURL    *string      `json:"repository_url" db:"repository_url"`
	WebsiteURL       *string      `json:"website_url" db:"website_url"`
	Tags             *string      `json:"tags" db:"tags"`             // separated by commas
	LatencyMS        *float64     `json:"latency_ms" db:"latency_ms"` // the 99th percentile
	ThroughputQPS    *int64       `json:"throughput_qps" db:"throughput_qps"`
	Difficulty       *string      `json:"integration_difficulty" db:"integration_difficulty"`
	IntegrationDays  *int         `json:"integration_time_estimate_days" db:"integration_time_estimate_days"`
	Maturity         *string      `json:"maturity_level" db:"maturity_level"`
	Stability        *int         `json:"stability_score" db:"stability_score"` // 0 to 100
	CostTier         *string      `json:"cost_tier" db:"cost_tier"`
	CostMonthlyUSD   *float64     `json:"cost_monthly_usd" db:"cost_monthly_usd"`
	Dependencies     Dependencies `json:"dependencies" db:"dependencies"`
	Alternatives     *string      `json:"alternatives" db:"alternatives"` // ids, separated by commas
	LastHNMention    *time.Time   `json:"last_hn_mention" db:"last_hn_mention"`
	HNScoreAvg       *int         `json:"hn_score_avg" db:"hn_score_avg"`
	GitHubStars      *int64       `json:"github_stars" db:"github_stars"`
	GitHubLastCommit *time.Time   `json:"github_last_commit" db:"github_last_commit"`
}

// New is a draft of which nothing is said yet.
func New() Draft { return Draft{Domain: Other, Status: Discovery, Relevance: 50, Priority: 3} }

// OnRing is the ring on which it stands.
func (d Draft) OnRing() Ring {
	if d.Ring != nil {
		return *d.Ring
	}
	return d.Status.Ring()
}

// InQuadrant is the quadrant in which it stands.
func (d Draft) InQuadrant() Quadrant {
	if d.Quadrant != nil {
		return *d.Quadrant
	}
	return d.Domain.Quadrant()
}

// Move is a change of status or ring. The first one of a technology is from nothing.
type Move struct {
	TechnologyID int64     `json:"technology_id" db:"technology_id"`
	Version      int64     `json:"version" db:"version"`
	FromStatus   *Status   `json:"from_status" db:"from_status"`
	ToStatus     Status    `json:"to_status" db:"to_status"`
	FromRing     *Ring     `json:"from_ring" db:"from_ring"`
	ToRing       Ring      `json:"to_ring" db:"to_ring"`
	By           string    `json:"moved_by" db:"moved_by"` // principal
	At           time.Time `json:"moved_at" db:"moved_at"`
}

// MaxPerProject bounds how many technologies a project may have.
const MaxPerProject = 20_000

// The refusals.
var (
	ErrNotFound = errs.New(errs.NotFound, "technology not found")
	ErrExists   = errs.New(errs.Conflict, "a technology of this title already exists")
	ErrMany     = errs.New(errs.Conflict, "a project has at most 20,000 technologies: delete some first")
	ErrMoved    = errs.New(errs.Precondition, "the technology has changed since it was read: read it again")
)
