package feed

import (
	"strings"

	ext "github.com/mmcdole/gofeed/extensions"
)

func text(all []ext.Extension) string {
	if len(all) == 0 {
		return ""
	}
	return strings.TrimSpace(all[0].Value)
}
