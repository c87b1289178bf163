package serve_test

import (
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/services/federation/internal/serve"
)

func TestAShareThatNobodyCouldHaveMadeIsRefused(t *testing.T) {
	t.Parallel()
	for row, good := range map[string]bool{
		`{"instance":"north","name":"Apollo"}`: true, `{"instance":"","name":"x"}`: false, `{"instance":"north"}`: false, `{"instance":"north","name":"a\u0007b"}`: false,
		`{"instance":"` + strings.Repeat("n", 101) + `","name":"x"}`: false, `{"instance":5}`: false,
	} {
		if err := serve.CheckShare([]byte(row)); (err == nil) != good || !good && errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %v", row, err)
		}
	}
}
