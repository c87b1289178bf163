package ingestion_test

import (
	"testing"

	"github.com/commandcenter/commandcenter/services/ingestion"
)

func TestAServiceWithoutItsPartsIsRefused(t *testing.T) {
	t.Parallel()
	if _, err := ingestion.New(ingestion.Deps{}, ingestion.DefaultConfig()); err == nil {
		t.Error("no database, no bus: no error")
	}
	if _, err := ingestion.New(ingestion.Deps{}, ingestion.Config{}); err == nil {
		t.Error("no workers: no error")
	}
}
