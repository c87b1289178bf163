package serve

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// metrics are the figures of the edge, under the names that the dashboards of
// the first system ask for. handler is the path of the contract, never a path
// that a caller made up.
type metrics struct {
	requests   *prometheus.CounterVec   // method, handler, status
	duration   *prometheus.HistogramVec // method, handler
	answered   *prometheus.CounterVec   // bytes; handler
	errors     *prometheus.CounterVec   // endpoint, status_code, error_type
	limited    *prometheus.CounterVec   // rule
	inFlight   prometheus.Gauge
	streams    prometheus.Gauge
	panics     prometheus.Counter
	factsTold  *prometheus.CounterVec // how
	cutStreams *prometheus.CounterVec // reason
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "http_requests_total", Help: "Calls answered."}, []string{"method", "handler", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "http_request_duration_seconds", Help: "Time from the first byte read to the last byte written.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"method", "handler"}),
		answered: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "http_response_size_bytes_total", Help: "Bytes of answers."}, []string{"handler"}),
		errors:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "commandcenter_errors_total", Help: "Calls answered with a 5xx, by what went wrong."}, []string{"endpoint", "status_code", "error_type"}),
		limited:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "http_requests_limited_total", Help: "Calls refused with 429, by rule."}, []string{"rule"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{Name: "http_requests_inprogress", Help: "Calls in hand."}),
		streams:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "http_event_streams_open", Help: "Event streams being followed."}),
		panics:   prometheus.NewCounter(prometheus.CounterOpts{Name: "http_panics_total", Help: "Handlers that panicked. Every one is a bug."}),
	}
	m.factsTold = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "http_event_stream_facts_total", Help: "Facts told to open streams: live, or from the stream of facts to catch up."}, []string{"how"})
	m.cutStreams = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "http_event_streams_cut_total", Help: "Streams of facts that were ended by the gateway, by reason: slow readers, ended rights."}, []string{"reason"})
	if reg == nil {
		return m, nil
	}
	var faulty []error
	for _, c := range []prometheus.Collector{m.requests, m.duration, m.answered, m.errors, m.limited, m.inFlight, m.streams, m.panics, m.factsTold, m.cutStreams} {
		faulty = append(faulty, reg.Register(c))
	}
	if err := errors.Join(faulty...); err != nil {
		return nil, fmt.Errorf("gateway metrics: %w", err)
	}
	return m, nil
}

// series are the counters of one route, found once.
type series struct {
	duration prometheus.Observer
	ok       prometheus.Counter // of the status of success
	bytes    prometheus.Counter
}

func (m *metrics) series(method, handler string, success int) series {
	return series{
		duration: m.duration.WithLabelValues(method, handler),
		ok:       m.requests.WithLabelValues(method, handler, strconv.Itoa(success)),
		bytes:    m.answered.WithLabelValues(handler),
	}
}

func (m *metrics) observe(route *route, r *http.Request, status int, size int64, took time.Duration, k *call) {
	if route.op == nil {
		m.requests.WithLabelValues(known(r.Method), "", strconv.Itoa(status)).Inc()
		return
	}
	if status == route.op.Success {
		route.ok.Inc()
	} else {
		m.requests.WithLabelValues(route.op.Method, route.op.Path, strconv.Itoa(status)).Inc()
	}
	if !k.long {
		route.duration.Observe(took.Seconds())
	}
	route.bytes.Add(float64(size))
	if status >= http.StatusInternalServerError && k.err != nil {
		m.errors.WithLabelValues(route.op.Path, strconv.Itoa(status), string(errs.KindOf(k.err))).Inc()
	}
}

// known keeps made-up methods out of the labels.
func known(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}
