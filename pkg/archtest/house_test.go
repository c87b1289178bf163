package archtest_test

import (
	"testing"

	"github.com/commandcenter/commandcenter/pkg/archtest"
)

// The rules of the module pkg: machinery that names no noun of ours and could
// be lifted into another product.
func TestPkgKeepsTheArrowsOfTheHouse(t *testing.T) {
	t.Parallel()
	m, err := archtest.Load(".")
	if err != nil {
		t.Fatal(err)
	}
	const own = "github.com/commandcenter/commandcenter"
	archtest.Check(t, m.Imports(
		archtest.Rule{
			Name: "pkg knows no service", From: []string{"..."}, Tests: true, Deny: []string{own + "/services/..."},
			Because: "arrows go from services to pkg, and a module that imports them could not be tested alone",
		},
		archtest.Rule{
			Name: "pkg names no noun of ours", From: []string{"..."},
			Deny:    []string{own + "/proto-events/*/v1"},
			Allow:   []string{own + "/proto-events/options/v1", own + "/proto-events/platform/v1"},
			Because: "machinery that knows documents or users cannot serve another product",
		},
		archtest.Rule{
			Name: "kinds of failure and the tenant stand below everything", From: []string{"errs", "tenant"},
			Deny: []string{"./...", "github.com/...", "google.golang.org/..."}, Because: "nouns import them and nothing heavier",
		},
		archtest.Rule{
			Name: "the web framework stays in the gateway", From: []string{"..."}, Tests: true, Deny: []string{"github.com/labstack/..."},
			Because: "a service answers over the bus and does not know that HTTP exists",
		},
		archtest.Rule{
			Name: "tests lean on the standard library", From: []string{"..."}, Tests: true,
			Deny:    []string{"github.com/stretchr/...", "github.com/golang/mock/...", "go.uber.org/mock/..."},
			Because: "a second vocabulary of assertions and mocks of our own parts hide what is tested",
		},
	), m.Names(), m.Testing(), m.Docs(), m.Long(450), m.Sleeps())
}
