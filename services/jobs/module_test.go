package jobs_test

import (
	"testing"

	"github.com/commandcenter/commandcenter/services/jobs"
)

func TestAServiceWithoutItsPartsIsRefused(t *testing.T) {
	t.Parallel()
	if _, err := jobs.New(jobs.Deps{}, jobs.DefaultConfig()); err == nil {
		t.Error("no database, no bus: no error")
	}
	if _, err := jobs.New(jobs.Deps{}, jobs.Config{}); err == nil {
		t.Error("no workers: no error")
	}
}
