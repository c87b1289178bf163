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
			r, err := readShare(row)
			if err != nil {
				return false, err
			}
			_, err = shares.Share(ctx, share.Share{Project: to.Project, Instance: r.Instance, Name: r.Name, By: to.Principal})
			switch errs.KindOf(err) {
			case errs.NotFound, errs.Conflict:
				return false, nil
			}
			return err == nil, err
		},
	}}
}

// exported is what is taken in of a share's row.
type exported struct {
	Instance string `json:"instance"`
	Name     string `json:"name"`
}

func readShare(row []byte) (r exported, err error) {
	if err := json.Unmarshal(row, &r); err != nil {
		return r, errs.Wrap(errs.Invalid, err, "it cannot be read as a share")
	}
	return r, nil
}

// CheckShare refuses a share that nobody could have made.
func CheckShare(row []byte) error {
	r, err := readShare(row)
	switch {
	case err != nil:
		return err
	case r.Instance == "" || len(r.Instance) > 100:
		return errs.New(errs.Invalid, "instance: want from 1 to 100 bytes")
	case r.Name == "":
		return errs.New(errs.Invalid, "name: a share has one")
	}
	return share.CheckName(r.Name)
}
