// Package manifests holds what is made of deployments/kustomization.yaml to what
// the product is: the tests render it as kubectl does, decode it as strictly as the
// API server may, and compare it with the services, settings, probes and deadlines
// of the code. They need no cluster and no network.
package manifests
