package research_test

import (
	"testing"

	"github.com/commandcenter/commandcenter/services/research"
)

func TestAServiceWithoutItsPartsIsRefused(t *testing.T) {
	t.Parallel()
	if _, err := research.New(research.Deps{}, research.DefaultConfig()); err == nil {
		t.Error("no database, no bus: no error")
	}
	if _, err := research.New(research.Deps{}, research.Config{}); err == nil {
		t.Error("no workers: no error")
	}
}
