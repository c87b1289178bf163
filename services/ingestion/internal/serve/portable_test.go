package serve_test

import (
	"testing"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/services/ingestion/internal/serve"
)

func TestASchemaThatNobodyCouldHaveRegisteredIsRefused(t *testing.T) {
	t.Parallel()
	for row, good := range map[string]bool{
		`{"team":"billing","noun":"invoice","fact":"paid","version":1,"document":{"type":"object"}}`:    true,
		`{"team":"Billing","noun":"invoice","fact":"paid","version":1,"document":{"type":"object"}}`:    false,
		`{"team":"billing","noun":"invoice","fact":"paid","version":0,"document":{"type":"object"}}`:    false,
		`{"team":"billing","noun":"invoice","fact":"paid","version":1,"document":{"type":"spaceship"}}`: false,
		`{"team":"billing","noun":"invoice","fact":"paid","version":1}`:                                 false,
		`{"team":5}`: false,
	} {
		if err := serve.CheckSchema([]byte(row)); (err == nil) != good || !good && errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %v", row, err)
		}
	}
}
