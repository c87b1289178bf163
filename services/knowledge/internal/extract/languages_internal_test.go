package extract

import "testing"

func TestEveryPatternOfALanguageCompilesAndNamesWhatItFinds(t *testing.T) {
	t.Parallel()
	for name, l := range languages {
		if len(l.units()) == 0 {
			t.Errorf("%s has no declarations", name)
		}
		for _, re := range append(l.containers(), l.units()...) {
			if re.SubexpIndex("name") < 0 {
				t.Errorf("%s: %s names nothing", name, re)
			}
		}
	}
}
