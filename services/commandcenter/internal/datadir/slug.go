package datadir

import (
	"fmt"
	"path/filepath"
)

// Slug returns the name of this instance among others, which is what suggest
// returned at the first call: a machine that is renamed stays the same
// instance. It is with the keys, so that processes with a copy of them agree.
func (d *Dir) Slug(suggest func() string) (string, error) {
	slug, _, err := keepOrMake(filepath.Join(d.Keys(), "slug"), suggest)
	if err != nil {
		return "", fmt.Errorf("name of this instance: %w (federation.slug, CC_FEDERATION_SLUG, sets it)", err)
	}
	return slug, nil
}
