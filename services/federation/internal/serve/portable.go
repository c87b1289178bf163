package serve

import (
	"context"
	"encoding/json"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/portable"
	"github.com/commandcenter/commandcenter/services/federation/internal/share"
)

// Import is how the service takes in what was exported. A share opens a project
// to another instance, so that it is taken in for those alone who ask for it, and
// where that instance is known.
func Import(shares share.Service) portable.Importer {
	return portable.Importer{Rows: map[string]func(ctx context.Context, to portable.Destination, row []byte) (bool, error){
		"shares": func(ctx context.Context, to portable.Destination, row []byte) (bool, error) {
			if !to.Shares {
				return false, nil
			}
			var r struct {
				Instance string `json:"instance"`
				Name     string `json:"name"`
			}
			if err := json.Unmarshal(row, &r); err != nil {
				return false, errs.Wrap(errs.Invalid, err, "a share cannot be read")
			}
			_, err := shares.Share(ctx, share.Share{Project: to.Project, Instance: r.Instance, Name: r.Name, By: to.Principal})
			switch errs.KindOf(err) {
			case errs.NotFound, errs.Conflict:
				return false, nil
			}
			return err == nil, err
		},
	}}
}
