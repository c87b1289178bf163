package bus_test

import (
	"testing"

	"github.com/commandcenter/commandcenter/pkg/bus"
)

func TestWhatACallHasMadeIsRecordedByItsId(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status     int
		body, want string
	}{
		{201, `{"id":7,"name":"x"}`, "7"},
		{202, `{"id":"p1.auth.x"}`, "p1.auth.x"},
		{201, `{"key":{"id":"k-1","name":"ci"},"secret":"cc_x"}`, "k-1"},
		{201, `{"id":7,"owner":{"id":9}}`, "7"},
		{201, `{"from":{"id":7},"to":{"id":9}}`, ""}, // nobody knows which
		{201, `{"names":["a"],"count":3,"nothing":null}`, ""},
		{201, `[{"id":7}]`, ""},
		{201, `{"id":{"id":7}}`, ""},
		{200, `{"id":7}`, ""}, // it was there before
	} {
		if got := bus.Made(c.status, c.body); got != c.want {
			t.Errorf("%d %s: %q, want %q", c.status, c.body, got, c.want)
		}
	}
}
