package version

import "testing"

func TestNewerComparesNumbersNotText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"0.10.0", "0.9.9", true}, {"0.9.9", "0.10.0", false}, {"1.0", "1.0.0", false}, {"v2", "1.9", true},
		{"1.0.1", "1.0", true}, {"1.0.0-rc1", "1.0.0", false}, {"garbage", "0.1.0", false},
	} {
		if got := Newer(c.a, c.b); got != c.want {
			t.Errorf("Newer(%q, %q) = %v, want %v", c.a, c.b, got, c.want)
		}
	}
}

func TestInfoNamesTheToolchain(t *testing.T) {
	t.Parallel()
	if i := Get(); i.Version != Product || i.Go == "" || i.Platform == "" {
		t.Fatalf("info = %+v", i)
	}
}

func TestAVersionIsNumbersWithDots(t *testing.T) {
	t.Parallel()
	for v, want := range map[string]bool{
		"0.1.0": true, "v1.2": true, "999": true, "1.2.3-rc.1+abc": true,
		"": false, "garbage": false, "1..2": false, "1.2 ": false, "\x00\x01": false, "1.2\n3": false, "-1": false,
	} {
		if got := Valid(v); got != want {
			t.Errorf("Valid(%q) = %v, want %v", v, got, want)
		}
	}
	if !Valid(Product) {
		t.Errorf("our own version %q is none", Product)
	}
}
