package auth

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	logins *prometheus.CounterVec
	stolen prometheus.Counter
}

func newMetrics(r prometheus.Registerer) (metrics, error) {
	m := metrics{
		logins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "auth_logins_total", Help: "Logins by outcome: ok, or the kind of the failure.",
		}, []string{"outcome"}),
		stolen: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "auth_sessions_stolen_total", Help: "Sessions that ended because a refresh token came back after it was traded.",
		}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.logins, m.stolen} {
		if err := r.Register(c); err != nil {
			return m, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}
