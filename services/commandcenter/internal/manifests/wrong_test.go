package manifests_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// wrong is one way to break what a rule holds.
type wrong struct {
	rule, how string
	do        func(c *cluster, p *product)
}

// pod is the pod of a workload.
func (c *cluster) pod(name string) *corev1.PodSpec {
	for _, w := range c.all() {
		if w.name == name {
			return &w.template.Spec
		}
	}
	panic("no workload " + name)
}

func (c *cluster) box(name string) *corev1.Container { return &c.pod(name).Containers[0] }

// instead replaces text in a file.
func (p *product) instead(file, before, after string) {
	if !strings.Contains(p.files[file], before) {
		panic(file + " has no " + before)
	}
	p.files[file] = strings.ReplaceAll(p.files[file], before, after)
}

func wrongs() []wrong {
	return []wrong{
		{"every service is there", "no Deployment", func(c *cluster, _ *product) { c.deployments = c.deployments[1:] }},
		{"every service is there", "another role", func(c *cluster, _ *product) { c.box("auth").Args[1] = "knowledge" }},
		{"every service is there", "another name", func(c *cluster, _ *product) { c.deployment("auth").Spec.Template.Labels[component] = "authn" }},
		{"every service is there", "no port", func(c *cluster, _ *product) { c.box("auth").Ports = nil }},
		{"every service is there", "not scraped", func(c *cluster, _ *product) { c.deployment("auth").Spec.Template.Annotations = nil }},
		{"every service is there", "a gap", func(c *cluster, _ *product) {
			*c.deployment("auth").Spec.Strategy.RollingUpdate.MaxUnavailable = intstr.FromInt32(1)
		}},
		{"every replica may be lost", "no budget", func(c *cluster, _ *product) { c.budgets = c.budgets[1:] }},
		{"every replica may be lost", "two budgets", func(c *cluster, _ *product) { c.budgets = append(c.budgets, c.budgets[0]) }},
		{"every replica may be lost", "a budget of nothing", func(c *cluster, _ *product) { c.budgets[0].Spec.Selector.MatchLabels[component] = "nobody" }},
		{"every replica may be lost", "both at a time", func(c *cluster, _ *product) { *c.budgets[0].Spec.MaxUnavailable = intstr.FromInt32(2) }},
		{"every replica may be lost", "not scaled", func(c *cluster, _ *product) { c.autoscalers = c.autoscalers[1:] }},
		{"every replica may be lost", "one replica", func(c *cluster, _ *product) { *c.autoscalers[0].Spec.MinReplicas = 1 }},
		{"every replica may be lost", "scales nothing", func(c *cluster, _ *product) { c.autoscalers[0].Spec.ScaleTargetRef.Name = "nobody" }},
		{"every replica may be lost", "two say how many", func(c *cluster, _ *product) { c.deployment("auth").Spec.Replicas = new(int32) }},
		{"pods are spread", "anywhere", func(c *cluster, _ *product) { c.pod("auth").TopologySpreadConstraints = nil }},
		{"pods are spread", "NATS anywhere", func(c *cluster, _ *product) { c.pod("nats").Affinity = nil }},
		{"pods may do little", "root", func(c *cluster, _ *product) { *c.pod("migrate").SecurityContext.RunAsUser = 0 }},
		{"pods may do little", "all calls", func(c *cluster, _ *product) { c.pod("nats").SecurityContext.SeccompProfile = nil }},
		{"pods may do little", "writes", func(c *cluster, _ *product) { *c.box("auth").SecurityContext.ReadOnlyRootFilesystem = false }},
		{"pods may do little", "a right", func(c *cluster, _ *product) {
			c.box("auth").SecurityContext.Capabilities.Add = []corev1.Capability{"NET_ADMIN"}
		}},
		{"pods may do little", "a token", func(c *cluster, _ *product) { c.pod("auth").AutomountServiceAccountToken = nil }},
		{"pods may do little", "host", func(c *cluster, _ *product) { c.pod("auth").HostNetwork = true }},
		{"pods may do little", "no limit", func(c *cluster, _ *product) { c.box("auth").Resources.Limits = nil }},
		{"pods may do little", "a heap above it", func(c *cluster, _ *product) { c.box("auth").Env[0].Value = "4GiB" }},
		{"pods may do little", "not enforced", func(c *cluster, _ *product) { c.namespaces[0].Labels = nil }},
		{"what is named exists", "volume", func(c *cluster, _ *product) { c.pod("auth").Volumes = c.pod("auth").Volumes[1:] }},
		{"what is named exists", "map", func(c *cluster, _ *product) { c.configMaps = c.configMaps[1:] }},
		{"what is named exists", "secret", func(c *cluster, _ *product) { c.box("auth").EnvFrom[1].SecretRef.Name = "other" }},
		{"what is named exists", "a part of a secret", func(c *cluster, _ *product) {
			for _, v := range c.pod("federation").Volumes {
				if v.Projected != nil {
					v.Projected.Sources[0].Secret.Name = "other"
				}
			}
		}},
		{"what is named exists", "selector", func(c *cluster, _ *product) { c.deployment("auth").Spec.Selector.MatchLabels[component] = "other" }},
		{"what is named exists", "port", func(c *cluster, _ *product) { c.services[0].Spec.Ports[0].TargetPort = intstr.FromString("other") }},
		{"what is named exists", "pods", func(c *cluster, _ *product) { c.services[0].Spec.Selector = map[string]string{"a": "b"} }},
		{"what is named exists", "backend", func(c *cluster, _ *product) {
			c.ingresses[0].Spec.Rules[0].HTTP.Paths[0].Backend.Service.Name = "other"
		}},
		{"nobody talks to everybody", "open", func(c *cluster, _ *product) { c.policies = without(c.policies, "nobody") }},
		{"nobody talks to everybody", "unreachable", func(c *cluster, _ *product) { c.policies = without(c.policies, "nats") }},
		{"nobody talks to everybody", "every port", func(c *cluster, _ *product) {
			for _, p := range c.policies {
				if p.Name == "edge" {
					p.Spec.Ingress = append(p.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{})
				}
			}
		}},
		{"nobody talks to everybody", "a policy of nobody", func(c *cluster, _ *product) {
			c.policies[0].Spec.PodSelector = metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}
		}},
		{"pods end in time", "soon", func(c *cluster, _ *product) { *c.pod("auth").TerminationGracePeriodSeconds = 20 }},
		{"pods end in time", "at once", func(c *cluster, _ *product) { c.box("gateway").Lifecycle = nil }},
		{"probes ask what answers", "none", func(c *cluster, _ *product) { c.box("auth").StartupProbe = nil }},
		{"probes ask what answers", "a path", func(c *cluster, _ *product) { c.box("auth").ReadinessProbe.HTTPGet.Path = "/healthz" }},
		{"probes ask what answers", "a port", func(c *cluster, _ *product) { c.box("auth").ReadinessProbe.HTTPGet.Port = intstr.FromString("http") }},
		{"probes ask what answers", "restart", func(c *cluster, _ *product) { c.box("auth").LivenessProbe.HTTPGet.Path = "/health/ready" }},
		{"probes ask what answers", "of NATS", func(c *cluster, _ *product) {
			c.box("nats").LivenessProbe.Exec.Command[3] = "http://127.0.0.1:8222/health"
		}},
		{"probes ask what answers", "monitor", func(_ *cluster, p *product) { p.instead("cluster.conf", ":8222", ":8223") }},
		{"probes ask what answers", "collector", func(_ *cluster, p *product) { p.instead("collector.yaml", ":13133", ":13134") }},
		{"settings are settings", "nobody's", func(c *cluster, _ *product) {
			c.box("auth").Env = append(c.box("auth").Env, corev1.EnvVar{Name: "CC_NOTHING"})
		}},
		{"settings are settings", "of NATS", func(_ *cluster, p *product) { p.instead("cluster.conf", "$NATS_NAME", "n") }},
		{"settings are settings", "port", func(c *cluster, _ *product) { c.settings()["CC_OPS"] = "127.0.0.1:9100" }},
		{"scaled by the queue", "not recorded", func(_ *cluster, p *product) { p.instead("alerts.yaml", "record:", "alert:") }},
		{"scaled by the queue", "another queue", func(c *cluster, _ *product) {
			c.autoscaler("auth").Spec.Metrics[0].External.Metric.Selector.MatchLabels["service"] = "knowledge"
		}},
		{"scaled by the queue", "another metric", func(c *cluster, _ *product) {
			c.autoscaler("auth").Spec.Metrics[0].External.Metric.Name = "other"
		}},
		{"scaled by the queue", "by none", func(c *cluster, _ *product) {
			c.autoscaler("auth").Spec.Metrics = c.autoscaler("auth").Spec.Metrics[1:]
		}},
		{"the database has room", "more replicas", func(c *cluster, _ *product) { c.autoscaler("auth").Spec.MaxReplicas++ }},
		{"the database has room", "not said", func(_ *cluster, p *product) { p.instead("README.md", "max_connections", "max") }},
		{"NATS is a quorum", "two", func(c *cluster, _ *product) { *c.statefulSets[0].Spec.Replicas = 2 }},
		{"NATS is a quorum", "five", func(c *cluster, _ *product) { *c.statefulSets[0].Spec.Replicas = 5 }},
		{"NATS is a quorum", "one copy", func(c *cluster, _ *product) { c.settings()["CC_NATS_REPLICAS"] = "1" }},
		{"NATS is a quorum", "killed", func(c *cluster, _ *product) { *c.pod("nats").TerminationGracePeriodSeconds = 30 }},
		{"NATS is a quorum", "at once", func(c *cluster, _ *product) { c.box("nats").Lifecycle = nil }},
		{"NATS is a quorum", "disk", func(c *cluster, _ *product) {
			c.statefulSets[0].Spec.VolumeClaimTemplates[0].Spec.Resources.Requests[corev1.ResourceStorage] = resource.MustParse("10Gi")
		}},
		{"NATS is a quorum", "memory", func(_ *cluster, p *product) { p.instead("cluster.conf", "512MB", "4GB") }},
		{"NATS is a quorum", "not synced", func(_ *cluster, p *product) { p.instead("cluster.conf", "sync_interval: always", "sync_interval: 2m") }},
		{"NATS is a quorum", "not found", func(c *cluster, _ *product) {
			for _, s := range c.services {
				s.Spec.PublishNotReadyAddresses = false
			}
		}},
		{"images agree", "of ours", func(c *cluster, _ *product) { c.box("auth").Image = "commandcenter:9.9.9" }},
		{"images agree", "of NATS", func(c *cluster, _ *product) { c.box("nats").Image = "nats:2.14-alpine" }},
		{"images agree", "any", func(c *cluster, _ *product) { c.pod("migrate").InitContainers[0].Image = "busybox" }},
		{"images agree", "compose", func(_ *cluster, p *product) { p.instead("docker-compose.yml", "nats:2.15-alpine", "nats:2.14-alpine") }},
	}
}

func (c *cluster) settings() map[string]string {
	for _, m := range c.configMaps {
		if m.Data["CC_OPS"] != "" {
			return m.Data
		}
	}
	panic("no settings")
}

func without(all []*networkingv1.NetworkPolicy, name string) (rest []*networkingv1.NetworkPolicy) {
	for _, p := range all {
		if p.Name != name {
			rest = append(rest, p)
		}
	}
	return rest
}

// TestEachRuleSeesWhatIsWrong breaks one thing at a time: a rule that then has
// nothing to say holds nothing.
func TestEachRuleSeesWhatIsWrong(t *testing.T) {
	t.Parallel()
	whole, documents := theProduct(t), rendered(t)
	tried := map[string]bool{}
	for _, w := range wrongs() {
		tried[w.rule] = true
		c, p := decoded(t, documents), *whole
		p.files = map[string]string{}
		for name, text := range whole.files {
			p.files[name] = text
		}
		r := rules(&p)[w.rule]
		if said := r(c); len(said) > 0 {
			t.Fatalf("%s, before anything is wrong: %v", w.rule, said)
		}
		w.do(c, &p)
		if said := r(c); len(said) == 0 {
			t.Errorf("%s: %s is not seen", w.rule, w.how)
		}
	}
	for name := range rules(whole) {
		if !tried[name] {
			t.Errorf("nothing shows that %q can complain", name)
		}
	}
}
