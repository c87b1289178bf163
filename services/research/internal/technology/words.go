package technology

import "slices"

// Domain is what a technology is for.
type Domain string

// Status is how far a project has come with a technology. Any may follow any.
type Status string

// Ring is how far one would go with a technology, as radars have it.
type Ring string

// Quadrant is what kind of thing a technology is, as radars have it.
type Quadrant string

// Some of the words that are named elsewhere.
const (
	Other     Domain = "other"
	Discovery Status = "discovery"
)

// The words, each list in the order in which people read it. They are constants.
var (
	Domains      = []Domain{"audio-dsp", "ai-ml", "music-theory", "performance", "ui-ux", "infrastructure", Other}
	Statuses     = []Status{Discovery, "research", "evaluation", "implementation", "integrated", "archived"}
	Rings        = []Ring{"adopt", "trial", "assess", "hold"}
	Quadrants    = []Quadrant{"techniques", "tools", "platforms", "languages-and-frameworks"}
	difficulties = []string{"trivial", "easy", "moderate", "complex", "very_complex"}
	maturities   = []string{"alpha", "beta", "stable", "mature", "legacy"}
	costTiers    = []string{"free", "freemium", "affordable", "moderate", "expensive", "enterprise"}
)

// Ring is where a technology of the status stands unless it is said.
func (s Status) Ring() Ring {
	switch s {
	case "integrated":
		return "adopt"
	case "evaluation", "implementation":
		return "trial"
	case "archived":
		return "hold"
	}
	return "assess"
}

// Quadrant is where a technology of the domain stands unless it is said.
func (d Domain) Quadrant() Quadrant {
	switch d {
	case "infrastructure":
		return "platforms"
	case "ui-ux":
		return "languages-and-frameworks"
	case "performance", Other:
		return "tools"
	}
	return "techniques"
}

// Distance is how far r is from the centre, 0 for the innermost.
func (r Ring) Distance() int { return slices.Index(Rings, r) }
