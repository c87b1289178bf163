package cli

import (
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
)

func TestProjectsArePickedByIdNameOrSlug(t *testing.T) {
	t.Parallel()
	all := []client.ProjectResponse{
		{Id: 1, Name: "a"},
		{Id: 2, Name: "b"},
		{Id: 3, Name: "b"},
		{Id: 4, Name: "1"},
		{Id: 5, Name: "Moon Landing (1969)"},
		{Id: 6, Name: "p4"},
		{Id: 7, Name: "Über uns"},
		{Id: 8, Name: "Same name"},
		{Id: 9, Name: "same-name"},
		{Id: 10, Name: "!!!"},
	}
	for want, id := range map[string]int64{
		"a": 1, "A": 1, "3": 3, "1": 1, "p5": 5, "p4": 6, "moon-landing-1969": 5, "Moon Landing (1969)": 5, "MOON LANDING 1969": 5, "über-uns": 7, "same-name": 9, "Same name": 8, "!!!": 10,
	} {
		if p, err := pick(all, want); err != nil || p.Id != id {
			t.Errorf("%s: %+v %v", want, p, err)
		}
	}
	for want, ids := range map[string]string{"b": "2, 3", "same name": "8, 9"} {
		if _, err := pick(all, want); exitCode(err) != exitUsage || !strings.Contains(err.Error(), ids) {
			t.Errorf("%s is several: %v", want, err)
		}
	}
	for _, want := range []string{"c", "", "?", "99", "p99"} {
		if _, err := pick(all, want); exitCode(err) != exitNotFound {
			t.Errorf("%q is none: %v", want, err)
		}
	}
}
