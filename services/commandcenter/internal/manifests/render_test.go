package manifests_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

const (
	top       = "../../../.."
	namespace = "commandcenter"
	component = "app.kubernetes.io/component"
)

// cluster is everything that `kubectl apply -k deployments` makes.
type cluster struct {
	deployments  []*appsv1.Deployment
	statefulSets []*appsv1.StatefulSet
	jobs         []*batchv1.Job
	budgets      []*policyv1.PodDisruptionBudget
	autoscalers  []*autoscalingv2.HorizontalPodAutoscaler
	services     []*corev1.Service
	configMaps   []*corev1.ConfigMap
	policies     []*networkingv1.NetworkPolicy
	ingresses    []*networkingv1.Ingress
	namespaces   []*corev1.Namespace
}

// rendered is the YAML, an object a document.
func rendered(t *testing.T) [][]byte {
	t.Helper()
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(top, "deployments"))
	if err != nil {
		t.Fatal(err)
	}
	var out [][]byte
	for _, r := range resources.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, text)
	}
	return out
}

// strict decodes one document: a field or a kind that the API does not know is
// an error, and so is a field that is given twice.
func strict(document []byte) (runtime.Object, error) {
	known := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		appsv1.AddToScheme, autoscalingv2.AddToScheme, batchv1.AddToScheme, corev1.AddToScheme, networkingv1.AddToScheme, policyv1.AddToScheme,
	} {
		if err := add(known); err != nil {
			return nil, err
		}
	}
	s := json.NewSerializerWithOptions(json.DefaultMetaFactory, known, known, json.SerializerOptions{Yaml: true, Strict: true})
	o, _, err := s.Decode(document, nil, nil)
	return o, err
}

func load(t *testing.T) *cluster { t.Helper(); return decoded(t, rendered(t)) }

func decoded(t *testing.T, documents [][]byte) *cluster {
	t.Helper()
	c := &cluster{}
	for _, document := range documents {
		o, err := strict(document)
		if err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		switch o := o.(type) {
		case *appsv1.Deployment:
			c.deployments = append(c.deployments, o)
		case *appsv1.StatefulSet:
			c.statefulSets = append(c.statefulSets, o)
		case *batchv1.Job:
			c.jobs = append(c.jobs, o)
		case *policyv1.PodDisruptionBudget:
			c.budgets = append(c.budgets, o)
		case *autoscalingv2.HorizontalPodAutoscaler:
			c.autoscalers = append(c.autoscalers, o)
		case *corev1.Service:
			c.services = append(c.services, o)
		case *corev1.ConfigMap:
			c.configMaps = append(c.configMaps, o)
		case *networkingv1.NetworkPolicy:
			c.policies = append(c.policies, o)
		case *networkingv1.Ingress:
			c.ingresses = append(c.ingresses, o)
		case *corev1.Namespace:
			c.namespaces = append(c.namespaces, o)
		default:
			t.Fatalf("no check knows what a %T is for", o)
		}
	}
	return c
}

// workload is what makes pods.
type workload struct {
	kind, name string
	selector   *metav1.LabelSelector
	template   *corev1.PodTemplateSpec
}

func (w workload) String() string { return w.kind + " " + w.name }

// serving lists the workloads that run until they are stopped.
func (c *cluster) serving() []workload {
	var out []workload
	for _, d := range c.deployments {
		out = append(out, workload{"Deployment", d.Name, d.Spec.Selector, &d.Spec.Template})
	}
	for _, s := range c.statefulSets {
		out = append(out, workload{"StatefulSet", s.Name, s.Spec.Selector, &s.Spec.Template})
	}
	return out
}

// all lists every workload.
func (c *cluster) all() []workload {
	out := c.serving()
	for _, j := range c.jobs {
		out = append(out, workload{"Job", j.Name, nil, &j.Spec.Template})
	}
	return out
}

func (c *cluster) deployment(name string) *appsv1.Deployment {
	i := slices.IndexFunc(c.deployments, func(d *appsv1.Deployment) bool { return d.Name == name })
	if i < 0 {
		return nil
	}
	return c.deployments[i]
}

func (c *cluster) autoscaler(deployment string) *autoscalingv2.HorizontalPodAutoscaler {
	i := slices.IndexFunc(c.autoscalers, func(h *autoscalingv2.HorizontalPodAutoscaler) bool {
		return h.Spec.ScaleTargetRef.Kind == "Deployment" && h.Spec.ScaleTargetRef.Name == deployment
	})
	if i < 0 {
		return nil
	}
	return c.autoscalers[i]
}

// selects reports whether a selector is of the pods of a workload.
func selects(s *metav1.LabelSelector, w workload) bool {
	chosen, err := metav1.LabelSelectorAsSelector(s)
	return err == nil && chosen.Matches(labels.Set(w.template.Labels))
}

// complaints are what a rule has to say.
type complaints []string

func (c *complaints) addf(format string, a ...any) { *c = append(*c, fmt.Sprintf(format, a...)) }

func TestTheManifestsRenderToObjectsThatTheAPIKnows(t *testing.T) {
	t.Parallel()
	documents := rendered(t)
	if len(documents) < 20 {
		t.Fatalf("only %d objects: the test looks at the wrong folder", len(documents))
	}
	seen := map[string]bool{}
	for _, document := range documents {
		o, err := strict(document)
		if err != nil {
			t.Errorf("%v in\n%s", err, document)
			continue
		}
		m, ok := o.(metav1.Object)
		if !ok {
			t.Fatalf("%T has no metadata", o)
		}
		name := o.GetObjectKind().GroupVersionKind().Kind + "/" + m.GetName()
		if seen[name] {
			t.Errorf("%s is there twice", name)
		}
		seen[name] = true
		if m.GetNamespace() != namespace && name != "Namespace/"+namespace {
			t.Errorf("%s is in the namespace %q", name, m.GetNamespace())
		}
	}
}

func TestWhatTheAPIDoesNotKnowIsRefused(t *testing.T) {
	t.Parallel()
	for _, document := range rendered(t) {
		for name, wrong := range map[string][]byte{
			"a field too many": append(bytes.Clone(document), []byte("sepc: {}\n")...),
			"another version":  bytes.Replace(document, []byte("apiVersion: "), []byte("apiVersion: x"), 1),
			"a field twice":    append(bytes.Clone(document), document...),
			"one further down": bytes.Replace(document, []byte("\nspec:\n"), []byte("\nspec:\n  typo: 1\n"), 1),
		} {
			if bytes.Equal(wrong, document) {
				continue // without a spec
			}
			if _, err := strict(wrong); err == nil {
				t.Errorf("%s is taken in\n%s", name, wrong)
			}
		}
	}
}
