package manifests_test

import (
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/stack"
)

// secrets are those that README.md of deployments tells to make.
func secrets() []string { return []string{"keys", "database", "nats-tls", "gateway-tls"} }

// rule looks at everything, and says what is wrong with it.
type rule func(c *cluster) complaints

// everyServiceIsThere: one that is added to the product is missed here.
func everyServiceIsThere(c *cluster) (out complaints) {
	for _, name := range stack.Names() {
		d := c.deployment(name)
		if d == nil {
			out.addf("no Deployment runs the service %s", name)
			continue
		}
		first := d.Spec.Template.Spec.Containers[0]
		if !slices.Equal(first.Args, []string{"serve", name}) {
			out.addf("Deployment %s runs %v", name, first.Args)
		}
		if d.Spec.Template.Labels[component] != name {
			out.addf("the pods of %s call themselves %q", name, d.Spec.Template.Labels[component])
		}
		if !slices.ContainsFunc(first.Ports, func(p corev1.ContainerPort) bool { return p.Name == "ops" }) {
			out.addf("%s has no port ops", name)
		}
		if u := d.Spec.Strategy.RollingUpdate; u == nil || u.MaxUnavailable == nil || *u.MaxUnavailable != intstr.FromInt32(0) {
			out.addf("a roll-out of %s may take away a replica before there is another", name)
		}
		if a := d.Spec.Template.Annotations; a["prometheus.io/scrape"] != "true" || a["prometheus.io/port"] != "9100" || a["prometheus.io/path"] != "/metrics" {
			out.addf("%s is not scraped: %v", name, a)
		}
	}
	return out
}

// everyReplicaMayBeLost: two of each at least, and not both at a time.
func everyReplicaMayBeLost(c *cluster) (out complaints) {
	for _, name := range stack.Names() {
		h := c.autoscaler(name)
		if h == nil {
			out.addf("nothing scales %s", name)
			continue
		}
		if h.Spec.MinReplicas == nil || *h.Spec.MinReplicas < 2 || h.Spec.MaxReplicas <= *h.Spec.MinReplicas {
			out.addf("%s has %v to %d replicas", name, h.Spec.MinReplicas, h.Spec.MaxReplicas)
		}
		if d := c.deployment(name); d != nil && d.Spec.Replicas != nil {
			out.addf("each roll-out of %s takes the replicas back that the autoscaler has added", name)
		}
	}
	for _, h := range c.autoscalers {
		ref := h.Spec.ScaleTargetRef
		if ref.Kind != "Deployment" || ref.APIVersion != "apps/v1" || c.deployment(ref.Name) == nil || h.Name != ref.Name {
			out.addf("autoscaler %s is of %s %s, which is not there", h.Name, ref.Kind, ref.Name)
		}
	}
	for _, w := range c.serving() {
		n := 0
		for _, b := range c.budgets {
			if !selects(b.Spec.Selector, w) {
				continue
			}
			n++
			if b.Spec.MaxUnavailable == nil || *b.Spec.MaxUnavailable != intstr.FromInt32(1) || b.Spec.MinAvailable != nil {
				out.addf("budget %s: want one at a time, so that a node can be drained and the rest goes on", b.Name)
			}
		}
		if n != 1 { // the API server refuses to evict a pod of two
			out.addf("%s has %d disruption budgets", w, n)
		}
	}
	for _, b := range c.budgets {
		if !slices.ContainsFunc(c.serving(), func(w workload) bool { return selects(b.Spec.Selector, w) }) {
			out.addf("budget %s is of nothing", b.Name)
		}
	}
	return out
}

// podsAreSpread: the loss of a machine is not that of all replicas.
func podsAreSpread(c *cluster) (out complaints) {
	for _, name := range append(stack.Names(), "nats") {
		i := slices.IndexFunc(c.serving(), func(w workload) bool { return w.name == name })
		if i < 0 {
			continue // said elsewhere
		}
		w := c.serving()[i]
		apart := slices.ContainsFunc(w.template.Spec.TopologySpreadConstraints, func(s corev1.TopologySpreadConstraint) bool {
			return s.TopologyKey == corev1.LabelHostname && selects(s.LabelSelector, w)
		})
		if a := w.template.Spec.Affinity; a != nil && a.PodAntiAffinity != nil {
			apart = apart || slices.ContainsFunc(a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution, func(s corev1.PodAffinityTerm) bool {
				return s.TopologyKey == corev1.LabelHostname && selects(s.LabelSelector, w)
			})
		}
		if !apart {
			out.addf("nothing keeps the pods of %s on several machines", w)
		}
	}
	return out
}

// podsMayDoLittle is the level "restricted", which the namespace enforces, and a
// root file system that nobody writes to.
func podsMayDoLittle(c *cluster) (out complaints) {
	for _, n := range c.namespaces {
		if n.Labels["pod-security.kubernetes.io/enforce"] != "restricted" {
			out.addf("namespace %s enforces nothing", n.Name)
		}
	}
	for _, w := range c.all() {
		pod := w.template.Spec
		s := pod.SecurityContext
		if s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.RunAsUser == nil || *s.RunAsUser == 0 || s.SeccompProfile == nil || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
			out.addf("%s: runs as anybody, or with every system call", w)
		}
		if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
			out.addf("%s: is given a token of the cluster", w)
		}
		if pod.HostNetwork || pod.HostPID || pod.HostIPC {
			out.addf("%s: shares the machine's namespaces", w)
		}
		for _, box := range append(slices.Clone(pod.InitContainers), pod.Containers...) {
			s := box.SecurityContext
			if s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation ||
				s.Capabilities == nil || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) || len(s.Capabilities.Add) > 0 {
				out.addf("%s/%s: may write to its image or gain rights", w, box.Name)
			}
			if box.Resources.Requests.Cpu().IsZero() || box.Resources.Requests.Memory().IsZero() || box.Resources.Limits.Memory().IsZero() {
				out.addf("%s/%s: requests or memory limit are missing", w, box.Name)
			}
			for _, e := range box.Env {
				if e.Name != "GOMEMLIMIT" {
					continue
				}
				heap, err := resource.ParseQuantity(strings.TrimSuffix(e.Value, "B"))
				if err != nil || heap.Cmp(*box.Resources.Limits.Memory()) >= 0 {
					out.addf("%s/%s: GOMEMLIMIT %s is not below the limit %s", w, box.Name, e.Value, box.Resources.Limits.Memory())
				}
			}
		}
	}
	return out
}

// whatIsNamedExists: volumes, mounts, maps, secrets, ports, backends.
func whatIsNamedExists(c *cluster) (out complaints) {
	maps := map[string]*corev1.ConfigMap{}
	for _, m := range c.configMaps {
		maps[m.Name] = m
	}
	for _, w := range c.all() {
		pod := w.template.Spec
		volumes := map[string]bool{}
		for _, v := range pod.Volumes {
			volumes[v.Name] = true
			if v.ConfigMap != nil && maps[v.ConfigMap.Name] == nil {
				out.addf("%s: no map %s", w, v.ConfigMap.Name)
			}
			if v.Secret != nil && !slices.Contains(secrets(), v.Secret.SecretName) {
				out.addf("%s: nobody is told to make the secret %s", w, v.Secret.SecretName)
			}
		}
		for _, name := range projected(pod) {
			if !slices.Contains(secrets(), name) {
				out.addf("%s: nobody is told to make the secret %s", w, name)
			}
		}
		for _, s := range c.statefulSets {
			for _, claim := range s.Spec.VolumeClaimTemplates {
				volumes[claim.Name] = volumes[claim.Name] || s.Name == w.name
			}
		}
		for _, box := range append(slices.Clone(pod.InitContainers), pod.Containers...) {
			for _, m := range box.VolumeMounts {
				if !volumes[m.Name] || !path.IsAbs(m.MountPath) {
					out.addf("%s/%s: mounts %s at %s", w, box.Name, m.Name, m.MountPath)
				}
			}
			for _, from := range box.EnvFrom {
				if from.ConfigMapRef != nil && maps[from.ConfigMapRef.Name] == nil {
					out.addf("%s/%s: no map %s", w, box.Name, from.ConfigMapRef.Name)
				}
				if from.SecretRef != nil && !slices.Contains(secrets(), from.SecretRef.Name) {
					out.addf("%s/%s: nobody is told to make the secret %s", w, box.Name, from.SecretRef.Name)
				}
			}
		}
		if w.selector != nil && !selects(w.selector, w) {
			out.addf("%s does not select its own pods", w)
		}
	}
	for _, s := range c.services {
		out = append(out, c.behind(s)...)
	}
	for _, i := range c.ingresses {
		for _, r := range i.Spec.Rules {
			for _, p := range r.HTTP.Paths {
				if !slices.ContainsFunc(c.services, func(s *corev1.Service) bool {
					return p.Backend.Service != nil && s.Name == p.Backend.Service.Name && slices.ContainsFunc(s.Spec.Ports, func(port corev1.ServicePort) bool { return port.Name == p.Backend.Service.Port.Name })
				}) {
					out.addf("ingress %s: %s leads nowhere", i.Name, p.Path)
				}
			}
		}
	}
	return out
}

// projected are the secrets of which volumes take a part.
func projected(pod corev1.PodSpec) (names []string) {
	for _, v := range pod.Volumes {
		if v.Projected == nil {
			continue
		}
		for _, source := range v.Projected.Sources {
			if source.Secret != nil {
				names = append(names, source.Secret.Name)
			}
		}
	}
	return names
}

// behind says what is wrong with what a service stands for.
func (c *cluster) behind(s *corev1.Service) (out complaints) {
	i := slices.IndexFunc(c.serving(), func(w workload) bool { return selects(&metav1.LabelSelector{MatchLabels: s.Spec.Selector}, w) })
	if i < 0 {
		out.addf("service %s is of no pods", s.Name)
		return out
	}
	for _, p := range s.Spec.Ports {
		named := slices.ContainsFunc(c.serving()[i].template.Spec.Containers, func(box corev1.Container) bool {
			return slices.ContainsFunc(box.Ports, func(b corev1.ContainerPort) bool { return b.Name == p.TargetPort.StrVal })
		})
		if !named {
			out.addf("service %s: no container has the port %s", s.Name, p.TargetPort.StrVal)
		}
	}
	return out
}

// nobodyTalksToEverybody: every pod is under a policy for both directions, and
// what is not said is closed.
func nobodyTalksToEverybody(c *cluster) (out complaints) {
	closed := slices.ContainsFunc(c.policies, func(p *networkingv1.NetworkPolicy) bool {
		return len(p.Spec.PodSelector.MatchLabels) == 0 && len(p.Spec.PodSelector.MatchExpressions) == 0 &&
			len(p.Spec.PolicyTypes) == 2 && len(p.Spec.Ingress) == 0 && len(p.Spec.Egress) == 0
	})
	if !closed {
		out.addf("no policy closes what the others do not open")
	}
	for _, p := range c.policies {
		if !slices.ContainsFunc(c.all(), func(w workload) bool { return selects(&p.Spec.PodSelector, w) }) {
			out.addf("policy %s is of no pods", p.Name)
		}
		for _, r := range p.Spec.Ingress {
			for _, port := range r.Ports {
				if !slices.ContainsFunc(c.all(), func(w workload) bool { return selects(&p.Spec.PodSelector, w) && listens(w, port.Port.IntVal) }) {
					out.addf("policy %s opens port %d, on which nobody listens", p.Name, port.Port.IntVal)
				}
			}
			if len(r.Ports) == 0 {
				out.addf("policy %s opens every port", p.Name)
			}
		}
	}
	// Who is asked must be reachable.
	for _, w := range c.serving() {
		for _, box := range w.template.Spec.Containers {
			for _, port := range box.Ports {
				if port.Name == "health" {
					continue // the kubelet's, which no policy keeps out
				}
				if !slices.ContainsFunc(c.policies, func(p *networkingv1.NetworkPolicy) bool {
					return selects(&p.Spec.PodSelector, w) && slices.ContainsFunc(p.Spec.Ingress, func(r networkingv1.NetworkPolicyIngressRule) bool {
						return slices.ContainsFunc(r.Ports, func(n networkingv1.NetworkPolicyPort) bool { return n.Port.IntVal == port.ContainerPort })
					})
				}) {
					out.addf("no policy lets anybody reach %s at %s", w, port.Name)
				}
			}
		}
	}
	return out
}

func listens(w workload, port int32) bool {
	return slices.ContainsFunc(w.template.Spec.Containers, func(box corev1.Container) bool {
		return slices.ContainsFunc(box.Ports, func(p corev1.ContainerPort) bool { return p.ContainerPort == port })
	})
}

// podsEndInTime: what is under way gets the time that the product takes to stop.
func podsEndInTime(c *cluster) (out complaints) {
	for _, name := range stack.Names() {
		d := c.deployment(name)
		if d == nil {
			continue
		}
		pod := d.Spec.Template.Spec
		need := stack.StopWithin
		if l := pod.Containers[0].Lifecycle; l != nil && l.PreStop != nil && l.PreStop.Sleep != nil {
			need += time.Duration(l.PreStop.Sleep.Seconds) * time.Second
		} else if name == "gateway" {
			out.addf("gateway ends while it is still asked")
		}
		if g := pod.TerminationGracePeriodSeconds; g == nil || time.Duration(*g)*time.Second <= need {
			out.addf("%s is killed while it stops: it may take %s", name, need)
		}
	}
	return out
}

func rules(p *product) map[string]rule {
	return map[string]rule{
		"every service is there": everyServiceIsThere, "every replica may be lost": everyReplicaMayBeLost, "pods are spread": podsAreSpread,
		"pods may do little": podsMayDoLittle, "what is named exists": whatIsNamedExists, "nobody talks to everybody": nobodyTalksToEverybody,
		"pods end in time": podsEndInTime, "probes ask what answers": p.probesAskWhatAnswers, "settings are settings": p.settingsAreSettings,
		"scaled by the queue": p.scaledByTheQueue, "the database has room": p.theDatabaseHasRoom, "NATS is a quorum": p.natsIsAQuorum, "images agree": p.imagesAgree,
	}
}

func TestTheManifestsSayWhatTheProductIs(t *testing.T) {
	t.Parallel()
	c := load(t)
	for name, r := range rules(theProduct(t)) {
		for _, complaint := range r(c) {
			t.Errorf("%s: %s", name, complaint)
		}
	}
}
