package manifests_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"

	"github.com/commandcenter/commandcenter/pkg/obs"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/cli"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/stack"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/version"
)

// product is what the manifests are compared with.
type product struct {
	settings map[string]bool   // names of environment variables
	ops      string            // address of the listener that every role has
	monitor  string            // of a NATS server's monitor
	files    map[string]string // by path below deployments, and docker-compose.yml
}

// theProduct starts what is asked.
func theProduct(t *testing.T) *product {
	t.Helper()
	p := &product{settings: map[string]bool{}, files: map[string]string{}}
	for _, name := range []string{"README.md", "nats/cluster.conf", "otel/collector.yaml", "prometheus/adapter.yaml", "prometheus/alerts.yaml", "../docker-compose.yml"} {
		data, err := os.ReadFile(filepath.Join(top, "deployments", name))
		if err != nil {
			t.Fatal(err)
		}
		p.files[filepath.Base(name)] = string(data)
	}
	for _, e := range configured(t) {
		p.settings[e.Env] = true
	}
	ops := obs.NewOps("127.0.0.1:0", obs.Registry(), nil)
	if err := ops.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ops.Stop(t.Context()) })
	p.ops = ops.Addr()
	nats, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, HTTPHost: "127.0.0.1", HTTPPort: -1, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	nats.Start()
	t.Cleanup(func() { nats.Shutdown(); nats.WaitForShutdown() })
	if !nats.ReadyForConnections(10 * time.Second) {
		t.Fatal("NATS does not start")
	}
	p.monitor = nats.MonitorAddr().String()
	return p
}

type setting struct{ Env, Value string }

// configured is what `config list` says.
func configured(t *testing.T) (entries []setting) {
	t.Helper()
	var out, errs bytes.Buffer
	if code := cli.Run(t.Context(), []string{"config", "list", "--json"}, cli.Streams{In: strings.NewReader(""), Out: &out, Err: &errs}); code != 0 {
		t.Fatalf("config list: %d %s", code, errs.String())
	}
	if err := json.Unmarshal(out.Bytes(), &entries); err != nil || len(entries) == 0 {
		t.Fatalf("%v: %s", err, out.String())
	}
	return entries
}

func answers(address, uri string) error {
	res, err := http.Get("http://" + address + uri) //nolint:gosec,noctx // G107: a listener of this test
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s", res.Status, body)
	}
	return err
}

func ours(box corev1.Container) bool { return strings.HasPrefix(box.Image, "commandcenter:") }

// probesAskWhatAnswers: all three of every container, at addresses that answer,
// and the restart later than the end of readiness.
func (p *product) probesAskWhatAnswers(c *cluster) (out complaints) {
	for _, w := range c.serving() {
		for _, box := range w.template.Spec.Containers {
			for kind, probe := range map[string]*corev1.Probe{"startup": box.StartupProbe, "readiness": box.ReadinessProbe, "liveness": box.LivenessProbe} {
				if probe == nil {
					out.addf("%s/%s has no %s probe", w, box.Name, kind)
					continue
				}
				if err := p.asks(box, probe); err != nil {
					out.addf("%s/%s, %s: %v", w, box.Name, kind, err)
				}
			}
			if l := box.LivenessProbe; l != nil && ours(box) && l.HTTPGet != nil && l.HTTPGet.Path != "/health/live" {
				out.addf("%s is restarted when a part that it needs is away", w)
			}
		}
	}
	return out
}

func (p *product) asks(box corev1.Container, probe *corev1.Probe) error {
	get := probe.HTTPGet
	switch {
	case probe.Exec != nil:
		command := probe.Exec.Command
		u, err := url.Parse(command[len(command)-1])
		if err != nil {
			return err
		}
		if !strings.Contains(p.files["cluster.conf"], "\nhttp: "+u.Host+"\n") {
			return fmt.Errorf("cluster.conf does not listen at %s", u.Host)
		}
		return answers(p.monitor, u.RequestURI())
	case get == nil:
		return fmt.Errorf("asks nothing: %+v", probe)
	}
	i := slices.IndexFunc(box.Ports, func(b corev1.ContainerPort) bool { return b.Name == get.Port.StrVal })
	if i < 0 {
		return fmt.Errorf("no port %s", get.Port.String())
	}
	if !ours(box) {
		if !strings.Contains(p.files["collector.yaml"], fmt.Sprintf("health_check:\n    endpoint: 0.0.0.0:%d\n", box.Ports[i].ContainerPort)) || get.Path != "/" {
			return fmt.Errorf("the collector does not answer at %d%s", box.Ports[i].ContainerPort, get.Path)
		}
		return nil
	}
	if get.Port.StrVal != "ops" {
		return fmt.Errorf("asks the port %s", get.Port.String())
	}
	return answers(p.ops, get.Path)
}

// settingsAreSettings: what a container is told, somebody reads.
func (p *product) settingsAreSettings(c *cluster) (out complaints) {
	runtime := []string{"GOMEMLIMIT", "XDG_CACHE_HOME", "SSL_CERT_DIR"} // of Go and the system
	told := map[string]map[string]string{}
	for _, m := range c.configMaps {
		told[m.Name] = m.Data
	}
	for _, w := range c.all() {
		for _, box := range w.template.Spec.Containers {
			var names []string
			for _, e := range box.Env {
				names = append(names, e.Name)
			}
			for _, from := range box.EnvFrom {
				if from.ConfigMapRef != nil {
					for name := range told[from.ConfigMapRef.Name] {
						names = append(names, name)
					}
				}
			}
			for _, name := range names {
				read := p.settings[name] || slices.Contains(runtime, name)
				if !ours(box) {
					read = strings.Contains(p.files["cluster.conf"], "$"+name) || strings.Contains(p.files["collector.yaml"], "${env:"+name+":")
				}
				if !read {
					out.addf("%s/%s: nobody reads %s", w, box.Name, name)
				}
			}
			if ours(box) && box.Args[0] == "serve" && told["settings"]["CC_OPS"] != "0.0.0.0:9100" {
				out.addf("%s: the port ops is %s", w, told["settings"]["CC_OPS"])
			}
		}
	}
	return out
}

// scaledByTheQueue: what the autoscalers go by is recorded and handed on.
func (p *product) scaledByTheQueue(c *cluster) (out complaints) {
	var adapter struct {
		ExternalRules []struct {
			SeriesQuery  string
			MetricsQuery string
			Resources    struct{ Namespaced *bool }
			Name         struct{ As string }
		}
	}
	var recorded struct {
		Groups []struct {
			Rules []struct{ Record, Expr string }
		}
	}
	if err := yaml.UnmarshalStrict([]byte(p.files["adapter.yaml"]), &adapter); err != nil || len(adapter.ExternalRules) == 0 {
		out.addf("adapter.yaml: %v", err)
		return out
	}
	if err := yaml.Unmarshal([]byte(p.files["alerts.yaml"]), &recorded); err != nil {
		out.addf("alerts.yaml: %v", err)
	}
	handed := map[string]string{} // metric -> what is recorded for it
	for _, r := range adapter.ExternalRules {
		for _, g := range recorded.Groups {
			for _, rule := range g.Rules {
				if rule.Record != "" && r.SeriesQuery == fmt.Sprintf(`{__name__=%q}`, rule.Record) && strings.Contains(r.MetricsQuery, "by (service)") {
					handed[r.Name.As] = rule.Expr
				}
			}
		}
	}
	for _, name := range stack.Names() {
		h := c.autoscaler(name)
		if h == nil || stack.Connections(name) == 0 { // the edge has no queue
			continue
		}
		queues := 0
		for _, m := range h.Spec.Metrics {
			if m.External == nil {
				continue
			}
			queues++
			expr := handed[m.External.Metric.Name]
			if !strings.Contains(expr, "cc_bus_queue") || !strings.Contains(expr, "jobs_waiting") {
				out.addf("%s is scaled by %s, which is recorded as %q", name, m.External.Metric.Name, expr)
			}
			if s := m.External.Metric.Selector; s == nil || len(s.MatchLabels) != 1 || s.MatchLabels["service"] != name {
				out.addf("%s is scaled by the queue of %v", name, s)
			}
			if v := m.External.Target.AverageValue; v == nil || v.Sign() <= 0 {
				out.addf("%s has no depth for each replica", name)
			}
		}
		if queues != 1 {
			out.addf("%s is scaled by %d queues", name, queues)
		}
	}
	return out
}

// theDatabaseHasRoom for the most replicas, and one more of each in a roll-out.
func (p *product) theDatabaseHasRoom(c *cluster) (out complaints) {
	most, more := 0, 0
	for _, name := range stack.Names() {
		if h := c.autoscaler(name); h != nil {
			most += int(h.Spec.MaxReplicas) * stack.Connections(name)
			more += stack.Connections(name)
		}
	}
	said := regexp.MustCompile(`(\d+) connections to PostgreSQL[^.]*?(\d+) more[^.]*max_connections = (\d+)`).FindStringSubmatch(strings.ReplaceAll(p.files["README.md"], "\n", " "))
	if said == nil {
		out.addf("README.md does not say how many connections the database must allow")
		return out
	}
	if room, _ := strconv.Atoi(said[3]); said[1] != strconv.Itoa(most) || said[2] != strconv.Itoa(more) || room < most+more {
		out.addf("README.md says %s connections, %s more, %s allowed: they are %d and %d", said[1], said[2], said[3], most, more)
	}
	return out
}

// natsIsAQuorum: as many servers as a stream has copies, which find one another,
// go one by one, and have the disk that they are told of.
func (p *product) natsIsAQuorum(c *cluster) (out complaints) {
	conf := p.files["cluster.conf"]
	value := func(name string) string {
		m := regexp.MustCompile(`(?m)^\s*` + name + `: "?([^"\s]+)"?`).FindStringSubmatch(conf)
		if m == nil {
			out.addf("cluster.conf has no %s", name)
			return ""
		}
		return m[1]
	}
	if len(c.statefulSets) != 1 {
		out.addf("%d stateful sets", len(c.statefulSets))
		return out
	}
	s := c.statefulSets[0]
	pod, box := s.Spec.Template.Spec, s.Spec.Template.Spec.Containers[0]
	if s.Spec.Replicas == nil || *s.Spec.Replicas < 3 || *s.Spec.Replicas%2 == 0 {
		out.addf("%v servers are no quorum that may lose one", s.Spec.Replicas)
		return out
	}
	for _, m := range c.configMaps {
		if copies, ok := m.Data["CC_NATS_REPLICAS"]; ok && copies != strconv.Itoa(int(*s.Spec.Replicas)) {
			out.addf("%d servers keep %s copies", *s.Spec.Replicas, copies)
		}
	}
	for i := range int(*s.Spec.Replicas) {
		seed := corev1.EnvVar{Name: fmt.Sprintf("NATS_SEED_%d", i+1), Value: fmt.Sprintf("nats-route://%s-%d.%s:6222", s.Name, i, s.Spec.ServiceName)}
		if !slices.Contains(box.Env, seed) || !strings.Contains(conf, "$"+seed.Name) {
			out.addf("server %d is not found at %s", i, seed.Value)
		}
	}
	if !slices.ContainsFunc(c.services, func(v *corev1.Service) bool {
		return v.Name == s.Spec.ServiceName && v.Spec.ClusterIP == corev1.ClusterIPNone && v.Spec.PublishNotReadyAddresses
	}) {
		out.addf("servers that are not ready do not find one another")
	}
	leaves, err := time.ParseDuration(value("lame_duck_duration"))
	if g := pod.TerminationGracePeriodSeconds; err != nil || g == nil || time.Duration(*g)*time.Second <= leaves {
		out.addf("a server is killed before its %s of a lame duck are over: %v", leaves, err)
	}
	want := []string{"nats-server", "--signal", "ldm=" + value("pid_file")}
	if l := box.Lifecycle; l == nil || l.PreStop == nil || l.PreStop.Exec == nil || !slices.Equal(l.PreStop.Exec.Command, want) {
		out.addf("a server ends without %v", want)
	}
	disk, err := resource.ParseQuantity(strings.TrimSuffix(value("max_file_store"), "B"))
	if err != nil || len(s.Spec.VolumeClaimTemplates) != 1 || s.Spec.VolumeClaimTemplates[0].Spec.Resources.Requests.Storage().Cmp(disk) < 0 {
		out.addf("the volume is smaller than the %s that streams may fill: %v", disk.String(), err)
	}
	memory, err := resource.ParseQuantity(strings.TrimSuffix(value("max_memory_store"), "B"))
	if err != nil || box.Resources.Limits.Memory().Cmp(memory) < 0 {
		out.addf("memory %s is less than streams may fill: %v", box.Resources.Limits.Memory(), err)
	}
	if value("sync_interval") != "always" {
		out.addf("what was acknowledged is not on the disk")
	}
	return out
}

// imagesAgree: one version of everything, wherever it runs.
func (p *product) imagesAgree(c *cluster) (out complaints) {
	elsewhere := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\s*image: (\S+):([^:\s]+)$`).FindAllStringSubmatch(p.files["docker-compose.yml"], -1) {
		elsewhere[m[1]] = m[2]
	}
	elsewhere["commandcenter"] = version.Product
	minor, _, _ := strings.Cut(elsewhere["nats"], "-")
	if !strings.HasPrefix(server.VERSION, minor+".") {
		out.addf("NATS is %s in containers and %s in the binary", minor, server.VERSION)
	}
	for _, w := range c.all() {
		for _, box := range append(slices.Clone(w.template.Spec.InitContainers), w.template.Spec.Containers...) {
			name, tag, _ := strings.Cut(box.Image, ":")
			if tag == "" || tag == "latest" {
				out.addf("%s/%s runs any %s", w, box.Name, name)
			}
			if other, ok := elsewhere[name]; ok && other != tag {
				out.addf("%s/%s runs %s %s, and it is %s elsewhere", w, box.Name, name, tag, other)
			}
		}
	}
	return out
}

// TestTheSettingsOfTheManifestsAreTaken: their values, not only their names.
func TestTheSettingsOfTheManifestsAreTaken(t *testing.T) { //nolint:paralleltest // the environment is the process's
	told := map[string]string{}
	for _, m := range load(t).configMaps {
		if strings.HasPrefix(m.Name, "settings") {
			for name, value := range m.Data {
				told[name] = value
				t.Setenv(name, value)
			}
		}
	}
	if len(told) < 5 {
		t.Fatalf("only %v is told", told)
	}
	for _, e := range configured(t) {
		if want, ok := told[e.Env]; ok && e.Value != want && !strings.Contains(e.Value, "***") {
			t.Errorf("%s is %q, want %q", e.Env, e.Value, want)
		}
	}
}
