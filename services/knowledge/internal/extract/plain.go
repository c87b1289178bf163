package extract

import (
	"context"
	"strings"
)

// plain splits at blank lines. A short first paragraph of one line is the
// title.
func (t *Text) plain(ctx context.Context, src string) error {
	lines := strings.Split(src, "\n")
	start := 0
	flush := func(end int) {
		if end > start {
			t.add(Paragraph, strings.Join(lines[start:end], "\n"), nil, start+1)
		}
		start = end
	}
	for i, l := range lines {
		if i%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if strings.TrimSpace(l) == "" {
			flush(i)
		}
	}
	flush(len(lines))
	if len(t.Blocks) > 1 && len(t.Blocks[0].Text) <= 120 && !strings.Contains(t.Blocks[0].Text, "\n") {
		t.Title = strings.TrimSpace(t.Blocks[0].Text)
	}
	return nil
}
